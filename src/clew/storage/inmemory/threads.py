"""The state of threads in memory, and who may write to one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct, field

from clew.engine.records import Piece, Queued, Record, Run, ThreadKey
from clew.errors import Conflict, ThreadBusy
from clew.storage.base import Ask, Asked, Lease, Renew, Watch, first_epoch


class Thread(Struct):
    runs: dict[str, Run] = field(default_factory=dict)  # by id, in the order of their numbers
    pieces: list[str] = field(default_factory=list)  # ids of those that its runs keep
    queue: dict[str, Queued] = field(default_factory=dict)  # by id, in the order of arrival
    epoch: int = 0
    owner: str | None = None
    until_s: float = 0.0
    asked: Asked | None = None
    due_s: float | None = None
    changed_s: float = 0.0

    @property
    def head(self) -> Run | None:
        return next(reversed(self.runs.values()), None)

    def is_held(self, now_s: float, evicts: Sequence[str] = ()) -> bool:
        """Say whether an owner that is not known to be dead has the lease."""
        return self.owner is not None and self.until_s > now_s and self.owner not in evicts

    def give_back(self, now_s: float, due_s: float | None = None) -> None:
        """End the lease."""
        self.owner, self.until_s, self.due_s, self.changed_s = None, 0.0, due_s, now_s


class Journals(Struct):
    threads: dict[ThreadKey, Thread] = field(default_factory=dict)
    pieces: dict[str, Piece] = field(default_factory=dict)
    records: dict[str, dict[str, Record]] = field(default_factory=dict)  # run id -> key -> record
    events: dict[str, list[bytes]] = field(default_factory=dict)  # by run id
    begun: dict[str, deque[float]] = field(default_factory=dict)  # workflow -> when runs were, as far as it counts

    def made(self, key: ThreadKey, now_s: float) -> Thread:
        """Return a thread, made if it is missing."""
        return self.threads.setdefault(key, Thread(epoch=first_epoch(now_s)))

    def forget_run(self, run_id: str) -> None:
        """Remove what is kept of a run beside the run itself."""
        self.records.pop(run_id, None)
        self.events.pop(run_id, None)

    def claimed(self, key: ThreadKey, head: Run | None, now_s: float, evicts: Sequence[str]) -> Thread:
        """Return a thread that nobody holds, made if it is missing.

        Raises:
            ThreadBusy: somebody holds it.
            Conflict: its head is not, or does not stand, as it was seen.
        """
        thread = self.made(key, now_s)
        if thread.is_held(now_s, evicts):
            raise ThreadBusy(f"another run holds thread {key.thread_id!r} of {key.workflow!r}", thread.owner or "")
        if (thread.head and thread.head.version) != (head and head.version):
            raise Conflict(f"thread {key.thread_id!r} of {key.workflow!r} was changed by another writer meanwhile")
        return thread

    def held(self, lease: Lease) -> Thread:
        """Return the thread of a lease.

        Raises:
            Conflict: another writer has it.
        """
        thread = self.threads.get(lease.thread)
        if thread is None or thread.epoch != lease.epoch:
            raise Conflict(
                f"thread {lease.thread.thread_id!r} of {lease.thread.workflow!r} was taken over by another run, or "
                f"deleted, while run {lease.run_id} was under way (epoch {lease.epoch}); nothing of this write was kept"
            )
        return thread


def renew(journals: Journals, operation: Renew) -> None:
    journals.held(operation.lease).until_s = operation.until_s


def watch(journals: Journals, operation: Watch) -> dict[str, Asked]:
    found: dict[str, Asked] = {}
    for lease in operation.leases:
        thread = journals.threads.get(lease.thread)
        if thread is not None and thread.epoch == lease.epoch and thread.asked is not None:
            found[lease.run_id] = thread.asked
    return found


def ask(journals: Journals, operation: Ask) -> bool:
    thread = journals.threads.get(operation.thread)
    if thread is None or thread.head is None or operation.run_id not in (None, thread.head.id):
        return False
    is_handed_over = thread.head.status == "running"
    if thread.owner is None and not (operation.what == "cancel" and is_handed_over):
        return False
    thread.asked = operation.what
    return True
