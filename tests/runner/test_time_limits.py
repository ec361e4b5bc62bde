"""Time limits of async tasks and workflows: what may be declared, when they fire, and what they raise."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from clew import (
    Checkpointer,
    InMemorySaver,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    StreamWriter,
    TimeoutPolicy,
    entrypoint,
    get_stream_writer,
    task,
)
from clew.errors import TaskError
from support.colours import Colour, result, thread

SHORT = 0.02
LONG = 5.0
SILENCE = 0.1
IN_ASYNC_TASKS = pytest.mark.parametrize("colour", [Colour(False, True), Colour(True, True)], ids=str)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def signs_of_life(show: Any, times: int = 5) -> None:
    """Take longer than `SILENCE`, with a sign of life well within it."""
    for _ in range(times):
        await asyncio.sleep(SILENCE / 4)
        show()


def flow_of(colour: Colour, called: Any, *args: Any, **options: Any) -> Any:
    @colour.entrypoint(**options)
    async def flow(number: int) -> Any:
        return await result(called(*args))

    return flow


class TestDeclaring:
    @pytest.mark.parametrize("timeout", [0, -1, 0.0, timedelta(0), timedelta(seconds=-1)])
    def test_zero_and_less_are_refused_before_any_function_is_given(self, timeout: Any) -> None:
        for declare in (
            lambda: task(timeout=timeout),
            lambda: entrypoint(timeout=timeout),
            lambda: TimeoutPolicy(run_timeout=timeout),
            lambda: TimeoutPolicy(idle_timeout=timeout),
        ):
            with pytest.raises(ValueError, match="greater than 0"):
                declare()

    def test_on_a_blocking_function_it_is_refused(self) -> None:
        for declare in (task(timeout=1), entrypoint(timeout=1), task(timeout=TimeoutPolicy(idle_timeout=1))):
            with pytest.raises(ValueError, match="only supported for async nodes") as refused:
                declare(lambda number: number)  # type: ignore[operator]
            assert "async def" in str(refused.value)

    @pytest.mark.parametrize("timeout", ["1", True, [1]])
    def test_what_is_no_time_is_refused(self, timeout: Any) -> None:
        with pytest.raises(TypeError, match="timeout must be"):
            task(timeout=timeout)
        with pytest.raises(TypeError, match="timeout must be"):
            entrypoint(timeout=timeout)

    @pytest.mark.parametrize("part", ["run_timeout", "idle_timeout"])
    def test_a_part_of_a_policy_that_is_no_time_is_refused(self, part: str) -> None:
        with pytest.raises(TypeError, match=f"{part} must be"):
            TimeoutPolicy(**{part: "1"})

    def test_an_unknown_sign_of_life_is_refused(self) -> None:
        with pytest.raises(ValueError, match="refresh_on"):
            TimeoutPolicy(idle_timeout=1, refresh_on="writes")  # type: ignore[arg-type]

    @IN_ASYNC_TASKS
    @pytest.mark.parametrize(
        "timeout", [LONG, int(LONG), timedelta(seconds=LONG), TimeoutPolicy(run_timeout=timedelta(seconds=LONG))]
    )
    def test_what_ends_in_time_is_undisturbed(self, colour: Colour, timeout: Any) -> None:
        @task(timeout=timeout)
        async def quick() -> str:
            await asyncio.sleep(0)
            return "done"

        assert colour.invoke(flow_of(colour, quick), 1) == "done"


@IN_ASYNC_TASKS
class TestLimitOnARun:
    @pytest.mark.parametrize("timeout", [SHORT, timedelta(seconds=SHORT), TimeoutPolicy(run_timeout=SHORT)])
    def test_it_raises_an_error_that_says_everything(self, colour: Colour, timeout: Any) -> None:
        @task(timeout=timeout)
        async def slow() -> None:
            await for_ever()

        with pytest.raises(NodeTimeoutError) as caught:
            colour.invoke(flow_of(colour, slow), 1)
        error = caught.value
        assert (error.node, error.kind, error.timeout) == ("slow", "run", SHORT)
        assert (error.run_timeout, error.idle_timeout) == (SHORT, None)
        assert error.elapsed >= SHORT
        assert isinstance(error, TimeoutError)
        assert isinstance(error, TaskError)
        assert "'slow'" in str(error)

    def test_nothing_refreshes_it(self, colour: Colour) -> None:
        @task(timeout=SHORT)
        async def busy(writer: StreamWriter, runtime: Runtime[Any]) -> None:
            await signs_of_life(lambda: (writer("x"), runtime.heartbeat()), times=1000)

        with pytest.raises(NodeTimeoutError):
            colour.invoke(flow_of(colour, busy), 1)

    def test_the_task_is_cancelled(self, colour: Colour) -> None:
        seen: list[str] = []

        @task(timeout=SHORT)
        async def slow() -> None:
            try:
                await for_ever()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        with pytest.raises(NodeTimeoutError):
            colour.invoke(flow_of(colour, slow), 1)
        assert seen == ["cancelled"]

    @pytest.mark.parametrize("late", ["result", "error"])
    def test_swallowing_the_cancellation_does_not_help(self, colour: Colour, late: str) -> None:
        @task(timeout=SHORT)
        async def stubborn() -> str:
            try:
                await for_ever()
            except asyncio.CancelledError:
                if late == "error":
                    raise KeyError("late") from None
            return "late"

        with pytest.raises(NodeTimeoutError):
            colour.invoke(flow_of(colour, stubborn), 1)

    def test_it_may_be_caught_where_the_result_is_asked_for(self, colour: Colour, saver: Checkpointer) -> None:
        @task(timeout=SHORT)
        async def slow() -> None:
            await for_ever()

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> str:
            try:
                await result(slow())
            except TimeoutError as error:
                return f"gave up on {error.node}"  # type: ignore[attr-defined]
            return "never"

        assert colour.invoke(flow, 1, thread()) == "gave up on slow"

    @pytest.mark.parametrize("error", [TimeoutError("mine"), NodeTimeoutError("other", 1.0, kind="idle")])
    def test_the_tasks_own_timeouts_pass_unchanged(self, colour: Colour, error: Exception) -> None:
        @task(timeout=LONG)
        async def fail() -> None:
            raise error

        with pytest.raises(TimeoutError) as caught:
            colour.invoke(flow_of(colour, fail), 1)
        assert caught.value is error

    def test_a_timeout_within_the_task_is_the_tasks_own_business(self, colour: Colour) -> None:
        @task(timeout=LONG)
        async def patient() -> str:
            try:
                async with asyncio.timeout(SHORT):
                    await for_ever()
            except TimeoutError:
                return "went on"
            return "never"

        assert colour.invoke(flow_of(colour, patient), 1) == "went on"

    def test_each_attempt_has_a_limit_of_its_own(self, colour: Colour) -> None:
        attempts: list[int] = []

        @task(timeout=SHORT, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
        async def slow() -> str:
            attempts.append(1)
            if len(attempts) < 3:
                await for_ever()
            return "done"

        assert colour.invoke(flow_of(colour, slow), 1) == "done"
        assert len(attempts) == 3

    def test_blocking_code_in_it_cannot_be_interrupted(self, colour: Colour) -> None:
        @task(timeout=SHORT)
        async def blocks() -> str:
            time.sleep(SHORT * 2)
            return "late"

        assert colour.invoke(flow_of(colour, blocks), 1) == "late"

    def test_the_limit_that_ended_a_run_is_tried_again_when_it_is_continued(
        self, colour: Colour, saver: Checkpointer
    ) -> None:
        attempts: list[int] = []

        @task(timeout=SHORT)
        async def slow() -> str:
            attempts.append(1)
            if len(attempts) == 1:
                await for_ever()
            return "done"

        flow = flow_of(colour, slow, checkpointer=saver)
        with pytest.raises(NodeTimeoutError):
            colour.invoke(flow, 1, thread())
        assert colour.invoke(flow, None, thread()) == "done"

    def test_calls_under_way_below_are_cancelled(self, colour: Colour) -> None:
        seen: list[str] = []

        @task
        async def inner() -> None:
            try:
                await for_ever()
            except asyncio.CancelledError:
                seen.append("inner")
                raise

        @task(timeout=SHORT)
        async def outer() -> None:
            await inner()

        with pytest.raises(NodeTimeoutError) as caught:
            colour.invoke(flow_of(colour, outer), 1)
        assert caught.value.node == "outer"
        assert seen == ["inner"]


@IN_ASYNC_TASKS
class TestLimitOnSilence:
    def test_it_fires_where_nothing_is_heard(self, colour: Colour) -> None:
        @task(timeout=TimeoutPolicy(idle_timeout=SHORT, run_timeout=LONG))
        async def silent() -> None:
            await for_ever()

        with pytest.raises(NodeTimeoutError) as caught:
            colour.invoke(flow_of(colour, silent), 1)
        error = caught.value
        assert (error.node, error.kind, error.timeout) == ("silent", "idle", SHORT)
        assert (error.run_timeout, error.idle_timeout) == (LONG, SHORT)

    def test_writes_to_the_stream_refresh_it(self, colour: Colour) -> None:
        @task(timeout=TimeoutPolicy(idle_timeout=SILENCE))
        async def busy(writer: StreamWriter) -> str:
            await signs_of_life(lambda: writer("injected"))
            await signs_of_life(lambda: get_stream_writer()("asked for"))
            return "done"

        assert colour.invoke(flow_of(colour, busy), 1) == "done"

    @pytest.mark.parametrize("refresh_on", ["auto", "heartbeat"])
    def test_heartbeats_refresh_it(self, colour: Colour, refresh_on: Any) -> None:
        @task(timeout=TimeoutPolicy(idle_timeout=SILENCE, refresh_on=refresh_on))
        async def busy(runtime: Runtime[Any]) -> str:
            await signs_of_life(runtime.heartbeat)
            return "done"

        assert colour.invoke(flow_of(colour, busy), 1) == "done"

    def test_where_heartbeats_alone_count_writes_do_not(self, colour: Colour) -> None:
        @task(timeout=TimeoutPolicy(idle_timeout=SILENCE, refresh_on="heartbeat"))
        async def busy(writer: StreamWriter) -> None:
            await signs_of_life(lambda: writer("x"), times=1000)

        with pytest.raises(NodeTimeoutError):
            colour.invoke(flow_of(colour, busy), 1)

    def test_calls_of_tasks_refresh_it(self, colour: Colour) -> None:
        @task
        async def call() -> None:
            pass

        @task(timeout=TimeoutPolicy(idle_timeout=SILENCE))
        async def busy() -> str:
            for _ in range(5):
                await asyncio.sleep(SILENCE / 4)
                await call()
            return "done"

        assert colour.invoke(flow_of(colour, busy), 1) == "done"


@IN_ASYNC_TASKS
class TestSilenceUnderLangChain:
    @pytest.mark.parametrize("refresh_on", ["auto", "heartbeat"])
    def test_callbacks_refresh_it_unless_heartbeats_alone_count(self, colour: Colour, refresh_on: Any) -> None:
        runnables = pytest.importorskip("langchain_core.runnables")

        async def step(number: int) -> int:
            await asyncio.sleep(SILENCE / 4)
            return number + 1

        model = runnables.RunnableLambda(step)

        @task(timeout=TimeoutPolicy(idle_timeout=SILENCE, refresh_on=refresh_on))
        async def busy() -> int:
            number = 0
            for _ in range(6):
                number = await model.ainvoke(number)
            return number

        flow = flow_of(colour, busy)
        if refresh_on == "auto":
            assert colour.invoke(flow, 1) == 6
        else:
            with pytest.raises(NodeTimeoutError):
                colour.invoke(flow, 1)


class TestWorkflow:
    @pytest.mark.parametrize("is_kept", [False, True])
    def test_its_limit_raises_and_names_it(self, is_kept: bool) -> None:
        @entrypoint(timeout=SHORT, checkpointer=InMemorySaver() if is_kept else None)
        async def flow(number: int) -> None:
            await for_ever()

        with pytest.raises(NodeTimeoutError) as caught:
            asyncio.run(flow.ainvoke(1, thread()))
        assert (caught.value.node, caught.value.kind) == ("flow", "run")

    def test_its_limit_on_silence_is_refreshed_by_calls(self) -> None:
        @task
        async def call() -> None:
            pass

        @entrypoint(timeout=TimeoutPolicy(idle_timeout=SILENCE))
        async def flow(number: int) -> str:
            for _ in range(5):
                await asyncio.sleep(SILENCE / 4)
                await call()
            return "done"

        assert asyncio.run(flow.ainvoke(1)) == "done"

    def test_tasks_started_before_its_limit_still_start(self) -> None:
        started: list[str] = []

        @task
        async def call(name: str) -> None:
            started.append(name)
            await for_ever()

        @entrypoint(timeout=SHORT)
        async def flow(number: int) -> None:
            call("a")
            await call("b")

        with pytest.raises(NodeTimeoutError):
            asyncio.run(flow.ainvoke(1))
        assert started == ["a", "b"]

    def test_a_repeated_attempt_has_a_limit_of_its_own(self, saver: Checkpointer) -> None:
        attempts: list[int] = []

        @entrypoint(timeout=SHORT, retry_policy=RetryPolicy(initial_interval=0, jitter=False), checkpointer=saver)
        async def flow(number: int) -> str:
            attempts.append(1)
            if len(attempts) < 2:
                await for_ever()
            return "done"

        assert asyncio.run(flow.ainvoke(1, thread())) == "done"


def test_the_error_can_be_made_and_read_by_hand() -> None:
    error = NodeTimeoutError("slow", 1.5, kind="idle", run_timeout=None, idle_timeout=1.0)
    assert (error.node, error.elapsed, error.kind, error.timeout) == ("slow", 1.5, "idle", 1.0)
