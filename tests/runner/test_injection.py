"""What a running function is given by the names of its parameters, and what it may ask for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from clew import (
    BaseStore,
    Checkpointer,
    ExecutionInfo,
    InMemoryStore,
    RetryPolicy,
    RunnableConfig,
    Runtime,
    StreamWriter,
    entrypoint,
    get_config,
    get_runtime,
    get_store,
    get_stream_writer,
    interrupt,
    task,
)
from clew.errors import NotInWorkflow
from support.colours import Colour, result, results, thread


@dataclass
class Context:
    user: str
    language: str = "en"


class TestInjection:
    def test_workflow_and_tasks_are_given_what_they_ask_for(
        self, colour: Colour, saver: Checkpointer, store: BaseStore
    ) -> None:
        @colour.task
        def ask(
            number: int, config: RunnableConfig, *, store: BaseStore, writer: StreamWriter, runtime: Runtime[Any]
        ) -> Any:
            writer(f"task {number}")
            return config["configurable"]["thread_id"], isinstance(store, BaseStore), runtime.store is store

        @colour.entrypoint(checkpointer=saver, store=store)
        async def flow(
            number: int,
            config: RunnableConfig,
            previous: Any,
            *,
            store: BaseStore,
            writer: StreamWriter,
            runtime: Runtime[Any],
        ) -> Any:
            writer("workflow")
            asked = await result(ask(number))
            return *asked, config["configurable"]["thread_id"], previous, isinstance(store, BaseStore), runtime.context

        assert colour.stream(flow, 1, thread("a"), stream_mode=["custom", "values"]) == [
            ("custom", "workflow"),
            ("custom", "task 1"),
            ("values", ("a", True, True, "a", None, True, None)),
        ]

    @pytest.mark.parametrize("annotation", [None, "dict", "Any", "RunnableConfig", "'RunnableConfig | None'", "int"])
    def test_injection_goes_by_name_whatever_the_annotation(self, colour: Colour, annotation: str | None) -> None:
        names: dict[str, Any] = {"Any": Any, "RunnableConfig": RunnableConfig}
        noted = f": {annotation}" if annotation else ""
        exec(f"def show(x, config{noted}, store{noted}, writer{noted}, runtime{noted}): return locals()", names)
        show = colour.task(names["show"])
        store = InMemoryStore()

        @colour.entrypoint(store=store)
        async def flow(number: int) -> Any:
            given = await result(show(number))
            return given["config"]["configurable"], isinstance(given["store"], BaseStore), callable(given["writer"])

        assert colour.invoke(flow, 1, {"configurable": {"colour": "red"}}) == ({"colour": "red"}, True, True)

    @pytest.mark.parametrize("passed", [None, "hello"])
    def test_what_the_caller_passes_by_keyword_wins(self, colour: Colour, passed: Any) -> None:
        @colour.task
        def show(number: int, store: Any, *, writer: Any, config: Any, runtime: Any, previous: Any = 5) -> Any:
            return store, writer, config, runtime, previous

        @colour.entrypoint(store=InMemoryStore())
        async def flow(number: int) -> Any:
            given = dict.fromkeys(("store", "writer", "config", "runtime", "previous"), passed)
            return await result(show(number, **given))

        assert colour.invoke(flow, 1) == (passed,) * 5

    def test_what_the_caller_passes_by_position_wins(self, colour: Colour) -> None:
        @colour.task
        def show(number: int, store: Any = None, config: Any = None) -> Any:
            return store, config is not None

        @colour.entrypoint(store=InMemoryStore())
        async def flow(number: int) -> Any:
            return await result(show(number, "mine"))

        assert colour.invoke(flow, 1) == ("mine", True)

    def test_methods_partials_and_callable_objects_are_given_it_too(self, colour: Colour) -> None:
        from functools import partial

        class Asks:
            def method(self, number: int, config: RunnableConfig) -> Any:
                return config["tags"]

            def __call__(self, number: int, *, config: RunnableConfig) -> Any:
                return config["tags"]

        def function(extra: int, number: int, config: RunnableConfig) -> Any:
            return config["tags"]

        asks: list[Callable[..., Any]] = [Asks().method, Asks(), partial(function, 7), partial(Asks().method)]
        made = [task(each) for each in asks]

        @colour.entrypoint
        async def flow(number: int) -> Any:
            return [await result(each(number)) for each in made]

        assert colour.invoke(flow, 1, {"tags": ["x"]}) == [["x"]] * 4

    def test_without_a_store_it_is_none_and_asking_for_it_says_so(self, colour: Colour) -> None:
        @colour.task
        def ask(number: int, store: Any) -> Any:
            with pytest.raises(NotInWorkflow, match="no store was configured"):
                get_store()
            return store

        @colour.entrypoint
        async def flow(number: int, *, store: Any, runtime: Runtime[Any]) -> Any:
            with pytest.raises(RuntimeError, match="store=") as error:
                get_store()
            assert "database=" in str(error.value)
            return store, runtime.store, await result(ask(number))

        assert colour.invoke(flow, 1) == (None, None, None)


class TestPrevious:
    def test_without_a_default_the_first_run_is_given_none(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, previous: Any) -> Any:
            return [previous, number]

        assert colour.invoke(flow, 1, thread()) == [None, 1]
        assert colour.invoke(flow, 2, thread()) == [[None, 1], 2]

    def test_a_default_holds_until_something_is_saved(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, *, previous: int = 10) -> int:
            return previous + number

        assert [colour.invoke(flow, 1, thread()) for _ in range(3)] == [11, 12, 13]

    def test_a_saved_none_is_no_missing_value(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, *, previous: Any = "nothing yet") -> Any:
            return entrypoint.final(value=previous, save=None)

        assert [colour.invoke(flow, 1, thread()) for _ in range(2)] == ["nothing yet", None]

    def test_without_a_checkpointer_nothing_is_saved(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, previous: Any) -> Any:
            return previous

        assert [colour.invoke(flow, 1) for _ in range(2)] == [None, None]

    def test_the_runtime_has_it_too(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, runtime: Runtime[Any]) -> Any:
            return runtime.previous, number

        assert [colour.invoke(flow, n, thread()) for n in (1, 2)] == [(None, 1), ((None, 1), 2)]


class TestAskingTheRunningCall:
    def test_it_works_at_any_depth(self, colour: Colour, store: BaseStore) -> None:
        def ask(where: str) -> Any:
            get_stream_writer()(where)
            runtime = get_runtime(Context)
            return get_config()["configurable"]["colour"], isinstance(get_store(), BaseStore), runtime.context.user

        @colour.task
        def inner() -> Any:
            return ask("inner")

        @colour.task
        async def outer() -> Any:
            return [ask("outer"), await result(inner())]

        @colour.entrypoint(store=store, context_schema=Context)
        async def flow(number: int) -> Any:
            return [ask("flow"), *await result(outer())]

        config = {"configurable": {"colour": "red"}}
        chunks = colour.stream(flow, 1, config, context={"user": "ann"}, stream_mode=["custom", "values"])
        assert chunks == [
            ("custom", "flow"),
            ("custom", "outer"),
            ("custom", "inner"),
            ("values", [("red", True, "ann")] * 3),
        ]

    def test_it_works_in_blocking_code_under_an_async_workflow(self) -> None:
        @task
        def blocking() -> Any:
            assert threading.current_thread() is not threading.main_thread()
            return get_config()["tags"]

        @entrypoint()
        async def flow(number: int) -> Any:
            return await blocking()

        assert asyncio.run(flow.ainvoke(1, {"tags": ["x"]})) == ["x"]

    def test_it_works_in_an_os_thread_with_the_context_copied(self) -> None:
        @entrypoint()
        def flow(number: int) -> Any:
            found: list[Any] = []
            run = contextvars.copy_context().run
            helper = threading.Thread(target=lambda: found.append(run(get_config)))
            helper.start()
            helper.join()
            return found[0]["tags"]

        assert flow.invoke(1, {"tags": ["x"]}) == ["x"]

    def test_the_writer_is_the_injected_one(self, colour: Colour) -> None:
        @colour.task
        def write(writer: StreamWriter) -> None:
            writer("injected")
            get_stream_writer()("asked for")
            get_runtime().stream_writer("runtime")

        @colour.entrypoint
        async def flow(number: int) -> None:
            await result(write())

        assert colour.stream(flow, 1, stream_mode="custom") == ["injected", "asked for", "runtime"]

    def test_writing_where_nobody_listens_does_nothing(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, writer: StreamWriter) -> int:
            writer("unheard")
            return number

        assert colour.invoke(flow, 1) == 1

    @pytest.mark.parametrize("ask", [get_config, get_store, get_runtime, get_stream_writer, lambda: interrupt("?")])
    def test_outside_a_run_it_raises(self, ask: Callable[[], Any]) -> None:
        with pytest.raises(RuntimeError, match=r"running workflow.*copy_context"):
            ask()

    def test_after_a_run_it_raises_again(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int) -> int:
            return number

        colour.invoke(flow, 1)
        with pytest.raises(RuntimeError):
            get_config()

    def test_contexts_of_users_reach_tasks(self, colour: Colour) -> None:
        variable = contextvars.ContextVar("variable", default="unset")

        @colour.task
        def read() -> str:
            return variable.get()

        @colour.entrypoint
        async def flow(number: int) -> Any:
            variable.set("in flow")
            return await results(read(), read())

        variable.set("outside")
        assert colour.invoke(flow, 1) == ["in flow", "in flow"]
        assert variable.get() == "outside"


def test_a_config_has_its_dicts_also_where_the_caller_gave_none(colour: Colour, saver: Checkpointer) -> None:
    @colour.task
    def ask(config: RunnableConfig) -> Any:
        return config["configurable"].get("user", "nobody"), config["metadata"].get("request", "none")

    @colour.entrypoint(checkpointer=saver)
    async def flow(number: int, *, config: RunnableConfig) -> Any:
        assert get_config()["metadata"] == {}
        return await result(ask()), config["configurable"].get("user"), config["metadata"].get("request")

    assert colour.invoke(flow, 1, thread()) == (("nobody", "none"), None, None)


class TestTaskAlone:
    """A task called outside a run calls its function, so that it can be tested alone."""

    def test_a_blocking_task_gives_a_finished_future(self) -> None:
        @task
        def add(a: int, b: int) -> int:
            return a + b

        future = add(1, b=2)
        assert future.done()
        assert future.result() == 3
        assert asyncio.run(_awaited(add, 1, b=2)) == 3

    def test_an_async_task_gives_a_finished_future(self) -> None:
        @task
        async def add(a: int, b: int) -> int:
            await asyncio.sleep(0)
            return a + b

        assert add(1, b=2).result() == 3
        assert asyncio.run(_awaited(add, 1, b=2)) == 3

    def test_its_error_waits_in_the_future(self) -> None:
        @task
        def fail() -> None:
            raise KeyError("lost")

        future = fail()
        assert isinstance(future.exception(), KeyError)
        with pytest.raises(KeyError, match="lost"):
            future.result()

    def test_it_is_given_what_there_is_and_defaults_hold(self) -> None:
        @task
        def ask(config: Any, writer: StreamWriter, store: Any, runtime: Any = "mine") -> Any:
            writer("unheard")
            return config, store, runtime

        assert ask().result() == ({"configurable": {}, "metadata": {}}, None, "mine")

    def test_the_caller_may_pass_what_would_be_injected(self) -> None:
        store = InMemoryStore()

        @task
        def remember(text: str, *, store: BaseStore) -> None:
            store.put(("notes",), "1", {"text": text})

        remember("milk", store=store).result()
        item = store.get(("notes",), "1")
        assert item is not None
        assert item.value == {"text": "milk"}

    def test_it_may_call_tasks(self) -> None:
        @task
        def inner(number: int) -> int:
            return number + 1

        @task
        def outer(number: int) -> int:
            return inner(number).result() * 2

        assert outer(1).result() == 4

    def test_an_interrupt_in_it_raises(self) -> None:
        @task
        def ask() -> Any:
            return interrupt("?")

        with pytest.raises(RuntimeError):
            ask().result()


class TestRuntime:
    def test_it_has_everything_in_one_object(self, colour: Colour, saver: Checkpointer, store: BaseStore) -> None:
        @colour.entrypoint(checkpointer=saver, store=store, context_schema=Context)
        def flow(number: int, runtime: Runtime[Context]) -> Any:
            runtime.heartbeat()
            runtime.stream_writer("written")
            assert isinstance(runtime.execution_info, ExecutionInfo)
            return runtime.context.user, runtime.store is get_store(), runtime.previous, runtime.server_info

        assert colour.invoke(flow, 1, thread(), context=Context("ann")) == ("ann", True, None, None)

    def test_it_can_be_changed_as_a_copy(self, colour: Colour) -> None:
        @colour.entrypoint(context_schema=Context)
        def flow(number: int, runtime: Runtime[Context]) -> Any:
            other = runtime.override(context=Context("bob"))
            return runtime.context.user, other.context.user, other.execution_info == runtime.execution_info

        assert colour.invoke(flow, 1, context={"user": "ann"}) == ("ann", "bob", True)

    def test_it_can_be_made_for_tests(self) -> None:
        runtime = Runtime(context=Context("ann"))
        runtime.stream_writer("unheard")
        runtime.heartbeat()
        assert (runtime.context.user, runtime.store, runtime.previous) == ("ann", None, None)

    def test_it_says_which_call_this_is(self, colour: Colour, saver: Checkpointer) -> None:
        seen: list[ExecutionInfo] = []

        @colour.task
        def look() -> None:
            info = get_runtime().execution_info
            assert info is not None
            seen.append(info)

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            look_here = get_runtime().execution_info
            assert look_here is not None
            seen.append(look_here)
            await result(look())
            await result(look())

        colour.invoke(flow, 1, thread("a"))
        assert {info.thread_id for info in seen} == {"a"}
        assert len({info.run_id for info in seen}) == 1
        assert len({info.checkpoint_id for info in seen}) == 1
        assert len({info.task_id for info in seen}) == 3
        assert len({info.checkpoint_ns for info in seen}) == 3
        for info in seen:
            assert None not in (info.run_id, info.checkpoint_id, info.task_id, info.checkpoint_ns)
            assert info.node_attempt == 1
            assert isinstance(info.node_first_attempt_time, float)

    def test_without_a_checkpointer_there_is_no_thread(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int) -> Any:
            info = get_runtime().execution_info
            assert info is not None
            return info.thread_id, info.node_attempt, type(info.node_first_attempt_time)

        assert colour.invoke(flow, 1, thread("ignored")) == (None, 1, float)

    def test_it_counts_attempts_from_one_first_time(self, colour: Colour) -> None:
        seen: list[tuple[int, float]] = []

        @colour.task(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
        def flaky(runtime: Runtime[Any]) -> str:
            assert runtime.execution_info is not None
            seen.append((runtime.execution_info.node_attempt, runtime.execution_info.node_first_attempt_time))
            if len(seen) < 3:
                raise ConnectionError("again")
            return "done"

        @colour.entrypoint
        async def flow(number: int) -> Any:
            return await result(flaky())

        assert colour.invoke(flow, 1) == "done"
        assert [attempt for attempt, _ in seen] == [1, 2, 3]
        assert len({first for _, first in seen}) == 1


class Typed(TypedDict):
    user: str


class TestContext:
    @pytest.mark.parametrize("given", [{"user": "ann"}, Context("ann")])
    def test_a_dict_becomes_the_dataclass_and_an_instance_stays(self, colour: Colour, given: Any) -> None:
        @colour.task
        def inner(runtime: Runtime[Context]) -> Context:
            return runtime.context

        @colour.entrypoint(context_schema=Context)
        async def flow(number: int, runtime: Runtime[Context]) -> Any:
            return [runtime.context, await result(inner()), get_runtime(Context).context]

        assert colour.invoke(flow, 1, context=given) == [Context("ann", "en")] * 3
        assert colour.stream(flow, 1, context=given, stream_mode="values") == [[Context("ann", "en")] * 3]

    @pytest.mark.parametrize("given", [{}, {"user": "ann", "age": 3}])
    def test_missing_and_unknown_fields_are_refused_before_any_code_runs(self, colour: Colour, given: Any) -> None:
        ran = []

        @colour.entrypoint(context_schema=Context)
        def flow(number: int) -> None:
            ran.append(number)

        with pytest.raises(TypeError):
            colour.invoke(flow, 1, context=given)
        with pytest.raises(TypeError):
            colour.stream(flow, 1, context=given)
        assert ran == []

    def test_a_pydantic_model_checks_its_fields(self, colour: Colour) -> None:
        pydantic = pytest.importorskip("pydantic")
        Model = pydantic.create_model("Model", user=(str, ...), age=(int, 3), __config__={"extra": "forbid"})
        ran = []

        @colour.entrypoint(context_schema=Model)
        def flow(number: int, runtime: Runtime[Any]) -> Any:
            ran.append(number)
            return type(runtime.context) is Model, runtime.context.age

        assert colour.invoke(flow, 1, context={"user": "ann"}) == (True, 3)
        assert colour.invoke(flow, 1, context=Model(user="ann", age=7)) == (True, 7)
        for given in ({}, {"user": "ann", "no": 1}, {"user": "ann", "age": "old"}):
            with pytest.raises(pydantic.ValidationError):
                colour.invoke(flow, 1, context=given)
        assert ran == [1, 1]

    def test_for_a_typed_dict_the_dict_stays(self, colour: Colour) -> None:
        @colour.entrypoint(context_schema=Typed)
        def flow(number: int, runtime: Runtime[Typed]) -> Any:
            return runtime.context

        given = {"user": "ann", "more": 1}
        assert colour.invoke(flow, 1, context=given) == given

    @pytest.mark.parametrize("options", [{}, {"context": None}])
    def test_without_a_context_it_is_none(self, colour: Colour, options: Any) -> None:
        @colour.entrypoint(context_schema=Context)
        def flow(number: int, runtime: Runtime[Context]) -> Any:
            return runtime.context

        assert colour.invoke(flow, 1, **options) is None

    def test_it_reaches_nested_workflows(self, colour: Colour) -> None:
        @colour.entrypoint(context_schema=Context)
        def inner(number: int, runtime: Runtime[Context]) -> str:
            return runtime.context.user

        @colour.entrypoint(context_schema=Context)
        async def outer(number: int) -> str:
            if colour.workflow_is_async:
                return str(await inner.ainvoke(number))
            return str(inner.invoke(number))

        assert colour.invoke(outer, 1, context={"user": "ann"}) == "ann"


async def _awaited(made: Any, *args: Any, **kwargs: Any) -> Any:
    return await made(*args, **kwargs)
