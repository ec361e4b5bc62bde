"""What a learner is asked for, and what it says of its work. Values alone: nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Learn:
    """Learn what is new on the thread.

    Args:
        dry_run: change no memory, and say what would change. The same messages can be learned afterwards.
        pause_s: only once nothing was said for so many seconds; else later, by itself. 0: now.
    """

    dry_run: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Undo:
    """Take back what a run of the learner changed.

    Args:
        run: its id, as `Learned.run` says.
    """

    run: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a fact was said.

    Args:
        thread: the conversation.
        run: the run of the conversation that kept the message; None if that run is no longer kept.
        message: the id of the message, or its place from 0 where it has none.
        quote: the words that say it.
    """

    thread: str
    run: str | None
    message: str
    quote: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of one memory.

    Args:
        key: of the memory.
        before: its value before; None: there was none.
        before_version: the version of that; 0: there was none.
        after: its value after; None: it is gone.
        source: the fact that changed it.
    """

    key: str
    before: dict[str, Any] | None
    before_version: int
    after: dict[str, Any] | None
    source: Source

    @property
    def action(self) -> Literal["add", "replace", "retire"]:
        """What this is called."""
        if self.after is None:
            return "retire"
        return "add" if self.before is None else "replace"

    @property
    def after_version(self) -> int:
        """The version that it leaves; 0: none."""
        return 0 if self.after is None else self.before_version + 1


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a model gave as a fact, and nobody said.

    Args:
        content: the fact.
        quote: what the model says was said.
        why: what is wrong with it.
    """

    content: str
    quote: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What came of learning.

    Args:
        run: the learner's run; `Undo` takes it.
        namespace: where the memories are.
        messages: how many were new.
        changes: what was changed, or would be.
        known: how many facts said nothing new.
        refused: facts that nobody said.
        dry_run: whether nothing was changed.
        put_off: the talk went on, so this is done later.
    """

    run: str
    namespace: tuple[str, ...] = ()
    messages: int = 0
    changes: list[Change] = field(default_factory=list)
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    dry_run: bool = False
    put_off: bool = False


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A memory that somebody else changed after the learner did. It was left as it is.

    Args:
        change: what was not taken back.
        now: the value that is there; None: there is none.
    """

    change: Change
    now: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What came of taking a learner's run back.

    Args:
        run: what was taken back.
        namespace: where the memories are.
        changes: those that were taken back.
        conflicts: those that were not, for somebody changed these memories since.
    """

    run: str
    namespace: tuple[str, ...]
    changes: list[Change]
    conflicts: list[Changed]
