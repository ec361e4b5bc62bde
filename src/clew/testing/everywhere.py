"""Runs a workflow once for each place where its process can die, and says what a crash there would break."""

from __future__ import annotations

import itertools
import operator
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from clew.configs import merged
from clew.database import Database
from clew.engine.events import Wanted
from clew.engine.questions import Command
from clew.errors import UsageError
from clew.runner.channels import Channel
from clew.runner.execution import Durability
from clew.runner.frame import Call
from clew.runner.launching import Output, invoke
from clew.runner.streams import Emitter
from clew.testing.crashes import CrashingCheckpointer, CrashPoint, SimulatedCrash
from clew.workflow import Workflow

if TYPE_CHECKING:
    from clew.options import Config

_MOMENTS: Sequence[Any] = ("before", "after")
_EVERYTHING = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CrashReport:
    """What `crash_everywhere` did, where nothing was broken.

    Args:
        value: what the workflow returned without a crash.
        crashes: where it crashed.
        repeated: for each task that ran again after a crash, by name: after which ones. Its outcome was not kept yet;
            what it does to systems outside it does twice, unless they know `get_runtime().idempotency_key`.
    """

    value: Any
    crashes: Sequence[CrashPoint]
    repeated: Mapping[str, Sequence[CrashPoint]]


def crash_everywhere(
    workflow: Workflow[Any, Any],
    input: Any,
    *,
    answer: Callable[[Any], Any] | None = None,
    database: Database | None = None,
    config: Config | None = None,
    context: Any = None,
    durability: Durability = "sync",
    same: Callable[[Any, Any], bool] = operator.eq,
) -> CrashReport:
    """Crash a workflow before and after each of its appends, continue it, and check that nothing is lost or done twice.

    First it runs undisturbed; then once for each crash point, on a thread of its own: it crashes there, and goes on
    as in another process. Tasks really run, many times.

    Args:
        workflow: blocking or async.
        input: its input.
        answer: gives the answer to a question, from the question's value.
        database: where all of it is kept, on new threads; by default, in memory, a new one for each crash point. In
            place of the workflow's own; workflows that it calls keep the store that they declare.
        config: merged into the config of every run.
        context: as for `invoke`.
        durability: as for `invoke`.
        same: whether two values that the workflow returned are the same; they are compared by == by default.

    Returns:
        The crash points, and which tasks ran again because their outcome was not kept yet.

    Raises:
        AssertionError: after a crash a task ran again although its outcome was kept, or the workflow came to another
            end, or other memories were left. The message says all of it.
        UsageError: the input is None; or the workflow asks a question and there is no `answer`.
        Exception: whatever the workflow raises without a crash, once it was seen to raise the same after every one.
    """
    if input is None:
        raise UsageError("crash_everywhere needs an input; None means to continue, and there is nothing yet")
    play = _Play(workflow, input, answer, database, merged({}, config or {}), context, durability)
    expected = play.undisturbed()
    crashes: list[CrashPoint] = []
    repeated: dict[str, list[CrashPoint]] = {}
    problems: list[str] = []
    for at in (CrashPoint(number, moment) for number in itertools.count(1) for moment in _MOMENTS):
        life = play.with_crash(at)
        if not life.has_crashed:
            break
        crashes.append(at)
        problems += [f"{at}: {problem}" for problem in life.problems(expected, same)]
        for name in life.repeated():
            repeated.setdefault(name, []).append(at)
    if problems:
        told = "\n  ".join(problems)
        raise AssertionError(f"{workflow.name!r} does not survive every one of its {len(crashes)} crashes:\n  {told}")
    if expected.failed:
        raise expected.value
    return CrashReport(value=expected.value, crashes=crashes, repeated=repeated)


@dataclass(kw_only=True)
class _Life:
    """What a run came to, crashed or not.

    Args:
        value: what it returned; where it failed, the error.
        failed: whether it did.
        memories: for each memory left, how often it was written.
        ran: the calls that were carried out in each life of the process, by key, each with its name.
        kept: the keys of the outcomes that were kept when it crashed.
        has_crashed: whether the crash point was reached.
    """

    value: Any = None
    failed: bool = False
    memories: list[int] = field(default_factory=list)
    ran: list[Sequence[tuple[str, str]]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    has_crashed: bool = False

    def problems(self, expected: _Life, same: Callable[[Any, Any], bool]) -> list[str]:
        """Say what differs from a life without a crash."""
        found = [
            f"task {name!r} ({key}) ran again although its outcome was kept"
            for key, name in self.ran[-1]
            if key in self.kept
        ]
        if self._shown != expected._shown if self.failed or expected.failed else not same(expected.value, self.value):
            found.append(f"it {self._shown}; without a crash it {expected._shown}")
        if self.memories != expected.memories:
            found.append(f"it left {_told(self.memories)}; without a crash {_told(expected.memories)}")
        return found

    def repeated(self) -> list[str]:
        """Return the names of the calls that were carried out before the crash and again after it."""
        before = Counter(key for life in self.ran[:-1] for key, _ in life)
        return sorted({name for key, name in self.ran[-1] if before[key]})

    @property
    def _shown(self) -> str:
        return f"raised {self.value!r}" if self.failed else f"returned {self.value!r}"


@dataclass
class _Play:
    """A workflow and all that it is called with."""

    workflow: Workflow[Any, Any]
    input: Any
    answer: Callable[[Any], Any] | None
    database: Database | None
    config: Mapping[str, Any]
    context: Any
    durability: Durability

    def undisturbed(self) -> _Life:
        return self.with_crash(None)

    def with_crash(self, at: CrashPoint | None) -> _Life:
        """Run the workflow, in another life of the process if it crashed, to its end."""
        if self.database is not None:
            return self._lived(self.database, at)
        with Database() as database:
            life = self._lived(database, at)
            life.memories = sorted(item.version for item in database.store.search((), limit=_EVERYTHING))
            return life

    def _lived(self, database: Database, at: CrashPoint | None) -> _Life:
        life, thread_id = _Life(), f"crash-{uuid.uuid4().hex}"
        try:
            self._run(database, thread_id, CrashingCheckpointer(database.checkpointer, at), life)
        except SimulatedCrash:
            self._run(database, thread_id, CrashingCheckpointer(database.checkpointer), life)
        return life

    def _run(self, database: Database, thread_id: str, saver: CrashingCheckpointer, life: _Life) -> None:
        """Run the workflow for one life of the process; see what became of it."""
        store = None if self.workflow.store is None else database.store
        settings = replace(self.workflow._settings, saver=saver, store=store)
        counter = _Counter()
        life.ran.append(counter.ran)
        try:
            life.value, life.failed = self._to_its_end(settings, thread_id, counter), False
        except UsageError:
            raise
        except Exception as error:
            life.value, life.failed = error, True
        finally:
            if saver.has_crashed:
                life.has_crashed, life.kept = True, saver.recorded

    def _to_its_end(self, settings: Any, thread_id: str, counter: _Counter) -> Any:
        """Call the workflow, and answer what it asks, until it is done."""
        flow = Workflow[Any, Any](settings, self.workflow._context_schema, self.workflow._bound)
        config = merged(self.config, {"configurable": {"thread_id": thread_id}})
        given: Any = self.input
        while True:
            # The run has a name, so that the same call goes on with whatever is kept of it, if anything is.
            run_key = None if isinstance(given, Command) else "crash_everywhere"
            request = flow._request(given, config, self.context, self.durability, None, run_key)
            output: Output[Any] = Output.of(invoke(settings, replace(request, emitter=counter)), "v2")
            if not output.interrupts:
                return output.value
            given = Command(resume={asked.id: self._answered(asked.value) for asked in output.interrupts})

    def _answered(self, question: Any) -> Any:
        if self.answer is None:
            raise UsageError(f"{self.workflow.name!r} asks {question!r}; pass answer=, a function that gives it")
        return self.answer(question)


class _Counter(Emitter):
    """Notes which calls are carried out, and not answered from the journal."""

    def __init__(self) -> None:
        super().__init__(Channel(), Wanted(modes=frozenset(), single=False))
        self.ran: list[tuple[str, str]] = []

    def started(self, call: Call) -> None:
        if call.key:  # the outermost body runs again each time
            self.ran.append((call.key, call.callee.name))

    def finished(self, call: Call, value: Any, *, replayed: bool = False, cached: bool = False) -> None:
        if replayed:
            self.ran.remove((call.key, call.callee.name))

    def failed(self, call: Call, error: BaseException, *, replayed: bool = False) -> None:
        if replayed:
            self.ran.remove((call.key, call.callee.name))


def _told(versions: Sequence[int]) -> str:
    return f"{len(versions)} memories, written {sum(versions)} times"
