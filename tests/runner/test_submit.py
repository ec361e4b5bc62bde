"""`submit`: a call is left for a worker, carried out once and in order, and its handle shows what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    InvalidResume,
    Limit,
    NotRecordable,
    RetryPolicy,
    RunCancelled,
    ThreadBusy,
    Worker,
    entrypoint,
    get_config,
    get_runtime,
    interrupt,
    task,
)
from clew.engine.records import ThreadKey
from clew.errors import InvalidOption, NoThreadId, RecordedFailure, UsageError
from clew.storage.queueing import ListQueue
from support.colours import PATIENCE_S, Colour, Gate, result, thread
from support.working import eventually, head, leave_half_way, working


def draw(x: int) -> int:
    """Raise an error of a class that no code names."""
    raise type("Unlucky", (Exception,), {})(x)


class TestResult:
    def test_it_is_what_invoke_would_return(self, saver: Checkpointer, colour: Colour) -> None:
        @colour.task
        async def double(x: int) -> int:
            return 2 * x

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> int:
            doubled: int = await result(double(x))
            return doubled

        handle = flow.submit(21, thread("a"))
        assert (handle.thread_id, handle.status()) == ("a", "queued")
        with working(saver, flow):
            assert handle.result(PATIENCE_S) == 42
        assert handle.status() == "done"
        assert head(saver, "flow", "a").id == handle.id

    def test_async_code_awaits_the_handle(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        async def flow(x: int) -> int:
            return x + 1

        async def main() -> tuple[Any, Any, str]:
            worker = Worker(saver, [flow])
            running = asyncio.ensure_future(worker.arun())
            handle = await flow.asubmit(1, thread())
            returned = await handle, await handle.aresult(1), await handle.astatus()
            worker.stop()
            await running
            with pytest.raises(UsageError, match="make a new Worker"):
                await worker.arun()
            with pytest.raises(UsageError, match="make a new Worker"):
                worker.run()
            return returned

        assert asyncio.run(main()) == (2, 2, "done")

    def test_what_the_run_raised_is_raised(self, saver: Checkpointer, colour: Colour) -> None:
        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> int:
            raise ValueError("bad", x)

        with working(saver, flow):
            handle = flow.submit(1, thread())
            with pytest.raises(ValueError, match="bad") as caught:
                handle.result(PATIENCE_S)
        assert caught.value.args == ("bad", 1)
        assert handle.status() == "failed"

    def test_an_error_of_a_class_that_may_not_come_back_is_told(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return draw(x)

        with working(saver, flow), pytest.raises(RecordedFailure, match="Unlucky: 13"):
            flow.submit(13, thread()).result(PATIENCE_S)

    def test_questions_come_back_and_are_answered_by_a_call(self, saver: Checkpointer, colour: Colour) -> None:
        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> Any:
            return [x, interrupt("sure?")]

        with working(saver, flow):
            handle = flow.submit(1, thread())
            (question,) = handle.result(PATIENCE_S)["__interrupt__"]
            assert (question.value, handle.status()) == ("sure?", "interrupted")
            answer = flow.submit(Command(resume={question.id: "yes"}), thread())
            assert answer.result(PATIENCE_S) == [1, "yes"]
        assert (handle.status(), answer.status()) == ("done", "done")
        assert handle.id != answer.id

    def test_a_failed_run_is_continued_by_a_call_without_input(self, saver: Checkpointer) -> None:
        fails = [True]

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            if fails:
                raise ValueError(fails.pop())
            return x

        with working(saver, flow):
            with pytest.raises(ValueError, match="True"):
                flow.submit(5, thread()).result(PATIENCE_S)
            assert flow.submit(None, thread()).result(PATIENCE_S) == 5

    def test_waiting_for_it_has_a_limit(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        with pytest.raises(TimeoutError, match="still queued"):
            flow.submit(1, thread()).result(0.01)

    def test_another_process_finds_the_call_by_its_id(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        id = flow.submit(1, thread()).id
        assert flow.submitted(id, thread()).status() == "queued"
        with working(saver, flow):
            assert flow.submitted(id, thread()).result(PATIENCE_S) == 1

    def test_the_caller_is_told_of_a_run_that_was_given_up(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        lease = leave_half_way(saver, "flow", "1", 1)
        assert flow.invoke(2, thread()) == 2
        assert flow.submitted(lease.run_id, thread()).status() == "cancelled"


class TestOrder:
    def test_calls_of_a_thread_are_carried_out_in_the_order_in_which_they_came(
        self, saver: Checkpointer, colour: Colour
    ) -> None:
        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            return [*(previous or []), x]

        handles = [flow.submit(x, thread()) for x in range(20)]
        with working(saver, flow):
            assert handles[-1].result(PATIENCE_S) == list(range(20))

    def test_a_crashed_run_goes_before_what_was_submitted(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            return [*(previous or []), x]

        leave_half_way(saver, "flow", "1", 1)
        handle = flow.submit(2, thread())
        with working(saver, flow):
            assert handle.result(PATIENCE_S) == [1, 2]

    def test_threads_with_a_higher_priority_go_first(self, saver: Checkpointer) -> None:
        ran: list[str] = []

        @entrypoint(checkpointer=saver)
        def flow(x: str) -> None:
            ran.append(x)

        handles = [
            flow.submit(name, thread(name), priority=priority) for name, priority in [("a", 0), ("b", 5), ("c", 1)]
        ]
        with working(saver, flow, concurrency=1):
            for handle in handles:
                handle.result(PATIENCE_S)
        assert ran == ["b", "c", "a"]

    def test_a_delayed_call_waits_and_lets_others_pass(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            return [*(previous or []), x]

        later = flow.submit(1, thread(), delay_s=0.2)
        now = flow.submit(2, thread())
        with working(saver, flow):
            assert now.result(PATIENCE_S) == [2]
            assert later.status() == "queued"
            assert later.result(PATIENCE_S) == [2, 1]

    def test_an_invoke_waits_behind_what_was_submitted(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            return [*(previous or []), x]

        flow.submit(1, thread())
        with working(saver, flow):
            assert flow.invoke(2, thread()) == [1, 2]

    def test_a_worker_alone_begins_those_first_that_wait_longest(self, saver: Checkpointer) -> None:
        order: list[int] = []
        flow = entrypoint(checkpointer=saver, name="flow")(order.append)
        handles = [flow.submit(x, thread(str(x))) for x in range(30)]
        with working(saver, flow, concurrency=1):
            for handle in handles:
                handle.result(PATIENCE_S)
        assert order == list(range(30))

    def test_workers_that_look_at_once_carry_out_everything_once_and_what_is_urgent_first(
        self, saver: Checkpointer
    ) -> None:
        order: list[int] = []
        flow = entrypoint(checkpointer=saver, name="flow")(order.append)
        handles = [flow.submit(x, thread(str(x)), priority=x % 2) for x in range(60)]
        with working(saver, flow), working(saver, flow), working(saver, flow):
            for handle in handles:
                handle.result(PATIENCE_S)
        assert sorted(order) == list(range(60))
        first = order[:15]  # of two workers one may find nothing urgent left while the other still carries it out
        assert sum(x % 2 for x in first) == len(first)

    def test_no_more_run_side_by_side_than_the_limit_of_their_workflow(self, saver: Checkpointer) -> None:
        lock, under_way, most, meeting = threading.Lock(), [0], [0], threading.Barrier(2)

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> None:
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            meeting.wait(PATIENCE_S)  # for the one beside it
            threading.Event().wait(0.002)
            with lock:
                under_way[0] -= 1

        handles = [flow.submit(x, thread(str(x))) for x in range(20)]
        with working(saver, flow, limits={"flow": Limit(concurrency=2)}):
            for handle in handles:
                handle.result(PATIENCE_S)
        assert most == [2]


class TestRefused:
    @pytest.mark.parametrize(
        ("option", "why"),
        [
            ({"priority": "high"}, "priority"),
            ({"priority": 1.5}, "priority"),
            ({"priority": True}, "priority"),
            ({"priority": 2**31}, "priority"),
            ({"delay_s": "x"}, "delay_s"),
            ({"delay_s": -1}, "delay_s"),
            ({"run_key": 5}, "run_key"),
        ],
    )
    def test_an_option_that_means_nothing(self, saver: Checkpointer, option: dict[str, Any], why: str) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        with pytest.raises(InvalidOption, match=why):
            flow.submit(1, thread(), **option)
        assert list(saver.execute(ListQueue(ThreadKey("1", "flow")))) == []

    def test_an_id_that_is_no_text(self, saver: Checkpointer) -> None:
        flow: Any = entrypoint(checkpointer=saver)(lambda x: x)
        with pytest.raises(InvalidOption, match="7"):
            flow.submitted(7, thread())


class TestTwice:
    def test_a_run_key_is_carried_out_once(self, saver: Checkpointer) -> None:
        ran: list[int] = []

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            ran.append(x)
            return x

        first, second = (flow.submit(1, thread(), run_key="order-7") for _ in range(2))
        assert first.id == second.id
        with working(saver, flow):
            assert (first.result(PATIENCE_S), second.result(PATIENCE_S)) == (1, 1)
            assert flow.submit(1, thread(), run_key="order-7").result(PATIENCE_S) == 1
        assert ran == [1]

    def test_a_run_key_with_another_input_is_refused(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        handle = flow.submit(1, thread(), run_key="order-7")
        with pytest.raises(InvalidOption, match="'order-7' belongs to a run that has another input"):
            flow.submit(2, thread(), run_key="order-7")
        with working(saver, flow):
            assert handle.result(PATIENCE_S) == 1
        with pytest.raises(InvalidOption, match="another input"):
            asyncio.run(flow.asubmit(2, thread(), run_key="order-7"))

    def test_a_call_submitted_by_a_run_is_the_same_when_the_run_is_replayed(self, saver: Checkpointer) -> None:
        fails, ran = [True], list[int]()

        @entrypoint(checkpointer=saver)
        def below(x: int) -> int:
            ran.append(x)
            return x

        @entrypoint(checkpointer=saver)
        def above(x: int) -> str:
            id = below.submit(x, thread("below")).id
            if fails:
                raise ValueError(fails.pop())
            return id

        with pytest.raises(ValueError, match="True"):
            above.invoke(1, thread("above"))
        id = above.invoke(None, thread("above"))
        with working(saver, below):
            assert below.submitted(id, thread("below")).result(PATIENCE_S) == 1
        assert ran == [1]

    def test_two_workers_on_one_database_carry_out_each_call_once(self, saver: Checkpointer) -> None:
        ran: list[int] = []

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> None:
            ran.append(x)

        with working(saver, flow), working(saver, flow):
            handles = [flow.submit(x, thread(str(x))) for x in range(30)]
            for handle in handles:
                handle.result(PATIENCE_S)
        assert sorted(ran) == list(range(30))


class TestWhatGoesAlong:
    def test_config_and_context_reach_the_run_and_what_goes_on_with_it(self, saver: Checkpointer) -> None:
        seen: list[Any] = []

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> Any:
            seen.append((get_config()["configurable"]["names"], get_runtime().context))
            return interrupt("sure?", timeout_s=0.05, default="never mind")

        config = {"configurable": {"thread_id": "1", "names": ["a", "b"]}}
        handle = flow.submit(1, config, context={"user": "u"})
        with working(saver, flow):
            eventually(lambda: handle.status() == "done")
        assert seen == [(["a", "b"], {"user": "u"})] * 2

    def test_what_cannot_be_kept_is_refused_and_nothing_is_queued(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: Any) -> int:
            return 1

        with pytest.raises(NotRecordable, match="input"):
            flow.submit(object(), thread())
        with pytest.raises(NotRecordable, match="config"):
            flow.submit(1, thread(callbacks=[object()]))
        with pytest.raises(NotRecordable, match="context"):
            flow.submit(1, thread(), context=object())
        assert not flow.get_state(thread()).exists

    def test_what_makes_no_sense_is_refused(self, saver: Checkpointer) -> None:
        @entrypoint
        def alone(x: int) -> int:
            return x

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        with pytest.raises(InvalidOption, match="no checkpointer"):
            alone.submit(1, thread())
        with pytest.raises(NoThreadId):
            flow.submit(1)
        with pytest.raises(InvalidResume, match="nothing is waiting"):
            flow.submit(Command(resume=1), thread())
        with pytest.raises(ValueError, match="nothing on this thread to continue"):
            flow.submit(None, thread())
        with pytest.raises(InvalidOption, match="delay_s"):
            flow.submit(1, thread(), delay_s=-1)
        with pytest.raises(InvalidOption, match="run_key"):
            flow.submit(None, thread(), run_key="a")
        with pytest.raises(InvalidOption, match="fork"):
            flow.submit(1, {"configurable": {"thread_id": "1", "checkpoint_id": "x-0"}})


class TestCancelling:
    def test_a_call_that_has_not_begun_leaves_the_queue(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            return [*(previous or []), x]

        first, second, third = (flow.submit(x, thread()) for x in range(3))
        assert second.cancel()
        assert not second.cancel()
        with working(saver, flow):
            assert third.result(PATIENCE_S) == [0, 2]
        assert (first.status(), second.status()) == ("done", "cancelled")
        with pytest.raises(RunCancelled):
            second.result()

    def test_a_pause_before_a_further_attempt_ends_with_the_run(self, saver: Checkpointer, colour: Colour) -> None:
        failed = Gate()

        @colour.task(retry_policy=RetryPolicy(initial_interval=3600, jitter=False, max_attempts=3))
        async def fails() -> None:
            failed.open()
            raise ConnectionError

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> None:
            await result(fails())

        with working(saver, flow):
            handle = flow.submit(1, thread())
            failed.wait()
            assert handle.cancel()
            with pytest.raises(RunCancelled):
                handle.result(PATIENCE_S)

    def test_a_running_async_task_is_cancelled(self, saver: Checkpointer) -> None:
        begun, cancelled = Gate(), Gate()

        @task
        async def long() -> None:
            begun.open()
            try:
                await asyncio.sleep(PATIENCE_S)
            except asyncio.CancelledError:
                cancelled.open()
                raise

        @entrypoint(checkpointer=saver)
        async def flow(x: int) -> None:
            await long()

        with working(saver, flow):
            handle = flow.submit(1, thread())
            begun.wait()
            assert handle.cancel()
            cancelled.wait()
            with pytest.raises(RunCancelled):
                handle.result(PATIENCE_S)
        assert head(saver, "flow", "1").status == "cancelled"

    def test_a_blocking_run_ends_at_its_next_call(self, saver: Checkpointer) -> None:
        begun, ran = Gate(), list[str]()
        go_on = Gate()

        @task
        def first() -> None:
            begun.open()
            go_on.wait()

        @task
        def second() -> None:
            ran.append("second")

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> None:
            first().result()
            second().result()

        with working(saver, flow):
            handle = flow.submit(1, thread())
            begun.wait()
            assert handle.cancel()
            go_on.open()
            with pytest.raises(RunCancelled):
                handle.result(PATIENCE_S)
        assert ran == []


class TestStreams:
    def test_events_of_a_run_elsewhere_are_read_in_order(self, saver: Checkpointer, colour: Colour) -> None:
        @colour.task
        async def double(x: int) -> int:
            return 2 * x

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int, *, writer: Any) -> int:
            for part in range(100):
                writer(part)
            doubled: int = await result(double(x))
            return doubled

        with working(saver, flow):
            handle = flow.submit(4, thread(), stream_mode=["custom", "updates", "values"])
            chunks = list(handle.stream())
        assert [chunk for mode, chunk in chunks if mode == "custom"] == list(range(100))
        assert [chunk for mode, chunk in chunks if mode != "custom"] == [{"double": 8}, {"flow": 8}, 8]
        assert list(handle.stream()) == chunks

    def test_async_code_reads_them_too_until_the_question(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> Any:
            return interrupt("sure?")

        async def main() -> list[Any]:
            handle = await flow.asubmit(4, thread(), stream_mode="values")
            return [chunk async for chunk in handle.astream()]

        with working(saver, flow):
            (chunk,) = asyncio.run(main())
            assert chunk["__interrupt__"][0].value == "sure?"
            answer = flow.submit(Command(resume="yes"), thread(), stream_mode="values")
            assert list(answer.stream()) == ["yes"]

    def test_the_error_comes_after_the_events(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, writer: Any) -> None:
            writer("so far")
            raise ValueError("no further")

        with working(saver, flow):
            chunks = flow.submit(1, thread(), stream_mode="custom").stream()
            assert next(chunks) == "so far"
            with pytest.raises(ValueError, match="no further"):
                next(chunks)

    def test_what_cannot_be_kept_is_shown_as_text(self, saver: Checkpointer, caplog: pytest.LogCaptureFixture) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, writer: Any) -> int:
            writer(object())
            return x

        with working(saver, flow):
            (chunk,) = flow.submit(1, thread(), stream_mode="custom").stream()
        assert chunk.startswith("<object object")
        assert "shown to readers elsewhere as text" in caplog.text

    def test_nothing_is_kept_that_nobody_asked_for(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        with pytest.raises(InvalidOption, match="stream_mode"):
            next(flow.submit(1, thread()).stream())


def hand_over(saver: Checkpointer, flow: Any, begun: Gate, go_on: Gate) -> None:
    """Let a worker begin a run, and stop it while the run's first task is under way."""
    with working(saver, flow) as worker:
        begun.wait()
        worker.stop()
        go_on.open()


class TestStopping:
    def test_a_worker_that_stops_hands_its_run_over_at_the_next_call(self, saver: Checkpointer, colour: Colour) -> None:
        begun, go_on, ran = Gate(), Gate(), list[str]()

        @colour.task
        async def first() -> str:
            ran.append("first")
            begun.open()
            await go_on.passed()
            return "first"

        @colour.task
        async def second() -> str:
            ran.append("second")
            return "second"

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> list[str]:
            return [await result(first()), await result(second())]

        handle = flow.submit(1, thread())
        hand_over(saver, flow, begun, go_on)
        assert handle.status() == "running"
        assert ran == ["first"]
        with working(saver, flow):
            assert handle.result(PATIENCE_S) == ["first", "second"]
        assert ran == ["first", "second"]
        assert head(saver, "flow", "1").crashes == 0

    def test_a_run_that_was_handed_over_ends_before_a_newer_input_begins(
        self, saver: Checkpointer, colour: Colour
    ) -> None:
        begun, go_on = Gate(), Gate()

        @colour.task
        async def first() -> None:
            begun.open()
            await go_on.passed()

        @colour.task
        async def second(x: int) -> int:
            return x

        @colour.entrypoint(checkpointer=saver, wait_s=PATIENCE_S)
        async def flow(x: int, *, previous: list[int] | None = None) -> list[int]:
            await result(first())
            return [*(previous or []), await result(second(x))]

        handle = flow.submit(1, thread())
        hand_over(saver, flow, begun, go_on)
        with pytest.raises(ThreadBusy, match="a submitted call comes first"):
            colour.invoke(flow, 2, thread(), on_conflict="reject")
        with ThreadPoolExecutor(1) as aside:
            newer = aside.submit(colour.invoke, flow, 2, thread())
            eventually(lambda: saver.execute(ListQueue(ThreadKey("1", "flow"))))
            with working(saver, flow):
                assert newer.result() == [1, 2]
        assert handle.result() == [1]

    def test_a_newer_input_may_have_it_given_up(self, saver: Checkpointer) -> None:
        begun, go_on = Gate(), Gate()

        @task
        def first() -> None:
            begun.open()
            go_on.wait()

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            first().result()
            return task(lambda: x, name="second")().result()

        handle = flow.submit(1, thread())
        hand_over(saver, flow, begun, go_on)
        assert flow.invoke(2, thread(), on_conflict="interrupt") == 2
        assert handle.status() == "cancelled"

    def test_the_events_of_both_workers_are_one_stream(self, saver: Checkpointer) -> None:
        begun, go_on = Gate(), Gate()

        @task
        def first() -> str:
            begun.open()
            go_on.wait()
            return "first"

        @task
        def second() -> str:
            return "second"

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> None:
            first().result()
            second().result()

        chunks = flow.submit(1, thread(), stream_mode="updates").stream()
        hand_over(saver, flow, begun, go_on)
        with working(saver, flow):
            assert list(chunks) == [{"first": "first"}, {"second": "second"}, {"flow": None}]

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
    def test_a_run_that_exits_takes_no_other_with_it(
        self, saver: Checkpointer, colour: Colour, kind: type[BaseException]
    ) -> None:
        @colour.task
        async def work(exits: bool) -> str:
            if exits:
                raise kind("no more")
            return "done"

        @colour.entrypoint(checkpointer=saver)
        async def flow(exits: bool) -> str:
            return str(await result(work(exits)))

        with working(saver, flow):
            leaving, staying = flow.submit(True, thread("1")), flow.submit(False, thread("2"))
            with pytest.raises(kind, match="no more"):
                leaving.result(PATIENCE_S)
            assert staying.result(PATIENCE_S) == "done"

    def test_a_worker_can_be_cancelled(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        async def flow(x: int) -> int:
            return x

        async def main() -> None:
            running = asyncio.ensure_future(Worker(saver, [flow]).arun())
            assert await flow.submit(1, thread()) == 1
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        asyncio.run(main())
