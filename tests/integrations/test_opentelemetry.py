"""Spans of runs, tasks, attempts and memory: how they nest, what they say, and how runs find each other."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from clew import (
    CachePolicy,
    Checkpointer,
    Command,
    Database,
    InMemoryCache,
    InMemorySaver,
    InMemoryStore,
    RetryPolicy,
    RunStopped,
    entrypoint,
    get_store,
    interrupt,
    recover,
    task,
)
from clew.errors import UsageError
from clew.looking import show_run
from clew.observing import Activity, observe
from clew.testing import check_replay, crash_everywhere
from support.colours import Colour, result, results
from support.counting import calls
from support.processes import start
from support.spans import Spans, id_of, told, traced
from support.working import working

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def spans() -> Iterator[Spans]:
    with traced() as spans:
        yield spans


class TestNesting:
    def test_tasks_are_below_their_run_and_tasks_below_tasks(self, colour: Colour, spans: Spans) -> None:
        @colour.task
        async def inner(x: int) -> int:
            return x

        @colour.task
        async def outer(x: int) -> int:
            return sum(await results(inner(x), inner(x)))

        @colour.entrypoint(checkpointer=InMemorySaver())
        async def flow(x: int) -> int:
            return sum(await results(outer(x), outer(x)))

        assert colour.invoke(flow, 1, ON_1) == 4
        assert [spans.parent(span) for span in spans.of("task inner")] == ["task outer"] * 4
        assert [spans.parent(span) for span in spans.of("task outer")] == ["invoke_workflow flow"] * 2
        assert spans.parent(spans.the("invoke_workflow flow")) is None
        assert len({span.context.trace_id for span in spans.all if span.context}) == 1

    def test_spans_of_ones_own_are_below_the_task_that_makes_them(self, colour: Colour, spans: Spans) -> None:
        tracer = spans.provider.get_tracer("mine")

        @colour.task
        async def fetch(x: int) -> int:
            with tracer.start_as_current_span("GET"):
                return x

        @colour.entrypoint
        async def flow(x: int) -> int:
            with tracer.start_as_current_span("in the body"):
                return sum(await results(*[fetch(i) for i in range(3)]))

        with tracer.start_as_current_span("around"):
            colour.invoke(flow, 1)
            assert trace.get_current_span().get_span_context().span_id != 0
        assert [spans.parent(span) for span in spans.of("GET")] == ["task fetch"] * 3
        assert [spans.parent(span) for span in spans.of("task fetch")] == ["in the body"] * 3
        assert spans.parent(spans.the("in the body")) == "invoke_workflow flow"
        assert spans.parent(spans.the("invoke_workflow flow")) == "around"

    def test_the_callers_context_is_as_it_was(self, spans: Spans) -> None:
        @entrypoint
        async def flow(x: int) -> int:
            return x

        async def call() -> None:
            before = trace.get_current_span()
            await flow.ainvoke(1)
            assert trace.get_current_span() is before

        asyncio.run(call())

    def test_a_blocking_workflow_awaited_by_async_code_is_below_its_caller(self, spans: Spans) -> None:
        @task
        def step(x: int) -> int:
            return x

        @entrypoint
        def flow(x: int) -> int:
            return step(x).result()

        async def call() -> None:
            with spans.provider.get_tracer("mine").start_as_current_span("request"):
                await flow.ainvoke(1)

        asyncio.run(call())
        assert spans.parent(spans.the("invoke_workflow flow")) == "request"
        assert spans.parent(spans.the("task step")) == "invoke_workflow flow"

    def test_a_nested_workflow_has_a_span(self, spans: Spans) -> None:
        @entrypoint
        def inner(x: int) -> int:
            return x

        @entrypoint
        def outer(x: int) -> int:
            return int(inner.invoke(x))

        outer.invoke(1)
        nested = spans.the("invoke_workflow inner")
        assert told(nested)["gen_ai.workflow.name"] == "inner"
        assert spans.parent(nested) == "invoke_workflow outer"

    def test_a_stream_is_traced_like_a_call(self, colour: Colour, spans: Spans) -> None:
        @colour.task
        async def step(x: int) -> int:
            return x

        @colour.entrypoint(checkpointer=InMemorySaver())
        async def flow(x: int) -> Any:
            return await result(step(x))

        colour.stream(flow, 1, ON_1, stream_mode=["debug", "custom"])
        assert spans.names == ["task step", "invoke_workflow flow"]


class TestWhatIsSaid:
    def test_a_run_says_its_workflow_thread_and_end(self, saver: Checkpointer, spans: Spans) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        flow.invoke(1, ON_1)
        said = told(spans.the("invoke_workflow flow"))
        assert len(said.pop("clew.run.id")) == 32
        assert said == {
            "gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "flow", "gen_ai.conversation.id": "1",
            "session.id": "1", "clew.run.executions": 1, "clew.run.status": "done",
        }  # fmt: skip

    def test_a_run_without_a_thread_is_traced_too(self, spans: Spans) -> None:
        entrypoint(_same).invoke(1)
        said = told(spans.the("invoke_workflow _same"))
        assert "session.id" not in said
        assert said["clew.run.status"] == "done"

    def test_a_task_says_which_call_it_is(self, spans: Spans) -> None:
        @entrypoint(checkpointer=InMemorySaver())
        def flow(x: int) -> int:
            return task(_same)(x).result()

        flow.invoke(1, ON_1)
        said = told(spans.the("task _same"))
        assert said["clew.task.name"] == "_same"
        assert said["clew.call.key"] == "_same#1"
        assert said["clew.task.attempts"] == 1
        assert said["clew.run.id"] == told(spans.the("invoke_workflow flow"))["clew.run.id"]

    def test_each_attempt_of_a_task_that_is_retried_has_a_span(self, colour: Colour, spans: Spans) -> None:
        tried: list[int] = []

        @colour.task(retry_policy=RetryPolicy(initial_interval=0.001, retry_on=ValueError))
        async def flaky(x: int) -> int:
            tried.append(x)
            if len(tried) < 3:
                raise ValueError("not yet")
            return x

        @colour.entrypoint
        async def flow(x: int) -> Any:
            return await result(flaky(x))

        colour.invoke(flow, 1)
        attempts = spans.of("attempt flaky")
        assert [told(span)["clew.task.attempt"] for span in attempts] == [1, 2, 3]
        assert [span.status.status_code for span in attempts] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
        assert {spans.parent(span) for span in attempts} == {"task flaky"}
        whole = spans.the("task flaky")
        assert told(whole)["clew.task.attempts"] == 3
        assert whole.status.status_code is StatusCode.UNSET

    def test_a_failure_is_told_with_its_exception(self, colour: Colour, spans: Spans) -> None:
        @colour.task
        async def fail(x: int) -> int:
            raise KeyError("lost")

        @colour.entrypoint(checkpointer=InMemorySaver())
        async def flow(x: int) -> Any:
            return await result(fail(x))

        with pytest.raises(KeyError):
            colour.invoke(flow, 1, ON_1)
        for span in spans.of("task fail") + spans.of("invoke_workflow flow"):
            assert span.status.status_code is StatusCode.ERROR
            assert told(span)["error.type"] == "KeyError"
            assert [event.name for event in span.events] == ["exception"]
        assert told(spans.the("invoke_workflow flow"))["clew.run.status"] == "failed"

    def test_memory_is_told_by_what_is_done_where(self, colour: Colour, spans: Spans) -> None:
        @colour.task
        async def note(x: int) -> int:
            store = get_store()
            store.put(("user", "7"), "a", {"v": x})
            return len(store.search(("user",), query="v"))

        @colour.entrypoint(database=Database(":memory:"))
        async def flow(x: int) -> Any:
            found = await result(note(x))
            get_store().delete(("user", "7"), "a")
            get_store().get(("user", "7"), "a")
            return found

        colour.invoke(flow, 1, ON_1)
        assert [span.name for span in spans.all if span.name.startswith("memory")] == [
            "memory put", "memory search", "memory delete", "memory get",
        ]  # fmt: skip
        searched = spans.the("memory search")
        assert spans.parent(searched) == "task note"
        assert told(searched) == {
            "gen_ai.operation.name": "retrieval", "clew.memory.operation": "search", "clew.memory.size": 1,
            "clew.memory.namespaces": ("user",), "clew.memory.found": 1,
        }  # fmt: skip
        assert told(spans.the("memory put"))["clew.memory.namespaces"] == ("user/7",)

    def test_what_was_given_and_returned_is_told_only_if_asked_for(self) -> None:
        @task
        def double(x: int, *, note: str) -> int:
            get_store().search(("a",), query="secret")
            return 2 * x

        @entrypoint(store=InMemoryStore())
        def flow(x: dict[str, Any]) -> int:
            return double(x["n"], note="secret").result()

        for content in (False, True):
            with traced(content=content) as spans:
                flow.invoke({"n": 1, "note": "secret"})
            said = {span.name: told(span) for span in spans.all}
            assert ("secret" in repr(said)) is content
        assert said["invoke_workflow flow"]["input.value"] == '{"n": 1, "note": "secret"}'
        assert said["invoke_workflow flow"]["output.value"] == "2"
        assert said["task double"]["input.value"] == '{"args": [1], "note": "secret"}'
        assert said["memory search"]["gen_ai.retrieval.query.text"] == "secret"

    def test_what_the_store_refuses_is_refused_as_without_traces(self, spans: Spans) -> None:
        @entrypoint(store=InMemoryStore())
        def flow(namespace: Any) -> None:
            get_store().search(namespace)

        for namespace in (None, 7, [["a"]], ["", "a"]):
            with pytest.raises(UsageError):
                flow.invoke(namespace)

    def test_a_cached_result_is_told_as_such(self, spans: Spans) -> None:
        @task(cache_policy=CachePolicy())
        def slow(x: int) -> int:
            return x

        @entrypoint(cache=InMemoryCache())
        def flow(x: int) -> int:
            return slow(x).result()

        flow.invoke(1)
        flow.invoke(1)
        assert [told(span)["clew.task.cached"] for span in spans.of("task slow")] == [False, True]


class TestRunsThatGoOn:
    def test_a_question_is_no_error_and_the_answer_leads_back(self, colour: Colour, spans: Spans) -> None:
        @colour.task
        async def step(x: int) -> int:
            return x

        @colour.task
        async def ask(x: int) -> Any:
            return interrupt("go on?")

        @colour.entrypoint(checkpointer=InMemorySaver())
        async def flow(x: int) -> Any:
            await result(step(x))
            return await result(ask(x))

        colour.invoke(flow, 1, ON_1)
        first = spans.the("invoke_workflow flow")
        assert [span.status.status_code for span in spans.all] == [StatusCode.UNSET] * 3
        assert [event.name for event in spans.the("task ask").events] == ["clew.suspended"]
        assert [event.name for event in first.events] == ["clew.interrupt"]
        assert told(first)["clew.run.status"] == "interrupted"
        spans.clear()

        assert colour.invoke(flow, Command(resume="yes"), ON_1) == "yes"
        later = spans.the("invoke_workflow flow")
        assert spans.names == ["task ask", "invoke_workflow flow"]  # what is recorded is not done, and not traced
        assert [link.context.span_id for link in later.links] == [id_of(first)]
        assert told(later)["clew.run.executions"] == 2
        assert told(later)["clew.run.id"] == told(first)["clew.run.id"]

    def test_every_later_execution_leads_back_to_the_first(self, saver: Checkpointer, spans: Spans) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> list[Any]:
            return [interrupt("a"), interrupt("b")]

        flow.invoke(1, ON_1)
        flow.invoke(Command(resume=1), ON_1)
        flow.invoke(Command(resume=2), ON_1)
        first, *later = spans.of("invoke_workflow flow")
        assert [[link.context.span_id for link in span.links] for span in later] == [[id_of(first)]] * 2

    def test_a_fork_leads_back_to_the_run_it_copies(self, spans: Spans) -> None:
        @entrypoint(checkpointer=InMemorySaver())
        def flow(x: int) -> int:
            return x

        flow.invoke(1, ON_1)
        start = next(state for state in flow.get_state_history(ON_1) if state.next)
        flow.invoke(None, start.config)
        first, fork = spans.of("invoke_workflow flow")
        assert [link.context.span_id for link in fork.links] == [id_of(first)]

    def test_a_new_run_of_the_thread_leads_nowhere(self, spans: Spans) -> None:
        flow = entrypoint(checkpointer=InMemorySaver())(_same)
        flow.invoke(1, ON_1)
        flow.invoke(2, ON_1)
        assert [len(span.links) for span in spans.all] == [0, 0]

    @pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
    def test_a_run_whose_process_was_killed_leads_back_to_it(self, tmp_path: Path, spans: Spans) -> None:
        dies = f"""
import os, signal
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from clew.integrations.opentelemetry import instrument

instrument(tracer_provider=TracerProvider())

@entrypoint(database=Database("sqlite:///{tmp_path / "db"}"))
def flow(x):
    say(trace.get_current_span().get_span_context().span_id)
    os.kill(os.getpid(), signal.SIGKILL)

flow.invoke(1, THREAD)
"""
        with start(dies) as process:
            span_id = int(process.next_line())
            process.was_killed()

        with Database(f"sqlite:///{tmp_path / 'db'}") as database:

            @entrypoint(database=database)
            def flow(x: int) -> int:
                return x

            (done,) = recover(database, [flow])
        assert done.status == "done"
        went_on = spans.the("invoke_workflow flow")
        assert [link.context.span_id for link in went_on.links] == [span_id]
        assert told(went_on)["clew.run.executions"] == 2

    def test_a_submitted_run_leads_back_to_its_submitter(self, tmp_path: Path, spans: Spans) -> None:
        with Database(f"sqlite:///{tmp_path / 'db'}") as database:
            flow = entrypoint(database=database)(_same)
            handle = flow.submit(1, ON_1)
            with working(database, flow):
                assert handle.result() == 1
        submitted, ran = spans.the("submit _same"), spans.the("invoke_workflow _same")
        assert [link.context.span_id for link in ran.links] == [id_of(submitted)]

    def test_a_run_that_was_asked_to_stop_has_stopped_and_not_failed(self, spans: Spans) -> None:
        @entrypoint(checkpointer=InMemorySaver())
        def flow(x: int) -> None:
            raise RunStopped("a newer input came", "0" * 32)

        with pytest.raises(RunStopped):
            flow.invoke(1, ON_1)
        span = spans.the("invoke_workflow flow")
        assert told(span)["clew.run.status"] == "stopped"
        assert span.status.status_code is StatusCode.UNSET

    def test_what_is_kept_for_later_executions_is_shown_nowhere_else(self, saver: Checkpointer, spans: Spans) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int, *, config: Any) -> Any:
            return interrupt(sorted(config["configurable"]))

        flow.invoke(1, ON_1)
        state = flow.get_state(ON_1)
        assert set(state.metadata or {}) == {"source", "step", "parents"}
        assert state.interrupts[0].value == ["thread_id"]
        (asked,) = show_run(saver, "1").calls
        assert asked.question is not None
        assert [finding.problem for finding in check_replay(flow)] == [None]

    def test_a_crash_anywhere_harms_neither_runs_nor_their_traces(self, spans: Spans) -> None:
        @entrypoint
        def flow(x: int) -> int:
            return task(_same)(x).result()

        report = crash_everywhere(flow, 1)
        assert report.value == 1
        went_on = [span for span in spans.of("invoke_workflow flow") if told(span)["clew.run.executions"] == 2]
        assert went_on
        assert all(len(span.links) == 1 for span in went_on)

    def test_what_was_begun_without_traces_goes_on_with_them(self) -> None:
        @entrypoint(checkpointer=InMemorySaver())
        def flow(x: int) -> Any:
            return interrupt("?")

        flow.invoke(1, ON_1)
        with traced() as spans:
            assert flow.invoke(Command(resume=1), ON_1) == 1
        assert len(spans.the("invoke_workflow flow").links) == 0


class TestTheSwitch:
    def test_a_task_takes_no_more_calls_once_it_is_switched_off(self) -> None:
        step = task(_same)

        @entrypoint
        def count(x: int) -> int:
            step(x).result()
            return calls(lambda: [step(x).result() for _ in range(10)])

        before = count.invoke(1)
        with traced():
            assert count.invoke(1) > before
        assert count.invoke(1) == before

    def test_nothing_is_kept_or_traced_when_it_is_off(self, tmp_path: Path) -> None:
        import sqlite3

        with traced() as spans:
            pass
        with Database(f"sqlite:///{tmp_path / 'db'}") as database:
            entrypoint(database=database)(_same).invoke(1, ON_1)
        assert spans.names == []
        with sqlite3.connect(tmp_path / "db") as connection:
            assert connection.execute("SELECT count(*) FROM clew_records").fetchone() == (0,)

    def test_without_an_sdk_nothing_is_kept(self, tmp_path: Path) -> None:
        import sqlite3

        from clew.integrations.opentelemetry import instrument, uninstrument

        instrument()
        try:
            with Database(f"sqlite:///{tmp_path / 'db'}") as database:
                assert entrypoint(database=database)(_same).invoke(1, ON_1) == 1
        finally:
            uninstrument()
        with sqlite3.connect(tmp_path / "db") as connection:
            assert connection.execute("SELECT count(*) FROM clew_records").fetchone() == (0,)

    def test_what_goes_wrong_in_an_observer_changes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken:
            def __init__(self, at: str) -> None:
                self.at = at

            def begun(self, activity: Activity) -> None:
                assert self.at != "begin", "broken"

            def ended(self, activity: Activity, begun: Any, error: BaseException | None) -> None:
                assert self.at != "end", "broken"

        @entrypoint
        def flow(x: int) -> int:
            return task(_same)(x).result()

        for at in ("begin", "end"):
            observe(Broken(at))
            try:
                assert flow.invoke(1) == 1
            finally:
                observe(None)
        messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert messages == [
            "the observer failed at the beginning of WatchedRun",
            "the observer failed at the beginning of WatchedCall",
            "the observer failed at the end of WatchedCall",
            "the observer failed at the end of WatchedRun",
        ]


def _same(x: int) -> int:
    return x
