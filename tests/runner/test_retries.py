"""Which failures are tried again, how often, after what pauses, and what a repeated attempt finds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    InMemorySaver,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    entrypoint,
    interrupt,
    task,
)
from clew.engine.records import ThreadKey
from clew.errors import NotRecordable
from clew.storage.base import ListRuns, LoadRecords
from support.colours import Colour, result, results, thread

AT_ONCE = RetryPolicy(initial_interval=0, jitter=False)


class Pauses:
    """The pauses that were asked for, in both colours; none is waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.chances: list[tuple[float, float]] = []


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    seen = Pauses()
    sleep = asyncio.sleep

    async def sleep_soon(seconds: float, *args: Any) -> None:
        seen.seconds.append(seconds)
        await sleep(0)

    def chance(low: float, high: float) -> float:
        seen.chances.append((low, high))
        return 0.25

    monkeypatch.setattr(time, "sleep", seen.seconds.append)
    monkeypatch.setattr(asyncio, "sleep", sleep_soon)
    monkeypatch.setattr(random, "uniform", chance)
    return seen


def failing(colour: Colour, *errors: BaseException | None, retry_policy: Any) -> tuple[Any, list[int]]:
    """Return a workflow whose one task fails in turn with errors, then returns "done"; and the attempts it made."""
    attempts: list[int] = []

    @colour.task(retry_policy=retry_policy)
    def fail(runtime: Runtime[Any]) -> str:
        assert runtime.execution_info is not None
        attempts.append(runtime.execution_info.node_attempt)
        if len(attempts) <= len(errors) and (error := errors[len(attempts) - 1]) is not None:
            raise error
        return "done"

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return await result(fail())

    return flow, attempts


class TestAttempts:
    def test_a_failure_is_tried_again_until_it_succeeds(self, colour: Colour) -> None:
        flow, attempts = failing(colour, ConnectionError(), ConnectionError(), retry_policy=AT_ONCE)
        assert colour.invoke(flow, 1) == "done"
        assert attempts == [1, 2, 3]

    def test_without_a_policy_nothing_is_tried_again(self, colour: Colour) -> None:
        flow, attempts = failing(colour, ConnectionError("x"), retry_policy=None)
        with pytest.raises(ConnectionError, match="x"):
            colour.invoke(flow, 1)
        assert attempts == [1]

    def test_when_attempts_are_used_up_the_last_error_is_raised(self, colour: Colour) -> None:
        errors = [ConnectionError(str(place)) for place in range(5)]
        flow, attempts = failing(colour, *errors, retry_policy=AT_ONCE)
        with pytest.raises(ConnectionError) as caught:
            colour.invoke(flow, 1)
        assert caught.value is errors[2]
        assert attempts == [1, 2, 3]

    @pytest.mark.parametrize("most", [1, 2, 4])
    def test_the_first_try_counts(self, colour: Colour, most: int) -> None:
        policy = RetryPolicy(max_attempts=most, initial_interval=0, jitter=False)
        flow, attempts = failing(colour, *[ConnectionError()] * 9, retry_policy=policy)
        with pytest.raises(ConnectionError):
            colour.invoke(flow, 1)
        assert attempts == list(range(1, most + 1))

    def test_of_several_policies_the_first_that_fits_is_used_with_its_own_count(
        self, colour: Colour, pauses: Pauses
    ) -> None:
        several = [
            RetryPolicy(retry_on=KeyError, max_attempts=2, initial_interval=1, jitter=False),
            RetryPolicy(retry_on=(ValueError, KeyError), max_attempts=3, initial_interval=10, jitter=False),
        ]
        errors = [ValueError("a"), KeyError("b"), ValueError("c"), KeyError("d")]
        flow, attempts = failing(colour, *errors, retry_policy=several)
        with pytest.raises(KeyError, match="d"):
            colour.invoke(flow, 1)
        assert attempts == [1, 2, 3, 4]
        assert pauses.seconds == [10, 1, 20]

    def test_an_error_that_no_policy_fits_is_raised_at_once(self, colour: Colour) -> None:
        flow, attempts = failing(colour, OSError("x"), retry_policy=[AT_ONCE, RetryPolicy(retry_on=KeyError)])
        with pytest.raises(OSError, match="x"):
            colour.invoke(flow, 1)
        assert attempts == [1]

    def test_a_recorded_success_is_not_tried_again(self, colour: Colour, saver: Checkpointer) -> None:
        attempts = []

        @colour.task(retry_policy=AT_ONCE)
        def flaky() -> int:
            attempts.append(1)
            if len(attempts) < 2:
                raise ConnectionError
            return len(attempts)

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            return await result(flaky()), interrupt("why?")

        colour.invoke(flow, 1, thread())
        assert colour.invoke(flow, Command(resume="so"), thread()) == (2, "so")
        assert len(attempts) == 2

    def test_a_result_that_cannot_be_recorded_is_not_tried_again(self, colour: Colour, saver: Checkpointer) -> None:
        ran = []

        @colour.task(retry_policy=RetryPolicy(retry_on=Exception, initial_interval=0, jitter=False))
        def make() -> Any:
            ran.append(1)
            return object()

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            return await result(make()) is not None

        with pytest.raises(NotRecordable, match="'make'"):
            colour.invoke(flow, 1, thread())
        assert ran == [1]


class TestRetryOn:
    @pytest.mark.parametrize(
        ("retry_on", "error", "is_retried"),
        [
            (OSError, ConnectionError(), True),
            (OSError, KeyError(), False),
            (Exception, KeyError(), True),
            ((KeyError, OSError), FileNotFoundError(), True),
            ([KeyError], IndexError(), False),
            ((), ConnectionError(), False),
            ([], ConnectionError(), False),
            (lambda error: "again" in str(error), ValueError("again"), True),
            (lambda error: "again" in str(error), ValueError("no"), False),
        ],
    )
    def test_it_says_which(self, colour: Colour, retry_on: Any, error: Exception, is_retried: bool) -> None:
        policy = RetryPolicy(retry_on=retry_on, initial_interval=0, jitter=False)
        flow, attempts = failing(colour, error, retry_policy=policy)
        if is_retried:
            assert colour.invoke(flow, 1) == "done"
        else:
            with pytest.raises(type(error)):
                colour.invoke(flow, 1)
        assert len(attempts) == (2 if is_retried else 1)

    @pytest.mark.parametrize("retry_on", ["ValueError", 7, None, [1], int, [int], ["KeyError"]])
    def test_anything_else_is_refused_when_a_retry_is_to_be_decided(self, colour: Colour, retry_on: Any) -> None:
        flow, _ = failing(colour, ValueError("x"), retry_policy=RetryPolicy(retry_on=retry_on))
        with pytest.raises(TypeError, match="retry_on must be an Exception class"):
            colour.invoke(flow, 1)
        flow, _ = failing(colour, retry_policy=RetryPolicy(retry_on=retry_on))
        assert colour.invoke(flow, 1) == "done"

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionError(),
            ConnectionResetError(),
            BrokenPipeError(),
            NodeTimeoutError("x", 1.0, kind="run", run_timeout=1.0),
            Exception("any"),
            type("Own", (Exception,), {})("own"),
            AssertionError(),
            EOFError(),
        ],
        ids=repr,
    )
    def test_by_default_what_may_pass_is_tried_again(self, error: Exception) -> None:
        flow, attempts = failing(Colour(False, False), error, retry_policy=AT_ONCE)
        assert flow.invoke(1) == "done"
        assert attempts == [1, 2]

    @pytest.mark.parametrize(
        "kind",
        [
            ValueError, TypeError, ArithmeticError, ZeroDivisionError, ImportError, LookupError, KeyError, NameError,
            SyntaxError, RuntimeError, NotImplementedError, ReferenceError, StopAsyncIteration, OSError,
            FileNotFoundError, TimeoutError, UnicodeError,
        ],
    )  # fmt: skip
    def test_by_default_mistakes_are_not(self, kind: type[Exception]) -> None:
        flow, attempts = failing(Colour(False, False), kind("x"), retry_policy=AT_ONCE)
        with pytest.raises(kind):
            flow.invoke(1)
        assert attempts == [1]

    @pytest.mark.parametrize("status", [500, 502, 503, 599])
    def test_by_default_a_servers_fault_is_tried_again(self, status: int) -> None:
        for error in (httpx_error(status), requests_error(status)):
            flow, attempts = failing(Colour(False, False), error, retry_policy=AT_ONCE)
            assert flow.invoke(1) == "done"
            assert attempts == [1, 2]

    @pytest.mark.parametrize("status", [400, 401, 404, 429])
    def test_by_default_a_clients_fault_is_not(self, status: int) -> None:
        for error in (httpx_error(status), requests_error(status)):
            flow, attempts = failing(Colour(False, False), error, retry_policy=AT_ONCE)
            with pytest.raises(type(error)):
                flow.invoke(1)
            assert attempts == [1]

    def test_by_default_an_http_error_without_an_answer_is_tried_again(self) -> None:
        requests = pytest.importorskip("requests")
        flow, attempts = failing(Colour(False, False), requests.HTTPError("gone"), retry_policy=AT_ONCE)
        assert flow.invoke(1) == "done"
        assert attempts == [1, 2]


class TestPauses:
    def test_the_defaults_are_those_people_know(self) -> None:
        policy = RetryPolicy()
        assert (policy.initial_interval, policy.backoff_factor, policy.max_interval) == (0.5, 2.0, 128.0)
        assert (policy.max_attempts, policy.jitter) == (3, True)

    def test_they_grow_up_to_a_limit(self, colour: Colour, pauses: Pauses) -> None:
        policy = RetryPolicy(
            initial_interval=1, backoff_factor=3, max_interval=10, max_attempts=6, jitter=False, retry_on=KeyError
        )
        flow, _ = failing(colour, *[KeyError()] * 5, retry_policy=policy)
        assert colour.invoke(flow, 1) == "done"
        assert pauses.seconds == [1, 3, 9, 10, 10]
        assert pauses.chances == []

    def test_chance_is_added(self, colour: Colour, pauses: Pauses) -> None:
        flow, _ = failing(colour, *[ConnectionError()] * 2, retry_policy=RetryPolicy())
        assert colour.invoke(flow, 1) == "done"
        assert pauses.seconds == [0.75, 1.25]
        assert pauses.chances == [(0, 1), (0, 1)]

    def test_a_long_row_of_failures_does_not_overflow(self, colour: Colour, pauses: Pauses) -> None:
        policy = RetryPolicy(max_attempts=2000, jitter=False, retry_on=KeyError)
        flow, _ = failing(colour, *[KeyError()] * 1500, retry_policy=policy)
        assert colour.invoke(flow, 1) == "done"
        assert pauses.seconds[-1] == 128.0


class TestWorkflow:
    @pytest.mark.parametrize("is_kept", [False, True])
    def test_a_repeated_workflow_keeps_its_finished_tasks(self, colour: Colour, is_kept: bool) -> None:
        ran: list[str] = []

        @colour.task
        def once(name: str) -> str:
            ran.append(name)
            return name

        @colour.entrypoint(retry_policy=AT_ONCE, checkpointer=InMemorySaver() if is_kept else None)
        async def flow(number: int, runtime: Runtime[Any]) -> Any:
            assert runtime.execution_info is not None
            names = [await result(once("a")), *await results(once("b"), once("c"))]
            if runtime.execution_info.node_attempt < 3:
                raise ConnectionError
            return names, runtime.execution_info.node_attempt

        assert colour.invoke(flow, 1, thread()) == (["a", "b", "c"], 3)
        assert sorted(ran) == ["a", "b", "c"]

    @pytest.mark.parametrize("is_kept", [False, True])
    def test_the_call_that_failed_is_made_again(self, colour: Colour, is_kept: bool) -> None:
        ran: list[str] = []

        @colour.task
        def fail_twice(name: str) -> str:
            ran.append(name)
            if ran.count(name) < 3:
                raise ConnectionError(name)
            return name

        @colour.task
        def once() -> None:
            ran.append("once")

        @colour.entrypoint(retry_policy=AT_ONCE, checkpointer=InMemorySaver() if is_kept else None)
        async def flow(number: int) -> Any:
            await result(once())
            return await result(fail_twice("x"))

        assert colour.invoke(flow, 1, thread()) == "x"
        assert ran == ["once", "x", "x", "x"]

    def test_each_finished_call_is_streamed_once(self, colour: Colour) -> None:
        attempts = []

        @colour.task
        def once() -> str:
            return "once"

        @colour.entrypoint(retry_policy=AT_ONCE)
        async def flow(number: int) -> str:
            await result(once())
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError
            return "done"

        assert colour.stream(flow, 1) == [{"once": "once"}, {"flow": "done"}]

    @pytest.mark.parametrize("where", ["task", "workflow"])
    def test_an_interrupt_is_never_tried_again(self, colour: Colour, saver: Checkpointer, where: str) -> None:
        asked: list[str] = []
        policy = RetryPolicy(retry_on=Exception, initial_interval=0, jitter=False)

        @colour.task(retry_policy=policy)
        def ask() -> Any:
            asked.append("task")
            return interrupt("why?")

        @colour.entrypoint(checkpointer=saver, retry_policy=policy)
        async def flow(number: int) -> Any:
            if where == "task":
                return await result(ask())
            asked.append("workflow")
            return interrupt("why?")

        colour.invoke(flow, 1, thread())
        assert asked == [where]
        assert colour.invoke(flow, Command(resume="so"), thread()) == "so"
        assert asked == [where, where]

    def test_after_the_last_attempt_the_run_can_be_continued(self, colour: Colour, saver: Checkpointer) -> None:
        ran: list[str] = []

        @colour.task
        def once() -> None:
            ran.append("once")

        @colour.entrypoint(checkpointer=saver, retry_policy=AT_ONCE)
        async def flow(number: int) -> str:
            await result(once())
            ran.append("body")
            if len(ran) < 5:
                raise ConnectionError
            return "done"

        with pytest.raises(ConnectionError):
            colour.invoke(flow, 1, thread())
        assert colour.invoke(flow, None, thread()) == "done"
        assert ran == ["once", "body", "body", "body", "body"]

    def test_a_nested_workflow_is_tried_again_with_its_finished_tasks_kept(
        self, colour: Colour, saver: Checkpointer
    ) -> None:
        ran: list[str] = []

        @colour.task
        def once() -> None:
            ran.append("once")

        @colour.entrypoint(retry_policy=AT_ONCE)
        async def inner(number: int) -> int:
            await result(once())
            ran.append("inner")
            if ran.count("inner") < 3:
                raise ConnectionError
            return number

        @colour.entrypoint(checkpointer=saver)
        async def outer(number: int) -> Any:
            return await inner.ainvoke(number) if colour.workflow_is_async else inner.invoke(number)

        assert colour.invoke(outer, 7, thread()) == 7
        assert ran == ["once", "inner", "inner", "inner"]

    def test_a_repeated_task_keeps_what_it_called(self, colour: Colour, saver: Checkpointer) -> None:
        ran: list[str] = []

        @colour.task
        def inner() -> str:
            ran.append("inner")
            return "kept"

        @colour.task(retry_policy=AT_ONCE)
        async def outer() -> str:
            value = await result(inner())
            ran.append("outer")
            if ran.count("outer") < 3:
                raise ConnectionError
            return str(value)

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            return await result(outer())

        assert colour.invoke(flow, 1, thread()) == "kept"
        assert ran == ["inner", "outer", "outer", "outer"]

    @pytest.mark.parametrize("is_kept", [False, True])
    def test_a_repeated_task_makes_the_call_that_failed_again(self, colour: Colour, is_kept: bool) -> None:
        ran: list[str] = []

        @colour.task
        def inner() -> str:
            ran.append("inner")
            if len(ran) < 3:
                raise ConnectionError
            return "done"

        @colour.task(retry_policy=AT_ONCE)
        async def outer() -> Any:
            return await result(inner())

        @colour.entrypoint(checkpointer=InMemorySaver() if is_kept else None)
        async def flow(number: int) -> Any:
            return await result(outer())

        assert colour.invoke(flow, 1, thread()) == "done"
        assert ran == ["inner"] * 3

    def test_an_error_of_a_policys_own_function_is_raised(self, colour: Colour) -> None:
        def broken(error: Exception) -> bool:
            raise LookupError("broken policy")

        flow, attempts = failing(colour, ValueError("x"), retry_policy=RetryPolicy(retry_on=broken))
        with pytest.raises(LookupError, match="broken policy"):
            colour.invoke(flow, 1)
        assert attempts == [1]


def test_a_policy_that_could_not_work_is_refused_when_it_is_made() -> None:
    for wrong in ({"max_attempts": 0}, {"initial_interval": -1}, {"backoff_factor": -1}, {"max_interval": -0.5}):
        (name,) = wrong
        with pytest.raises(ValueError, match=name):
            RetryPolicy(**wrong)  # type: ignore[arg-type]


def httpx_error(status: int) -> Exception:
    httpx = pytest.importorskip("httpx")
    request = httpx.Request("GET", "http://localhost")
    error: Exception = httpx.HTTPStatusError("x", request=request, response=httpx.Response(status, request=request))
    return error


def requests_error(status: int) -> Exception:
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = status
    error: Exception = requests.HTTPError("x", response=response)
    return error


def test_entrypoint_takes_a_sequence_of_policies(colour: Colour) -> None:
    attempts: list[int] = []

    @entrypoint(retry_policy=[RetryPolicy(retry_on=KeyError), AT_ONCE])
    def flow(number: int) -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError
        return "done"

    assert flow.invoke(1) == "done"


def test_a_recorded_failure_tells_how_often_it_was_tried(saver: Checkpointer) -> None:
    @task(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=ValueError))
    def fail() -> None:
        raise ValueError("no")

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        with contextlib.suppress(ValueError):
            fail().result()
        return interrupt("go on?")

    flow.invoke(1, thread())
    (run,) = saver.execute(ListRuns(ThreadKey("1", "flow")))
    assert [(record.state, record.attempts) for record in saver.execute(LoadRecords(run.id))] == [("failure", 3)]
