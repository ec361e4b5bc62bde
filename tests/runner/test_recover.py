"""`recover`: runs whose process died are continued, each exactly once, and those that kill their processes are left."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Database,
    InMemorySaver,
    Recovered,
    SqliteSaver,
    arecover,
    entrypoint,
    recover,
    task,
)
from clew.engine.records import ThreadKey, Work
from clew.errors import SetAside, Unavailable, UsageError
from clew.runner.io import run_blocking
from clew.runner.recovering import Known, Terms, carry_out
from clew.runner.requests import Reins
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Append, Ask, Operation
from support.colours import PATIENCE_S, Colour, result, thread
from support.working import hand_over, head, leave_half_way, working


def test_a_run_whose_process_died_goes_on(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def double(x: int) -> int:
        return 2 * x

    @colour.entrypoint
    async def flow(x: int) -> int:
        doubled: int = await result(double(x))
        return doubled

    lease = leave_half_way(saver, "flow", "a", 21)
    assert recover(saver, [flow]) == [
        Recovered(thread_id="a", workflow="flow", run_id=lease.run_id, status="done", error=None)
    ]
    assert head(saver, "flow", "a").status == "done"
    assert recover(saver, [flow]) == []


def test_async_code_recovers_too(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint
    async def flow(x: int) -> int:
        return x

    leave_half_way(saver, "flow", "a", 1)
    leave_half_way(saver, "flow", "b", 2)
    done = asyncio.run(arecover(saver, [flow]))
    assert sorted((each.thread_id, each.status) for each in done) == [("a", "done"), ("b", "done")]


def test_a_run_that_was_handed_over_goes_on(saver: Checkpointer) -> None:
    @entrypoint
    def flow(x: int) -> int:
        return x

    hand_over(saver, leave_half_way(saver, "flow", "a", 1))
    assert [each.status for each in recover(saver, [flow])] == ["done"]


def test_a_run_that_was_cancelled_is_not_begun_again(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.entrypoint
    async def flow(x: int) -> None:
        ran.append(x)

    crashed, before, after = (leave_half_way(saver, "flow", name, 1) for name in "abc")
    assert saver.execute(Ask(crashed.thread, "cancel"))
    assert saver.execute(Ask(before.thread, "cancel"))
    hand_over(saver, before)
    hand_over(saver, after)
    assert saver.execute(Ask(after.thread, "cancel"))
    assert [each.status for each in recover(saver, [flow])] == ["cancelled"] * 3
    assert ran == []
    assert recover(saver, [flow]) == []
    colour.invoke(colour.entrypoint(checkpointer=saver)(flow.__wrapped__), None, thread("a"))
    assert ran == [1]


def test_a_run_that_was_cancelled_is_not_set_aside(saver: Checkpointer) -> None:
    @entrypoint
    def flow(x: int) -> None:
        raise AssertionError(x)

    saver.execute(Ask(leave_half_way(saver, "flow", "a", 1, crashes=9).thread, "cancel"))
    assert [each.status for each in recover(saver, [flow])] == ["cancelled"]
    assert head(saver, "flow", "a").status == "cancelled"


def test_many_recoverers_at_once_continue_each_run_once(saver: Checkpointer) -> None:
    ran: list[int] = []

    @task
    def note(x: int) -> None:
        ran.append(x)

    @entrypoint
    def flow(x: int) -> None:
        note(x).result()

    for number in range(20):
        leave_half_way(saver, "flow", str(number), number)
    together = threading.Barrier(10)

    def recovered() -> list[Recovered]:
        together.wait()
        return recover(saver, [flow])

    with ThreadPoolExecutor(10) as threads:
        done = [each for future in [threads.submit(recovered) for _ in range(10)] for each in future.result()]
    assert sorted(ran) == list(range(20))
    assert sorted(int(each.thread_id) for each in done) == list(range(20))


def test_a_run_that_fails_does_not_stop_the_others(saver: Checkpointer) -> None:
    @entrypoint
    def flow(x: int) -> int:
        if x == 1:
            raise ValueError("one")
        return x

    for number in range(3):
        leave_half_way(saver, "flow", str(number), number)
    statuses = {each.thread_id: (each.status, each.error) for each in recover(saver, [flow])}
    assert statuses == {"0": ("done", None), "1": ("failed", "ValueError('one')"), "2": ("done", None)}


def test_what_cannot_be_read_is_said_and_does_not_stop_the_others(
    saver: Checkpointer, caplog: pytest.LogCaptureFixture
) -> None:
    @entrypoint
    def flow(x: int) -> int:
        return x

    leave_half_way(saver, "flow", "a", 1, config=b"\xc1")
    leave_half_way(saver, "flow", "b", 1)
    assert [each.thread_id for each in recover(saver, [flow])] == ["b"]
    assert [each.thread_id for each in asyncio.run(arecover(saver, [flow]))] == []
    assert "thread 'a' of workflow 'flow'" in caplog.text


def test_a_failed_run_is_not_continued_by_itself(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int) -> int:
        raise ValueError(x)

    with pytest.raises(ValueError, match="1"):
        flow.invoke(1, thread("a"))
    assert recover(saver, [flow]) == []


def test_the_workflow_sees_what_was_kept_of_its_callers_config(saver: Checkpointer) -> None:
    @entrypoint
    def flow(x: int, *, config: Any) -> Any:
        return config["configurable"], config["metadata"]

    user = uuid.uuid4()
    given = {"configurable": {"user_id": user}, "metadata": {"user_id": "another", "id": user, "lists": [1]}}
    leave_half_way(saver, "flow", "a", 1, config=given)
    recover(saver, [flow])
    state = entrypoint(checkpointer=saver)(flow.__wrapped__).get_state(thread("a"))
    assert state.values == ({"user_id": user, "thread_id": "a"}, {"user_id": "another", "id": user})
    assert state.metadata is not None
    assert (state.metadata["user_id"], state.metadata["id"]) == ("another", str(user))


def test_only_runs_of_the_given_workflows_are_continued(saver: Checkpointer) -> None:
    @entrypoint
    def flow(x: int) -> int:
        return x

    leave_half_way(saver, "other", "a", 1)
    assert recover(saver, [flow]) == []
    assert head(saver, "other", "a").status == "running"


class TestSettingAside:
    def test_a_run_that_kills_its_processes_is_set_aside_and_goes_on_by_hand(
        self, saver: Checkpointer, caplog: pytest.LogCaptureFixture
    ) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        leave_half_way(saver, "flow", "1", 7, crashes=2)
        with caplog.at_level(logging.ERROR, "clew"):
            (set_aside,) = recover(saver, [flow], max_crashes=3)
        assert set_aside.status == "failed"
        state = flow.get_state(thread("1"))
        assert str(state.tasks[0].error).startswith("set aside: 3 processes in a row died")
        assert "set aside" in caplog.text
        assert recover(saver, [flow]) == []
        with pytest.raises(SetAside, match="3 processes"):
            flow.submitted(set_aside.run_id, thread("1")).result()
        assert flow.invoke(None, thread("1")) == 7

    def test_it_goes_on_as_long_as_fewer_processes_died(self, saver: Checkpointer) -> None:
        @entrypoint
        def flow(x: int) -> int:
            return x

        leave_half_way(saver, "flow", "a", 7, crashes=2)
        assert [each.status for each in recover(saver, [flow], max_crashes=4)] == ["done"]
        assert head(saver, "flow", "a").crashes == 3

    def test_handing_over_counts_as_no_crash(self, saver: Checkpointer) -> None:
        @entrypoint
        def flow(x: int) -> int:
            return x

        hand_over(saver, leave_half_way(saver, "flow", "a", 7, crashes=2))
        assert [each.status for each in recover(saver, [flow], max_crashes=1)] == ["done"]
        assert head(saver, "flow", "a").crashes == 0


class TestWhatIsGiven:
    def test_an_address_is_opened_and_closed(self, tmp_path: Path) -> None:
        @entrypoint
        def flow(x: int, *, store: Any) -> int:
            store.put(("seen",), "x", {"x": x})
            return x

        url = f"sqlite:///{tmp_path / 'app.db'}"
        with Database(url) as database:
            leave_half_way(database.checkpointer, "flow", "a", 1)
        assert [each.status for each in recover(url, [flow])] == ["done"]
        with Database(url) as database:
            item = database.store.get(("seen",), "x")
            assert item is not None
            assert item.value == {"x": 1}

    def test_workflows_of_one_name_are_refused(self) -> None:
        def made() -> Any:
            @entrypoint
            def flow(x: int) -> int:
                return x

            return flow

        with pytest.raises(UsageError, match="two workflows are called 'flow'"):
            recover(InMemorySaver(), [made(), made()])

    def test_a_workflow_that_keeps_its_threads_elsewhere_is_refused(self) -> None:
        @entrypoint(checkpointer=InMemorySaver())
        def flow(x: int) -> int:
            return x

        with pytest.raises(UsageError, match="another database"):
            recover(InMemorySaver(), [flow])

    def test_what_is_no_workflow_and_no_database_is_refused(self) -> None:
        with pytest.raises(UsageError, match="@entrypoint"):
            recover(InMemorySaver(), [len])  # type: ignore[list-item]
        with pytest.raises(UsageError, match="Database"):
            recover(7, [])  # type: ignore[arg-type]

    def test_a_workflow_may_have_its_own_connection_to_the_same_file(self, tmp_path: Path) -> None:
        saver = SqliteSaver(tmp_path / "app.db")

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        leave_half_way(saver, "flow", "a", 1)
        assert [each.status for each in recover(str(tmp_path / "app.db"), [flow])] == ["done"]
        saver.close()


def test_a_submitted_call_never_takes_the_place_of_one_whose_process_died_meanwhile(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
        return [*(previous or []), x]

    found_before = Work(thread=ThreadKey("a", "flow"), owner=None, why="queued")
    leave_half_way(saver, "flow", "a", 1)
    handle = flow.submit(2, thread("a"))
    known = Known(settings=flow._settings, make_context=lambda given: given, listener=lambda config, wanted: None)
    assert run_blocking(carry_out(BLOCKING, known, found_before, Terms(max_crashes=3), Reins())) is None
    assert handle.status() == "queued"
    assert [each.status for each in recover(saver, [flow])] == ["done"]
    with working(saver, flow):
        assert handle.result(PATIENCE_S) == [1, 2]


def test_a_submitted_call_that_the_database_fails_goes_on_later(
    saver: Checkpointer, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    @colour.task
    async def note(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> int:
        noted: int = await result(note(x))
        return noted

    handle = flow.submit(1, thread("a"))
    failed: list[Operation[Any]] = []

    def fail_once(operation: Operation[Any]) -> None:
        if not failed and isinstance(operation, Append):
            failed.append(operation)
            raise Unavailable("away for a moment")

    execute, aexecute = saver.execute, saver.aexecute

    def failing(operation: Operation[Any]) -> Any:
        fail_once(operation)
        return execute(operation)

    async def afailing(operation: Operation[Any]) -> Any:
        fail_once(operation)
        return await aexecute(operation)

    monkeypatch.setattr(saver, "execute", failing)
    monkeypatch.setattr(saver, "aexecute", afailing)
    with working(saver, flow):
        assert handle.result(PATIENCE_S) == 1
    assert failed
    assert head(saver, "flow", "a").crashes == 0
