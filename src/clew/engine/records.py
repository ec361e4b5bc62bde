"""What is kept of a thread: its runs, and the journal of each run. Values are opaque bytes here."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

Status = Literal["running", "done", "failed", "interrupted", "cancelled"]
Source = Literal["input", "update", "fork"]
RecordState = Literal["value", "failure", "reopened"]
Act = Literal["input", "resume", "continue"]


class ThreadKey(NamedTuple):
    """The durable identity of a conversation or job. Workflows that share a thread_id are kept apart by name."""

    thread_id: str
    workflow: str


class Record(Struct, frozen=True, gc=False):  # it holds nothing that could hold it
    """One kept outcome of a call.

    Args:
        key: the call's stable name within its run.
        name: name of the task, or of the engine's own kind of call such as ":interrupt".
        fingerprint: digest of the arguments, or b"" where there are none to compare.
        arguments: a short text of the arguments, for people.
        state: "value"; "failure"; or "reopened", a failure that ended its run and is to be tried again.
        outcome: the encoded value or failure.
        attempts: how many tries it took, from 1.
        started_s: seconds since the epoch.
        ended_s: seconds since the epoch.
    """

    key: str
    name: str
    fingerprint: bytes
    arguments: str
    state: RecordState
    outcome: bytes
    attempts: int
    started_s: float
    ended_s: float


class Run(Struct, frozen=True, kw_only=True):
    """One execution on a thread, as it is kept.

    Args:
        id: text of 32 hexadecimal digits.
        number: place of the run on its thread, from 0.
        source: "input" for a call of the workflow, "update" for a value set by hand, "fork" for a copy.
        parent: the checkpoint it started from, or None.
        previous: id of the run whose saved value is this run's `previous`, or None.
        step: step number of its first checkpoint.
        status: "running" until it ended; a run whose process died stays "running", and so does one that was handed
            over to whoever goes on with it (it has `ended_s`). "interrupted" by a question, or because it was asked to
            stop; "cancelled" for good, unless somebody continues it.
        input: the encoded input, or None where the run has none, or has no longer since it was trimmed.
        value: the encoded returned value, or None before the run is done.
        saved: the encoded value for the next run, or None where it is the returned one.
        error: text of the exception that ended it, or None.
        questions: the encoded questions that wait for answers.
        metadata: what is kept of its caller's config, encoded.
        created_s: seconds since the epoch.
        ended_s: seconds since the epoch, or None.
        attempts: how often it was begun or continued, from 1.
        crashes: how many processes in a row died while they ran it.
    """

    id: str
    number: int
    source: Source
    parent: str | None
    previous: str | None
    step: int
    status: Status
    input: bytes | None
    value: bytes | None = None
    saved: bytes | None = None
    error: str | None = None
    questions: bytes = b""
    metadata: bytes = b""
    created_s: float
    ended_s: float | None = None
    attempts: int = 1
    crashes: int = 0

    @property
    def has_crashed(self) -> bool:
        """Whether its process died, if nobody runs it."""
        return self.status == "running" and self.ended_s is None

    @property
    def kept(self) -> bytes | None:
        """What the next run gets as `previous`, encoded."""
        return self.value if self.saved is None else self.saved

    @property
    def version(self) -> tuple[str, str, int]:
        """What changes whenever a run is begun, continued or ended."""
        return (self.id, self.status, self.attempts)

    @property
    def has_input_checkpoint(self) -> bool:
        """Whether the run's first checkpoint is there; a value set by hand, or a trimmed run, has only an end."""
        return self.source == "input" and self.input is not None

    @property
    def end_step(self) -> int:
        """Step number of the checkpoint that ends the run."""
        return self.step + 1 if self.source == "input" else self.step


class Queued(Struct, frozen=True, kw_only=True):
    """A place in the queue of a thread: a caller that waits for its turn, or a call that was submitted.

    Places are served in the order in which they were taken, submitted calls from `due_s` on.

    Args:
        id: of the run that it becomes, if it becomes a new one.
        thread: whose queue.
        owner: the process whose caller waits, and will run it itself; None: any worker may carry it out.
        until_s: when a waiting caller counts as gone unless it says that it still waits; without an owner 0.
        act: a new run with an "input", a "resume" with an answer, or "continue" what is there.
        input: the encoded input or answer; None where a caller brings its own, or there is none.
        config: the encoded config of a submitted call.
        priority: among threads, the larger first.
        due_s: not to be carried out before.
        created_s: when the place was taken.
    """

    id: str
    thread: ThreadKey
    owner: str | None = None
    until_s: float = 0.0
    act: Act = "input"
    input: bytes | None = None
    config: bytes = b""
    priority: int = 0
    due_s: float = 0.0
    created_s: float


class Work(Struct, frozen=True, kw_only=True):
    """A thread on which there is something to do for a worker.

    Args:
        thread: which.
        owner: who holds its lease, if that has not run out; it may be dead all the same. None: nobody.
        why: its run "crashed", a submitted call is "queued", or a question's time is over, or a run was handed over
            ("due").
        priority: of a submitted call; 0 for what is to go on.
    """

    thread: ThreadKey
    owner: str | None
    why: Literal["crashed", "queued", "due"]
    priority: int = 0


class Piece(Struct, frozen=True, kw_only=True):
    """Elements of a list, encoded one after another.

    Args:
        id: text that no other piece of the database has or had: what it names never changes.
        before: id of the piece with the elements before these, or None.
        count: how many elements.
        body: their bytes.
    """

    id: str
    before: str | None
    count: int
    body: bytes


def input_checkpoint(run_id: str) -> str:
    """Name the checkpoint at which a run's input was kept."""
    return f"{run_id}-0"


def end_checkpoint(run_id: str) -> str:
    """Name the checkpoint at which a run was done."""
    return f"{run_id}-1"


def run_of(checkpoint_id: str) -> tuple[str, bool]:
    """Split a checkpoint's name into the run's id and whether it is the run's end."""
    run_id, _, part = checkpoint_id.rpartition("-")
    return run_id, part == "1"
