"""What is new in a conversation, cut into parts that a model can be shown. Knows no memories."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clew import StateSnapshot, Workflow
from clew.agents.forms import Message, is_users, role_of, text_of
from clew.agents.history import tokens_in
from clew.agents.memory import filled

_CONTEXT = 4
_BATCH_TOKENS = 2000
_LONGEST_REPLY_S = 3600.0  # who takes longer for one has died, and nobody has gone on with the run
# What `StateSnapshot.metadata` says of the checkpoint itself, not of the caller's config.
_OF_THE_CHECKPOINT = {"source", "step", "parents"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message of a person or an assistant.

    Args:
        id: of the message, or its place from 0.
        role: user or assistant.
        text: without images and the like.
        run: the run that kept it, where that is still there.
    """

    id: str
    role: str
    text: str
    run: str | None = None

    def shown(self, number: int | None = None) -> str:
        """Return it as a line of JSON, which no text inside it can break out of."""
        numbered = {} if number is None else {"message": number}
        return json.dumps({**numbered, "role": self.role, "text": self.text}, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What a conversation holds that was not learned.

    Args:
        namespace: where its facts are remembered.
        new: the messages to learn, oldest first.
        before: the last ones that were learned, to understand the new ones by.
        ids: of all that is new, results of tools and the like included.
        quiet_s: since when nothing was said, in seconds; 0 while a run is under way.
        last: the id of the last message, or "".
    """

    namespace: tuple[str, ...]
    new: list[Said]
    before: list[Said]
    ids: list[str]
    quiet_s: float
    last: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """So many new messages as a model is shown at once, and what was said before them."""

    before: list[Said]
    new: list[Said]

    @property
    def told(self) -> str:
        """What the model is told: the new messages are numbered from 1."""
        before = [said.shown() for said in self.before]
        new = [said.shown(number) for number, said in enumerate(self.new, 1)]
        return "\n".join(["Said before, only to understand the rest:", *before, "New messages:", *new])


def look(conversation: Workflow[Any, Any], namespace: Sequence[str], config: Any, learned: Collection[str]) -> Talk:
    """Return what is new on a conversation's thread.

    Args:
        conversation: a workflow that saves a list of messages, or a dict with such a list as "messages".
        namespace: a template; filled from the conversation's own config, and else from this one.
        config: names the thread.
        learned: the ids of messages that are not new.

    Raises:
        InvalidOption: neither config fills the namespace.
    """
    state = conversation.get_state(_thread_of(config))
    own = {name: value for name, value in (state.metadata or {}).items() if name not in _OF_THE_CHECKPOINT}
    place = filled(namespace, {"configurable": {**config["configurable"], **own}})
    known = set(learned)
    every = _by_id(state)
    new = {id: message for id, message in every.items() if id not in known}
    runs = _runs(conversation, state, set(new))
    before = [said for id, message in every.items() if id in known for said in _said(id, message)]
    return Talk(
        namespace=place,
        new=[said for id, message in new.items() for said in _said(id, message, runs.get(id))],
        before=before[-_CONTEXT:],
        ids=list(new),
        quiet_s=_quiet_s(state),
        last=next(reversed(every), ""),
    )


def batches(talk: Talk) -> list[Batch]:
    """Cut what is new into parts of about two thousand tokens, each with a few messages that came before it."""
    parts: list[Batch] = []
    before, new = talk.before, list[Said]()
    for said in talk.new:
        if new and sum(tokens_in(one.text) for one in [*new, said]) > _BATCH_TOKENS:
            parts.append(Batch(before=before, new=new))
            before, new = [*before, *new][-_CONTEXT:], []
        new.append(said)
    return [*parts, Batch(before=before, new=new)] if new else parts


def _thread_of(config: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": config["configurable"]["thread_id"]}}


def _by_id(state: StateSnapshot) -> dict[str, Message]:
    saved = state.saved
    messages = saved.get("messages") if isinstance(saved, Mapping) else saved
    listed = messages if isinstance(messages, list) else []
    return {_id_of(message) or str(place): message for place, message in enumerate(listed)}


def _id_of(message: Message) -> str | None:
    return message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)


def _said(id: str, message: Message, run: str | None = None) -> list[Said]:
    role, text = role_of(message), text_of(message)
    is_said = (is_users(message) or role == "assistant") and text.strip()
    return [Said(id=id, role=role, text=text, run=run)] if is_said else []


def _runs(conversation: Workflow[Any, Any], state: StateSnapshot, ids: set[str]) -> dict[str, str]:
    """Return the run that kept each message: the oldest one that left it on the thread."""
    runs: dict[str, str] = {}
    while here := ids & _by_id(state).keys():
        if not state.next:  # at the end of a run, not at its beginning
            run: str = state.config["configurable"]["checkpoint_id"].rpartition("-")[0]
            runs.update(dict.fromkeys(here, run))
        if state.parent_config is None:
            break
        state = conversation.get_state(state.parent_config)
    return runs


def _quiet_s(state: StateSnapshot) -> float:
    if state.created_at is None:
        return 0.0
    since_s = max(0.0, time.time() - datetime.fromisoformat(state.created_at).timestamp())
    waits = state.interrupts or any(task.error for task in state.tasks)
    return 0.0 if state.next and not waits and since_s < _LONGEST_REPLY_S else since_s
