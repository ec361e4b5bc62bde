"""Who holds a thread: the dead lose it at once, the living are waited for, who was overtaken can no longer write."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from clew import (
    Checkpointer,
    Command,
    Conflict,
    Database,
    SqliteSaver,
    ThreadBusy,
    Workflow,
    entrypoint,
    interrupt,
    task,
)
from clew.engine.records import Record, Run, ThreadKey
from clew.errors import Unavailable
from clew.looking import list_runs, show_run
from clew.runner import leases, taking, workflows
from clew.runner.leases import Keeper, is_dead, this_process
from clew.storage.base import Append, Begin, End, Lease, Load, LoadRecords, Renew
from support.colours import PATIENCE_S, Colour, Gate, result, thread
from support.processes import Process, start

HOLD = """
from clew.runner import leases, taking

db = Database({file!r})

@task
def first():
    return "first"

@task
def second(store):
    store.put(("told",), "by", {{"who": "child"}})
    say("holding")
    hear()
    return "second"

@entrypoint(database=db)
def flow(x):
    if x == 0:
        return "zero"
    return [x, first().result(), second().result()]
"""


def holding(file: Path, then: str = "flow.invoke(1, THREAD)") -> Any:
    """Start a process that runs `flow` on thread 1 and stops in its second task until it hears something."""
    return start(HOLD.format(file=str(file)) + then)


class Counted:
    """The same workflow as in the other process, counting what it runs itself."""

    def __init__(self, database: Database, wait_s: float = PATIENCE_S) -> None:
        self.ran: list[str] = []
        ran = self.ran

        @task
        def first() -> str:
            ran.append("first")
            return "first"

        @task
        def second() -> str:
            ran.append("second")
            return "second"

        @entrypoint(database=database)
        def flow(x: int) -> list[Any]:
            return [x, first().result(), second().result()]

        self.flow: Any = Workflow(replace(flow._settings, wait_s=wait_s))


def killed(process: Process) -> None:
    process.hears("holding")
    process.send(signal.SIGKILL)
    process.was_killed()


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with holding(file) as process:
        killed(process)
        with closing(Database(file)) as database:
            counted = Counted(database, wait_s=0)
            assert counted.flow.invoke(None, thread()) == [1, "first", "second"]
            assert counted.ran == ["second"]
            assert list(database.store.search(("told",))) == []


def test_the_lease_of_a_process_that_ended_but_was_not_collected_is_taken_over_at_once(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with holding(file) as process:
        process.hears("holding")
        process.send(signal.SIGKILL)  # a zombie from now on, until somebody waits for it
        with closing(Database(file)) as database:
            assert Counted(database).flow.invoke(None, thread()) == [1, "first", "second"]


def test_a_new_input_after_a_crash_starts_afresh_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "app.db"
    with holding(file) as process:
        killed(process)
        with closing(Database(file)) as database:
            counted = Counted(database, wait_s=0)
            assert counted.flow.invoke(2, thread()) == [2, "first", "second"]
            assert counted.ran == ["first", "second"]
            assert caplog.text.count("goes on without the rest of run") == 1
            assert counted.flow.invoke(3, thread()) == [3, "first", "second"]
            assert caplog.text.count("goes on without") == 1
            runs = list_runs(database, "1", workflow="flow")
            assert [run.status for run in runs] == ["done", "done", "crashed"]
            assert show_run(database, "1", run_id=runs[2].id, workflow="flow").run.status == "crashed"


def test_an_update_by_hand_after_a_crash_is_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with holding(file) as process:
        killed(process)
        with closing(Database(file)) as database:
            flow = Counted(database, wait_s=0).flow
            flow.update_state(thread(), "by hand")
            assert flow.get_state(thread()).values == "by hand"


def test_a_fork_of_an_old_end_after_a_crash_is_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with holding(file, "flow.invoke(0, THREAD); flow.invoke(1, THREAD)") as process:
        killed(process)
        with closing(Database(file)) as database:
            flow = Counted(database, wait_s=0).flow
            end = next(state for state in flow.get_state_history(thread()) if state.values == "zero" and not state.next)
            assert flow.invoke(None, end.config) == "zero"
            assert flow.get_state(thread()).next == ()


def test_a_living_process_is_waited_for_with_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with holding(file) as process, closing(Database(file)) as database:
        process.hears("holding")
        with pytest.raises(ThreadBusy, match="thread '1'") as caught:
            Counted(database, wait_s=0.05).flow.invoke(2, thread())
        assert str(process.pid) in caught.value.owner
        process.say("go on")
        assert Counted(database).flow.invoke(2, thread()) == [2, "first", "second"]
        process.ends_well()


def test_who_was_overtaken_gets_a_conflict_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    then = """
leases.LEASE_S = taking.LEASE_S = 0.05
try:
    flow.invoke(1, THREAD)
except errors.Conflict as conflict:
    say("overtaken")
    hear()
"""
    with holding(file, then) as process, closing(Database(file)) as database:
        process.hears("holding")
        process.send(signal.SIGSTOP)
        counted = Counted(database)
        assert counted.flow.invoke(None, thread()) == [1, "first", "second"]
        assert counted.ran == ["second"]
        process.send(signal.SIGCONT)
        process.say("go on")
        process.hears("overtaken")
        assert list(database.store.search(("told",))) == []
        state = counted.flow.get_state(thread())
        assert (state.values, state.next) == ([1, "first", "second"], ())
        process.ends_well()


def test_a_long_run_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEW_EVERY_S", 0.02)
    monkeypatch.setattr(leases, "LEASE_S", 0.1)
    monkeypatch.setattr(taking, "LEASE_S", 0.1)
    monkeypatch.setattr(workflows, "keeper", Keeper())
    begun, go_on = Gate(), Gate()
    with closing(SqliteSaver(tmp_path / "a.db")) as saver, closing(SqliteSaver(tmp_path / "a.db")) as other:

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            begun.open()
            go_on.wait()
            return x

        @entrypoint(checkpointer=other, name="flow")
        def elsewhere(x: int) -> int:
            return x

        running = threading.Thread(target=flow.invoke, args=(1, thread()))
        running.start()
        begun.wait()
        with pytest.raises(ThreadBusy):
            Workflow(replace(elsewhere._settings, wait_s=0.3)).invoke(2, thread())
        go_on.open()
        running.join()
        assert elsewhere.get_state(thread()).values == 1


def test_leases_are_renewed_though_another_database_fails_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leases, "_RENEW_EVERY_S", 0.02)
    keeper, renewed = Keeper(), threading.Event()

    def fails(operation: Any) -> Any:
        raise RuntimeError("a driver's own error")

    def renews(operation: Any) -> Any:
        if isinstance(operation, Renew):
            renewed.set()
        return {}

    with closing(SqliteSaver(tmp_path / "bad.db")) as bad, closing(SqliteSaver(tmp_path / "good.db")) as good:
        monkeypatch.setattr(bad, "execute", fails)
        monkeypatch.setattr(good, "execute", renews)
        held = [Lease(ThreadKey("1", "flow"), run_id, 1, (1, 1)) for run_id in ("of-bad", "of-good")]
        for saver, lease in zip((bad, good), held, strict=True):
            keeper.hold(saver, lease, lambda what: None)
        for _ in range(3):  # also after it failed
            renewed.clear()
            assert renewed.wait(PATIENCE_S)
        for lease in held:
            keeper.let_go(lease)


class TestNamesOfProcesses:
    def test_this_process_lives(self) -> None:
        assert this_process() == this_process()
        assert not is_dead(this_process())

    def test_a_process_that_ended_is_dead(self) -> None:
        with start(
            "say(leases.this_process())".replace("leases", "__import__('clew.runner.leases').runner.leases")
        ) as p:
            owner = p.next_line()
            p.ends_well()
        assert is_dead(owner)

    def test_another_process_under_the_same_number_is_another_one(self) -> None:
        machine, pid, started = this_process().rsplit("/", 2)
        assert is_dead(f"{machine}/{pid}/{int(started) - 1}")

    def test_nothing_is_known_of_other_machines_and_other_names(self) -> None:
        _, pid, started = this_process().rsplit("/", 2)
        assert not is_dead(f"elsewhere/boot/pid/{pid}/{int(started) - 1}")
        assert not is_dead("")
        assert not is_dead("somebody")

    def test_a_forked_child_has_a_name_of_its_own(self) -> None:
        program = """
import os, sys
from clew.runner.leases import this_process
before = this_process()
pid = os.fork()
if not pid:
    os._exit(0 if this_process() != before else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


THREAD = ThreadKey("1", "flow")


def new_run(id: str, number: int = 0) -> Run:
    return Run(
        id=id, number=number, source="input", parent=None, previous=None, step=-1, status="running", input=b"",
        created_s=0.0,
    )  # fmt: skip


def begin(saver: Checkpointer, run: Run, head: Run | None, *, until_s: float, now_s: float = 0.0) -> Lease:
    return saver.execute(Begin(thread=THREAD, run=run, head=head, owner="a", until_s=until_s, now_s=now_s))


def record(key: str) -> Record:
    return Record(
        key=key, name="t", fingerprint=b"", arguments="", state="value", outcome=b"", attempts=1, started_s=0, ended_s=0
    )


class TestFencing:
    def test_a_lease_is_not_given_twice(self, saver: Checkpointer) -> None:
        begin(saver, new_run("r1"), None, until_s=10)
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, new_run("r2", 1), new_run("r1"), until_s=20, now_s=9)
        assert caught.value.owner == "a"
        begin(saver, new_run("r2", 1), new_run("r1"), until_s=20, now_s=11)

    def test_whoever_comes_with_an_old_picture_of_the_thread_is_refused(self, saver: Checkpointer) -> None:
        begin(saver, new_run("r1"), None, until_s=1)
        with pytest.raises(Conflict):
            begin(saver, new_run("r2"), None, until_s=20, now_s=5)

    @pytest.mark.parametrize(
        "late",
        [
            {"records": [record("a#1")]},
            {"records": [record("kept#1")], "replaces": ["kept#1"]},
            {"replaces": ["kept#1"]},
            {"end": End(status="done", value=b"late", ended_s=1.0)},
            {},
        ],
        ids=["record", "replacing", "removing", "end", "nothing"],
    )
    def test_an_append_under_an_older_epoch_is_refused_whole(self, saver: Checkpointer, late: Any) -> None:
        old = begin(saver, new_run("r1"), None, until_s=1)
        saver.execute(Append(lease=old, records=[record("kept#1")]))
        new = begin(saver, new_run("r1"), new_run("r1"), until_s=20, now_s=5)
        with pytest.raises(Conflict, match="taken over"):
            saver.execute(Append(lease=old, **late))
        with pytest.raises(Conflict):
            saver.execute(Renew(old, 99))
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["kept#1"]
        saver.execute(Append(lease=new, end=End(status="done", value=b"new", ended_s=6.0)))
        kept = saver.execute(Load(THREAD))
        assert kept is not None
        assert (kept.status, kept.value) == ("done", b"new")

    def test_a_late_writer_cannot_write_to_a_thread_that_was_deleted_and_made_anew(self, saver: Checkpointer) -> None:
        old = begin(saver, new_run("r1"), None, until_s=10, now_s=1.0)
        saver.delete_thread("1")
        with pytest.raises(Conflict):
            saver.execute(Append(lease=old, records=[record("a#1")]))
        begin(saver, new_run("r2"), None, until_s=10, now_s=2.0)
        for late in (
            Append(lease=old, records=[record("a#1")]),
            Append(lease=old, end=End(status="done", ended_s=1.0)),
        ):
            with pytest.raises(Conflict):
                saver.execute(late)
        assert saver.execute(LoadRecords("r2")) == []

    def test_a_record_is_not_written_twice(self, saver: Checkpointer) -> None:
        lease = begin(saver, new_run("r1"), None, until_s=10)
        saver.execute(Append(lease=lease, records=[record("a#1")]))
        with pytest.raises(Conflict):
            saver.execute(Append(lease=lease, records=[record("b#1"), record("a#1")]))
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a#1"]

    def test_an_end_gives_the_lease_back(self, saver: Checkpointer) -> None:
        lease = begin(saver, new_run("r1"), None, until_s=10)
        saver.execute(Append(lease=lease, end=End(status="done", ended_s=1.0)))
        begin(saver, new_run("r2", 1), saver.execute(Load(THREAD)), until_s=20, now_s=2)

    def test_a_thread_that_changed_since_it_was_seen_is_not_taken(self, saver: Checkpointer) -> None:
        lease = begin(saver, new_run("r1"), None, until_s=10)
        seen = saver.execute(Load(THREAD))  # still running
        saver.execute(Append(lease=lease, end=End(status="done", value=b"\x01", ended_s=1)))
        with pytest.raises(Conflict):  # it would begin from the value before that of r1
            begin(saver, new_run("r2", 1), seen, until_s=20, now_s=2)
        begin(saver, new_run("r2", 1), saver.execute(Load(THREAD)), until_s=20, now_s=2)


def test_a_failed_begin_leaves_no_thread_behind(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        return None

    for input in (None, object()):
        with pytest.raises((ValueError, TypeError)):
            colour.invoke(flow, input, thread())
    assert not flow.get_state(thread()).exists


def test_a_run_of_this_process_is_over_when_its_lease_is_free(colour: Colour, saver: Checkpointer) -> None:
    @colour.task
    async def fails() -> None:
        raise KeyError

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        await result(fails())

    started_s = time.monotonic()
    for _ in range(2):
        with pytest.raises(KeyError):
            colour.invoke(flow, 1, thread())
    assert time.monotonic() - started_s < leases.LEASE_S


class Outage:
    """Lets a saver keep no more ends of runs for as long as it `lasts`."""

    def __init__(self, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lasts = True
        execute, aexecute = saver.execute, saver.aexecute

        def look(operation: Any) -> None:
            if self.lasts and isinstance(operation, Append) and operation.end is not None:
                raise Unavailable("the disk is full")

        def looked(operation: Any) -> Any:
            look(operation)
            return execute(operation)

        def alooked(operation: Any) -> Any:
            look(operation)
            return aexecute(operation)

        monkeypatch.setattr(saver, "execute", looked)
        monkeypatch.setattr(saver, "aexecute", alooked)


class TestARunWhoseEndCouldNotBeKept:
    """Its process goes on with it at once, and does not wait for its own lease."""

    def test_it_goes_on_once_it_can(self, colour: Colour, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch) -> None:
        outage, ran = Outage(saver, monkeypatch), []

        @colour.task
        async def note(x: int) -> int:
            ran.append(x)
            return x

        @colour.entrypoint(checkpointer=saver, wait_s=0)
        async def flow(x: int) -> int:
            return await result(note(x)) + 1

        for input in (1, None, None):
            with pytest.raises(Unavailable, match="the disk is full"):
                colour.invoke(flow, input, thread())
        outage.lasts = False
        assert colour.invoke(flow, None, thread()) == 2
        assert ran == [1]
        assert colour.invoke(flow, 2, thread()) == 3

    def test_what_it_failed_with_runs_again(
        self, colour: Colour, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage, ran = Outage(saver, monkeypatch), []

        @colour.task
        async def fails_once() -> int:
            ran.append(1)
            if len(ran) == 1:
                raise KeyError("once")
            return len(ran)

        @colour.entrypoint(checkpointer=saver, wait_s=0)
        async def flow(x: int) -> int:
            return await result(fails_once())

        with pytest.raises(Unavailable, match="the disk is full"):
            colour.invoke(flow, 1, thread())
        outage.lasts = False
        assert colour.invoke(flow, None, thread()) == 2

    def test_its_questions_are_asked(
        self, colour: Colour, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage = Outage(saver, monkeypatch)

        @colour.entrypoint(checkpointer=saver, wait_s=0)
        async def flow(x: int) -> Any:
            return interrupt("sure?")

        with pytest.raises(Unavailable, match="the disk is full"):
            colour.invoke(flow, 1, thread())
        outage.lasts = False
        assert [asked.value for asked in colour.invoke(flow, None, thread())["__interrupt__"]] == ["sure?"]
        assert colour.invoke(flow, Command(resume="yes"), thread()) == "yes"

    def test_whoever_has_taken_its_thread_keeps_it(
        self, colour: Colour, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage = Outage(saver, monkeypatch)

        @colour.entrypoint(checkpointer=saver, wait_s=0)
        async def flow(x: int) -> int:
            return x

        with pytest.raises(Unavailable, match="the disk is full"):
            colour.invoke(flow, 1, thread())
        outage.lasts = False
        head = saver.execute(Load(THREAD))
        assert head is not None
        now_s, owner = time.time(), this_process()
        newer = saver.execute(
            Begin(thread=THREAD, run=head, head=head, owner=owner, until_s=now_s + 60, now_s=now_s, evicts=[owner])
        )
        for _ in range(2):
            with pytest.raises(ThreadBusy):
                colour.invoke(flow, 2, thread())
        saver.execute(Append(lease=newer, end=End(status="failed", error="by hand", ended_s=now_s)))
        assert colour.invoke(flow, 2, thread()) == 2
