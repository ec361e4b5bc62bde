"""What may be marked as a workflow or a task, under which names, and what is refused at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from clew import (
    CachePolicy,
    Checkpointer,
    Database,
    InMemoryCache,
    InMemorySaver,
    InMemoryStore,
    RetryPolicy,
    SqliteSaver,
    Task,
    Workflow,
    entrypoint,
    interrupt,
    task,
)
from clew.errors import UsageError
from support.colours import Colour, result, thread


class Doubler:
    """A callable object, with a method."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def __call__(self, number: int) -> int:
        return number * self.factor

    def multiply(self, number: int) -> int:
        return number * self.factor

    async def multiply_soon(self, number: int) -> int:
        return number * self.factor


class AsyncDoubler:
    async def __call__(self, number: int) -> int:
        return number * 2


def double(number: int) -> int:
    return number * 2


async def double_soon(number: int) -> int:
    return number * 2


def run_alone(made: Any, number: int) -> Any:
    """Run a task as the only call of a workflow."""

    @entrypoint()
    async def flow(number: int) -> Any:
        return await made(number)

    return flow.invoke(number)


class TestEntrypoint:
    def test_it_works_without_brackets(self) -> None:
        @entrypoint
        def flow(number: int) -> int:
            return number + 1

        assert isinstance(flow, Workflow)
        assert flow.invoke(1) == 2

    def test_it_works_with_empty_brackets(self) -> None:
        @entrypoint()
        def flow(number: int) -> int:
            return number + 1

        assert flow.invoke(1) == 2

    def test_it_takes_its_parts_by_keyword(self) -> None:
        @entrypoint(
            checkpointer=InMemorySaver(),
            store=InMemoryStore(),
            cache=InMemoryCache(),
            context_schema=dict,
            cache_policy=CachePolicy(),
            retry_policy=RetryPolicy(),
            timeout=5,
        )
        async def flow(number: int) -> int:
            return number + 1

        assert flow.invoke(1, thread()) == 2

    def test_every_part_may_be_none(self) -> None:
        parts = ("checkpointer", "store", "cache", "context_schema", "cache_policy", "retry_policy", "timeout")

        @entrypoint(**dict.fromkeys(parts))  # type: ignore[arg-type]
        def flow(number: int) -> int:
            return number + 1

        assert flow.invoke(1) == 2

    def test_a_database_is_short_for_checkpointer_and_store(self) -> None:
        with Database(":memory:") as database:

            @entrypoint(database=database)
            def flow(number: int) -> int:
                return number + 1

            assert flow.checkpointer is database.checkpointer
            assert flow.store is database.store

    def test_a_misspelt_part_is_refused(self) -> None:
        with pytest.raises(TypeError, match="checkpoint"):
            entrypoint(checkpoint=InMemorySaver())  # type: ignore[call-overload]

    @pytest.mark.parametrize("part", ["checkpointer", "store", "cache", "retry_policy", "timeout"])
    def test_a_part_of_a_wrong_type_is_refused_when_the_workflow_is_made(self, part: str) -> None:
        with pytest.raises(TypeError, match=part):

            @entrypoint(**{part: object()})
            async def flow(number: int) -> int:
                return number

    def test_a_wrong_checkpointer_is_named_as_such(self) -> None:
        with pytest.raises(TypeError, match="Invalid checkpointer provided"):
            entrypoint(checkpointer="threads.db")  # type: ignore[call-overload]

    def test_a_checkpointer_that_is_not_opened_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(TypeError, match=r"Invalid checkpointer provided.*`with SqliteSaver"):
            entrypoint(checkpointer=SqliteSaver.from_conn_string(":memory:"))  # type: ignore[call-overload]

    @pytest.mark.parametrize("wrong", ["app.db", ""])
    def test_an_address_in_place_of_a_database_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"Invalid database provided: .* Pass a Database"):
            entrypoint(database=wrong)

    def test_a_connection_is_refused_where_a_path_belongs(self) -> None:
        with (
            contextlib.closing(sqlite3.connect(":memory:")) as connection,
            pytest.raises(UsageError, match=r"pass the path of the file, not <sqlite3\.Connection"),
        ):
            SqliteSaver(connection)  # type: ignore[arg-type]

    @pytest.mark.parametrize("mark", [task, entrypoint])
    def test_a_classmethod_is_refused_with_the_remedy(self, mark: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match="write @classmethod above it"):
            mark(classmethod(lambda cls, number: number))

    def test_a_generator_is_refused(self) -> None:
        with pytest.raises(NotImplementedError, match="flow"):

            @entrypoint()
            def flow(number: int) -> Iterator[int]:
                yield number

    def test_an_async_generator_is_refused(self) -> None:
        with pytest.raises(NotImplementedError, match="flow"):

            @entrypoint()
            async def flow(number: int) -> AsyncIterator[int]:
                yield number

    def test_a_generator_in_a_partial_is_refused(self) -> None:
        def flow(step: int, number: int) -> Iterator[int]:
            yield number

        with pytest.raises(NotImplementedError, match="flow"):
            entrypoint()(functools.partial(flow, 1))

    def test_a_function_without_parameters_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no parameter"):
            entrypoint()(lambda: 1)  # type: ignore[arg-type, misc]

    def test_a_function_with_keywords_alone_is_refused(self) -> None:
        def flow(*, number: int = 1) -> int:
            return number

        with pytest.raises(ValueError, match="no parameter"):
            entrypoint()(flow)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["previous", "config", "store", "writer", "runtime"])
    def test_an_input_named_like_something_injected_is_refused(self, name: str) -> None:
        names: dict[str, Any] = {}
        exec(f"def flow({name}): return {name}", names)
        with pytest.raises(ValueError, match=name):
            entrypoint()(names["flow"])

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(TypeError, match="needs a function"):
            entrypoint()(7)  # type: ignore[call-overload]

    def test_further_parameters_keep_their_defaults(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, factor: int = 3, *, offset: int = 1) -> int:
            return number * factor + offset

        assert colour.invoke(flow, 2) == 7

    def test_a_further_parameter_that_nothing_fills_fails_the_call_as_in_python(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, factor: int) -> int:
            return number * factor

        with pytest.raises(TypeError, match="factor"):
            colour.invoke(flow, 2)

    def test_a_function_of_anything_gets_the_input_alone(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(*args: Any, **kwargs: Any) -> Any:
            return args, kwargs

        assert colour.invoke(flow, 2) == ((2,), {})

    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (Doubler(), "Doubler"),
            (AsyncDoubler(), "AsyncDoubler"),
            (Doubler().multiply, "multiply"),
            (Doubler().multiply_soon, "multiply_soon"),
            (functools.partial(double), "double"),
            (functools.partial(functools.partial(double_soon)), "double_soon"),
            (functools.partial(Doubler()), "Doubler"),
        ],
    )
    def test_anything_callable_makes_a_workflow(self, function: Callable[..., Any], name: str) -> None:
        flow = entrypoint()(function)
        assert flow.name == name
        assert flow.invoke(4) == 8
        assert asyncio.run(flow.ainvoke(4)) == 8

    def test_a_name_may_be_given(self) -> None:
        flow = entrypoint(name="doubled")(double)
        assert flow.name == "doubled"
        assert list(flow.stream(4)) == [{"doubled": 8}]
        assert double.__name__ == "double"

    def test_it_keeps_the_docstring_and_the_signature(self) -> None:
        @entrypoint()
        def flow(number: int) -> int:
            """Say something."""
            return number

        assert flow.__doc__ == "Say something."
        assert flow.__name__ == "flow"
        assert list(inspect.signature(flow.__wrapped__).parameters) == ["number"]  # type: ignore[attr-defined]


class TestFinal:
    def test_it_is_made_with_keywords(self) -> None:
        made = entrypoint.final(value=1, save="x")
        assert (made.value, made.save) == (1, "x")
        with pytest.raises(TypeError):
            entrypoint.final(1, "x")  # type: ignore[misc]

    def test_as_an_annotation_it_may_be_bare_or_take_two_types(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def bare(number: int, *, previous: Any = None) -> entrypoint.final:  # type: ignore[type-arg]
            return entrypoint.final(value=previous, save=number)

        def full(number: int, *, previous: Any = None) -> entrypoint.final[Any, int]:
            return entrypoint.final(value=previous, save=number)

        full.__annotations__["return"] = entrypoint.final[Any, int]
        for flow in (bare, colour.entrypoint(full, checkpointer=saver)):
            assert [colour.invoke(flow, number, thread()) for number in (1, 2, 3)] == [None, 1, 2]

    def test_with_one_type_it_is_refused(self) -> None:
        with pytest.raises(TypeError):
            entrypoint.final[int]  # type: ignore[misc]


class TestTask:
    def test_it_works_bare_with_brackets_with_keywords_and_as_a_function(self, colour: Colour) -> None:
        made = [
            colour.task(double),
            colour.task()(double),
            colour.task(double, name="twice"),
            colour.task(name="twice", retry_policy=RetryPolicy(), cache_policy=CachePolicy())(double),
            colour.task(retry_policy=[RetryPolicy()])(double),
        ]

        @colour.entrypoint
        async def flow(number: int) -> list[int]:
            return [await result(double(number)) for double in made]

        assert colour.invoke(flow, 2) == [4] * 5
        assert [double.name for double in made] == ["double", "double", "twice", "twice", "double"]

    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (Doubler(), "Doubler"),
            (AsyncDoubler(), "AsyncDoubler"),
            (Doubler().multiply, "multiply"),
            (Doubler().multiply_soon, "multiply_soon"),
            (functools.partial(double), "double"),
            (functools.partial(double_soon), "double_soon"),
            (functools.partial(Doubler().multiply_soon), "multiply_soon"),
        ],
    )
    def test_anything_callable_makes_a_task(self, function: Callable[..., Any], name: str) -> None:
        made = task(function)
        assert made.name == name
        assert run_alone(made, 4) == 8
        named = task(function, name="twice")
        assert named.name == "twice"
        assert run_alone(named, 4) == 8

    def test_naming_one_renames_neither_the_function_nor_another(self) -> None:
        method = Doubler().multiply
        first, second, third = task(method, name="a"), task(method, name="b"), task(method)
        assert (first.name, second.name, third.name) == ("a", "b", "multiply")
        assert method.__name__ == "multiply"

    def test_two_names_of_one_method_are_two_tasks(self, colour: Colour, saver: Checkpointer) -> None:
        method = Doubler().multiply
        first, second = colour.task(method, name="a"), colour.task(method, name="b")

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> list[int]:
            return [await result(first(number)), await result(second(number + 1))]

        assert colour.stream(flow, 1, thread())[:2] == [{"a": 2}, {"b": 4}]

    def test_on_a_method_in_a_class_it_binds_self(self, colour: Colour, saver: Checkpointer) -> None:
        class Shop:
            def __init__(self, price: int) -> None:
                self.price = price

            @colour.task
            def total(self, count: int, *, discount: int = 0) -> int:
                return self.price * count - discount

        shop = Shop(10)

        @colour.entrypoint(checkpointer=saver)
        async def flow(count: int) -> list[Any]:
            total = await result(shop.total(count, discount=1))
            other = await result(Shop.total(Shop(3), count))
            return [total, other]

        assert colour.invoke(flow, 2, thread()) == [19, 6]

    def test_static_methods_and_class_methods_are_bound_as_such(self) -> None:
        class Shop:
            @task
            @staticmethod
            def tax(amount: int) -> int:
                return amount // 10

            @staticmethod
            @task
            def fee(amount: int) -> int:
                return amount // 20

            @classmethod
            @task
            def make(cls, price: int) -> str:
                return f"{cls.__name__} {price}"

        @entrypoint()
        def flow(amount: int) -> list[Any]:
            calls = [Shop.tax(amount), Shop().tax(amount), Shop.fee(amount), Shop().fee(amount)]
            calls += [Shop.make(amount), Shop().make(amount)]
            return [call.result() for call in calls]

        assert flow.invoke(100) == [10, 10, 5, 5, "Shop 100", "Shop 100"]

    def test_an_entrypoint_on_a_method_in_a_class_binds_self(self, colour: Colour) -> None:
        class Shop:
            def __init__(self, price: int) -> None:
                self.price = price

            @colour.entrypoint
            def total(self, count: int) -> int:
                return self.price * count

        assert colour.invoke(Shop(10).total, 2) == 20
        assert colour.invoke(Shop(5).total, 2) == 10

    @pytest.mark.parametrize("name", ["timeout", "idle_timeout", "name", "retry_policy"])
    def test_it_keeps_parameters_named_like_its_own_options(self, colour: Colour, name: str) -> None:
        names: dict[str, Any] = {}
        exec(f"def wait(*, {name}): return {name}", names)
        wait = colour.task(names["wait"])

        @colour.entrypoint
        async def flow(value: int) -> Any:
            return await result(wait(**{name: value}))

        assert colour.invoke(flow, 7) == 7

    def test_its_arguments_are_those_of_its_function(self, colour: Colour) -> None:
        @colour.task
        def show(a: Any, /, b: Any, *args: Any, c: Any = 3, **kwargs: Any) -> Any:
            return a, b, args, c, kwargs

        @colour.entrypoint
        async def flow(value: Any) -> Any:
            return await result(show(1, 2, 4, 5, d=6)), await result(show(1, b=2, c=0))

        assert colour.invoke(flow, 1) == ((1, 2, (4, 5), 3, {"d": 6}), (1, 2, (), 0, {}))

    def test_wrong_arguments_fail_as_in_python(self, colour: Colour) -> None:
        twice = colour.task(double)

        @colour.entrypoint
        async def flow(value: Any) -> Any:
            return await result(twice(1, 2))

        with pytest.raises(TypeError, match="positional argument"):
            colour.invoke(flow, 1)

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(TypeError, match="needs a function"):
            task(7)  # type: ignore[call-overload]

    def test_a_policy_of_a_wrong_type_is_refused_at_once(self) -> None:
        with pytest.raises(TypeError, match="retry_policy"):
            task(retry_policy=3)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="cache_policy"):
            task(double, cache_policy=3)  # type: ignore[call-overload]

    def test_it_keeps_the_docstring(self) -> None:
        @task
        def described() -> None:
            """Say something."""

        assert described.__doc__ == "Say something."
        assert described.__name__ == "described"
        assert isinstance(described, Task)

    def test_declared_anew_on_every_run_it_is_still_recognised(self, colour: Colour, saver: Checkpointer) -> None:
        ran = []

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            @colour.task
            def add(number: int) -> int:
                ran.append(number)
                return number + 1

            first = await result(add(number))
            second = await result(add(first))
            return second, interrupt("go on?")

        from clew import Command

        colour.invoke(flow, 1, thread())
        assert colour.invoke(flow, Command(resume="yes"), thread()) == (3, "yes")
        assert ran == [1, 2]


@pytest.mark.parametrize("url", [None, 5, ""], ids=repr)
def test_a_database_without_a_name_is_refused(url: Any) -> None:
    with pytest.raises(UsageError, match="not by"):
        Database(url)
