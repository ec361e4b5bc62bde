"""Learning from conversations: facts that people said become memories, each with the message that it comes from.

It is opt-in, needs a model, and happens in the background: a workflow of its own, on the thread of the conversation.

Make it:       create_learner, is_learner
Ask it:        learn_later, Learn, Undo
What it gives: Learned, Undone, Change, Source, Refused, Changed
"""

from __future__ import annotations

from clew.learn.changes import Change, Changed, Learn, Learned, Refused, Source, Undo, Undone
from clew.learn.learner import alearn_later, create_learner, is_learner, learn_later

__all__ = [
    "Change",
    "Changed",
    "Learn",
    "Learned",
    "Refused",
    "Source",
    "Undo",
    "Undone",
    "alearn_later",
    "create_learner",
    "is_learner",
    "learn_later",
]
