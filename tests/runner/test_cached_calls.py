"""Calls with a cache policy: which share a result, for how long, and how that is told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew import (
    BaseCache,
    BaseStore,
    CachePolicy,
    Checkpointer,
    Command,
    InMemoryCache,
    InMemorySaver,
    SqliteCache,
    entrypoint,
    interrupt,
    task,
)
from clew.errors import NotRecordable
from support.colours import Colour, result, results, thread


@pytest.fixture(params=["memory", "sqlite"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCache]:
    """A cache, on every engine."""
    if request.param == "memory":
        yield InMemoryCache()
        return
    with contextlib.closing(SqliteCache(tmp_path / "cache.db")) as kept:
        yield kept


class Client:
    """Has no content that tells one from another."""

    __slots__ = ()


@dataclass
class Order:
    amount: int
    tags: list[str]


def counting(
    colour: Colour, cache: BaseCache | None, policy: CachePolicy | None = None, **options: Any
) -> tuple[Any, Any, list[Any]]:
    """Return a workflow that calls a cached task with its input, the task, and the arguments it ran with."""
    ran: list[Any] = []

    @colour.task(cache_policy=CachePolicy() if policy is None else policy)
    def work(value: Any) -> Any:
        ran.append(value)
        return {"of": str(value)}

    @colour.entrypoint(cache=cache, **options)
    async def flow(value: Any) -> Any:
        return await result(work(value))

    return flow, work, ran


class TestTask:
    def test_a_second_call_with_equal_arguments_does_not_run_the_function(
        self, colour: Colour, cache: BaseCache
    ) -> None:
        ran: list[Any] = []

        @colour.task(cache_policy=CachePolicy())
        def add(a: int, b: int = 0) -> int:
            ran.append((a, b))
            return a + b

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return [await result(add(1, b=2)), await result(add(1, b=2)), await result(add(2, b=1))]

        assert colour.invoke(flow, 1) == [3, 3, 3]
        assert ran == [(1, 2), (2, 1)]
        assert colour.invoke(flow, 1) == [3, 3, 3]
        assert len(ran) == 2

    def test_it_holds_across_threads(self, colour: Colour, cache: BaseCache, saver: Checkpointer) -> None:
        flow, _, ran = counting(colour, cache, checkpointer=saver)
        assert [colour.invoke(flow, 7, thread(name)) for name in ("a", "b", "a")] == [{"of": "7"}] * 3
        assert ran == [7]

    def test_it_outlives_the_process_in_a_file(self, colour: Colour, tmp_path: Path) -> None:
        for _ in range(2):
            with contextlib.closing(SqliteCache(tmp_path / "cache.db")) as cache:
                flow, _, ran = counting(colour, cache)
                assert colour.invoke(flow, 7) == {"of": "7"}
        assert ran == []

    def test_without_a_cache_the_policy_does_nothing(self, colour: Colour) -> None:
        flow, _, ran = counting(colour, None)
        assert [colour.invoke(flow, 7), colour.invoke(flow, 7)] == [{"of": "7"}] * 2
        assert ran == [7, 7]

    def test_without_a_policy_nothing_is_kept(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[int] = []

        @colour.task
        def work(value: int) -> int:
            ran.append(value)
            return value

        @colour.entrypoint(cache=cache)
        async def flow(value: int) -> Any:
            return await result(work(value)) + await result(work(value))

        assert colour.invoke(flow, 7) == 14
        assert ran == [7, 7]

    @pytest.mark.parametrize("value", [None, False, 0, "", []])
    def test_falsy_results_are_kept(self, colour: Colour, cache: BaseCache, value: Any) -> None:
        ran: list[int] = []

        @colour.task(cache_policy=CachePolicy())
        def work() -> Any:
            ran.append(1)
            return value

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return [await result(work()), await result(work())]

        assert colour.invoke(flow, 1) == [value, value]
        assert ran == [1]

    def test_errors_are_not_kept(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[int] = []

        @colour.task(cache_policy=CachePolicy())
        def work() -> str:
            ran.append(1)
            if len(ran) == 1:
                raise ConnectionError
            return "done"

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return await result(work())

        with pytest.raises(ConnectionError):
            colour.invoke(flow, 1)
        assert colour.invoke(flow, 1) == "done"

    def test_it_works_with_interrupts_and_resumes(self, colour: Colour, cache: BaseCache, saver: Checkpointer) -> None:
        ran: list[str] = []

        @colour.task(cache_policy=CachePolicy())
        def work(value: str) -> str:
            ran.append(value)
            return value.upper()

        @colour.task(cache_policy=CachePolicy())
        def ask(value: str) -> Any:
            return [value, interrupt("why?")]

        @colour.entrypoint(checkpointer=saver, cache=cache)
        async def flow(value: str) -> Any:
            return [await result(work(value)), await result(ask(value)), await result(work(value))]

        assert "__interrupt__" in colour.invoke(flow, "x", thread("1"))
        assert colour.invoke(flow, Command(resume="so"), thread("1")) == ["X", ["x", "so"], "X"]
        assert colour.invoke(flow, "x", thread("2")) == ["X", ["x", "so"], "X"]
        assert ran == ["x"]

    def test_a_cached_call_is_told_as_such(self, colour: Colour, cache: BaseCache) -> None:
        flow, _, _ = counting(colour, cache)
        assert colour.stream(flow, 7) == [{"work": {"of": "7"}}, {"flow": {"of": "7"}}]
        cached = {"work": {"of": "7"}, "__metadata__": {"cached": True}}
        assert colour.stream(flow, 7) == [cached, {"flow": {"of": "7"}}]
        told = [event for event in colour.stream(flow, 7, stream_mode="tasks") if event["name"] == "work"]
        assert [("triggers" in event, event.get("cached")) for event in told] == [(True, None), (False, True)]

    def test_changing_a_result_changes_nothing_that_is_kept(self, colour: Colour, cache: BaseCache) -> None:
        flow, _, _ = counting(colour, cache)
        for _ in range(3):
            found = colour.invoke(flow, 7)
            assert found == {"of": "7"}
            found["of"] = "changed"

    def test_an_entry_lasts_as_long_as_its_policy_says(
        self, colour: Colour, cache: BaseCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flow, _, ran = counting(colour, cache, CachePolicy(ttl=60))
        now_s = time.time()
        monkeypatch.setattr(time, "time", lambda: now_s)
        colour.invoke(flow, 7)
        now_s += 59
        colour.invoke(flow, 7)
        assert ran == [7]
        now_s += 2
        colour.invoke(flow, 7)
        assert ran == [7, 7]

    def test_an_argument_that_the_task_changes_does_not_change_its_key(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[int] = []

        @colour.task(cache_policy=CachePolicy())
        def work(values: list[int]) -> int:
            ran.append(len(values))
            values.append(0)
            return sum(values)

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return await results(work([1, 2])), await results(work([1, 2]))

        assert colour.invoke(flow, 1) == ([3], [3])
        assert ran == [2]

    def test_memories_of_a_cached_call_are_not_written_again(
        self, colour: Colour, cache: BaseCache, store: BaseStore
    ) -> None:
        @colour.task(cache_policy=CachePolicy())
        def remember(text: str, *, store: BaseStore) -> None:
            store.put(("notes",), text, {"n": len(store.search(("notes",)))})

        @colour.entrypoint(cache=cache, store=store)
        async def flow(number: int) -> None:
            await result(remember("a"))

        colour.invoke(flow, 1)
        store.delete(("notes",), "a")
        colour.invoke(flow, 1)
        assert store.get(("notes",), "a") is None

    def test_what_a_cached_task_had_recorded_below_it_is_no_mismatch(
        self, colour: Colour, cache: BaseCache, saver: Checkpointer
    ) -> None:
        """The first thread stops in the task after an inner call; then another thread finishes the same task."""
        asks = [True]

        @colour.task
        def inner() -> str:
            return "inner"

        @colour.task(cache_policy=CachePolicy())
        async def outer(value: int) -> Any:
            found = await result(inner())
            return [found, interrupt("why?") if asks[0] else "not asked"]

        @colour.entrypoint(checkpointer=saver, cache=cache)
        async def flow(value: int) -> Any:
            return await result(outer(value))

        colour.invoke(flow, 1, thread("first"))
        asks[0] = False
        assert colour.invoke(flow, 1, thread("second")) == ["inner", "not asked"]
        assert colour.invoke(flow, None, thread("first")) == ["inner", "not asked"]


class TestClearing:
    def test_after_it_the_task_runs_again_and_others_stay(self, colour: Colour, cache: BaseCache) -> None:
        flow, work, ran = counting(colour, cache)
        other_ran: list[Any] = []

        @colour.task(cache_policy=CachePolicy())
        def other(value: Any) -> None:
            other_ran.append(value)

        @colour.entrypoint(cache=cache)
        async def other_flow(value: Any) -> None:
            await result(other(value))

        for clear in (lambda: work.clear_cache(cache), lambda: asyncio.run(work.aclear_cache(cache))):
            before = len(ran)
            colour.invoke(flow, 7)
            colour.invoke(flow, 7)
            colour.invoke(other_flow, 7)
            clear()
            colour.invoke(flow, 7)
            assert len(ran) == before + (2 if before == 0 else 1)
        assert other_ran == [7]

    def test_all_may_be_cleared(self, colour: Colour, cache: BaseCache) -> None:
        flow, _, ran = counting(colour, cache)
        colour.invoke(flow, 7)
        cache.clear()
        colour.invoke(flow, 7)
        assert ran == [7, 7]


class TestKeys:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
            ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}),
            ({3, 1, 2}, {2, 3, 1}),
            (Order(1, ["x"]), Order(1, ["x"])),
            ((1, "a", None), (1, "a", None)),
        ],
    )
    def test_equal_arguments_share_a_result(self, colour: Colour, cache: BaseCache, first: Any, second: Any) -> None:
        flow, _, ran = counting(colour, cache)
        colour.invoke(flow, first)
        colour.invoke(flow, second)
        assert len(ran) == 1

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (1, 2),
            (1, True),
            (1, 1.0),
            ("1", 1),
            ([1], (1,)),
            (Order(1, []), Order(2, [])),
            ({"a": 1}, {"a": 2}),
            (b"x", "x"),
            (None, "None"),
        ],
    )
    def test_other_arguments_do_not(self, colour: Colour, cache: BaseCache, first: Any, second: Any) -> None:
        flow, _, ran = counting(colour, cache)
        colour.invoke(flow, [first])
        colour.invoke(flow, [second])
        assert len(ran) == 2

    @pytest.mark.parametrize(
        "argument",
        [Client(), [Client()], {"client": Client()}, lambda: 1, object()],
        ids=lambda argument: type(argument).__name__,
    )
    def test_an_argument_that_tells_nothing_apart_is_refused(
        self, colour: Colour, cache: BaseCache, argument: Any
    ) -> None:
        """It would get the result of another call."""
        flow, _, ran = counting(colour, cache)
        with pytest.raises(NotRecordable, match=r"'work' has a cache policy.*argument 1.*key_func"):
            colour.invoke(flow, argument)
        assert ran == []

    def test_the_refusal_names_the_place_and_has_an_end_in_the_stream(self, colour: Colour, cache: BaseCache) -> None:
        flow, _, _ = counting(colour, cache)
        with pytest.raises(NotRecordable, match=r"argument 1\['deep'\]\[1\]: a .*Client has no content"):
            colour.invoke(flow, {"deep": [1, Client()]})

    def test_a_key_function_says_what_counts(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[Any] = []

        @colour.task(cache_policy=CachePolicy(key_func=lambda client, number, *, hint=None: str(number)))
        def work(client: Client, number: int, *, hint: str | None = None) -> int:
            ran.append((number, hint))
            return number

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return [await result(work(Client(), 1)), await result(work(Client(), 1, hint="x"))]

        assert colour.invoke(flow, 1) == [1, 1]
        assert ran == [(1, None)]

    @pytest.mark.parametrize(("key", "is_taken"), [("text", True), (b"bytes", True), (7, False), (None, False)])
    def test_a_key_is_text_or_bytes(self, colour: Colour, cache: BaseCache, key: Any, is_taken: bool) -> None:
        flow, _, ran = counting(colour, cache, CachePolicy(key_func=lambda value: key))
        if is_taken:
            assert [colour.invoke(flow, 1), colour.invoke(flow, 2)] == [{"of": "1"}] * 2
        else:
            with pytest.raises(TypeError, match="key_func must return text or bytes"):
                colour.invoke(flow, 1)
            assert ran == []

    def test_what_is_injected_does_not_count(self, colour: Colour, cache: BaseCache, store: BaseStore) -> None:
        ran: list[int] = []

        @colour.task(cache_policy=CachePolicy())
        def work(number: int, store: BaseStore, *, config: Any, writer: Any) -> int:
            ran.append(number)
            return number

        @colour.entrypoint(cache=cache, store=store)
        async def flow(number: int) -> Any:
            return await result(work(number))

        for name in ("a", "b"):
            colour.invoke(flow, 1, {"configurable": {"user": name}})
        assert ran == [1]

    def test_functions_made_by_one_factory_do_not_share(self, cache: BaseCache) -> None:
        def multiplied_by(factor: int) -> Callable[[int], int]:
            def multiply(number: int) -> int:
                return number * factor

            return multiply

        double, triple = (task(multiplied_by(factor), cache_policy=CachePolicy()) for factor in (2, 3))

        @entrypoint(cache=cache)
        def flow(number: int) -> Any:
            return double(number).result(), triple(number).result()

        assert [flow.invoke(5), flow.invoke(5)] == [(10, 15)] * 2

    def test_after_its_code_has_changed_a_kept_result_is_not_used(self, cache: BaseCache) -> None:
        def run(source: str) -> Any:
            names: dict[str, Any] = {"__name__": "app"}
            exec(f"def work(number):\n    return {source}", names)
            work = task(names["work"], cache_policy=CachePolicy())

            @entrypoint(cache=cache)
            def flow(number: int) -> Any:
                return work(number).result()

            return flow.invoke(5)

        assert [run("number + 1"), run("number + 2"), run("number + 1")] == [6, 7, 6]

    def test_methods_of_objects_that_differ_do_not_share(self, colour: Colour, cache: BaseCache) -> None:
        class Shop:
            def __init__(self, price: int) -> None:
                self.price = price

            @task(cache_policy=CachePolicy())
            def total(self, count: int) -> int:
                return self.price * count

        @colour.entrypoint(cache=cache)
        async def flow(count: int) -> Any:
            return [await result(Shop(price).total(count)) for price in (1, 2, 1)]

        assert colour.invoke(flow, 5) == [5, 10, 5]

    def test_tasks_of_two_names_do_not_share(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[int] = []

        def work(number: int) -> int:
            ran.append(number)
            return number

        first = colour.task(work, name="first", cache_policy=CachePolicy())
        second = colour.task(work, name="second", cache_policy=CachePolicy())

        @colour.entrypoint(cache=cache)
        async def flow(number: int) -> Any:
            return [await result(first(number)), await result(second(number))]

        colour.invoke(flow, 1)
        assert ran == [1, 1]


class TestWholeRuns:
    def test_a_policy_on_the_entrypoint_keeps_them_across_threads(
        self, colour: Colour, cache: BaseCache, saver: Checkpointer
    ) -> None:
        ran: list[str] = []

        @colour.task
        def work(number: int) -> int:
            ran.append("work")
            return number + 1

        @colour.entrypoint(checkpointer=saver, cache=cache, cache_policy=CachePolicy())
        async def flow(number: int) -> int:
            ran.append("flow")
            return await result(work(number))

        assert [colour.invoke(flow, 1, thread(name)) for name in ("a", "b", "a")] == [2, 2, 2]
        assert ran == ["flow", "work"]
        assert colour.invoke(flow, 2, thread("a")) == 3
        assert flow.get_state(thread("b")).values == 2

    def test_they_stream_one_chunk_that_says_so(self, colour: Colour, cache: BaseCache) -> None:
        @colour.task
        def work(number: int) -> int:
            return number + 1

        @colour.entrypoint(cache=cache, cache_policy=CachePolicy())
        async def flow(number: int) -> int:
            return await result(work(number))

        assert colour.stream(flow, 1) == [{"work": 2}, {"flow": 2}]
        assert colour.stream(flow, 1) == [{"flow": 2, "__metadata__": {"cached": True}}]
        assert colour.stream(flow, 1, stream_mode="values") == [2]
        told = colour.stream(flow, 1, stream_mode="tasks")
        assert [(event["name"], event.get("cached")) for event in told] == [("flow", None), ("flow", True)]

    def test_a_final_is_kept_with_both_its_values(self, colour: Colour, cache: BaseCache) -> None:
        seen: list[Any] = []

        @colour.entrypoint(checkpointer=InMemorySaver(), cache=cache, cache_policy=CachePolicy())
        def flow(number: int, *, previous: Any = None) -> Any:
            seen.append(previous)
            return entrypoint.final(value=number, save=f"saved {number}")

        assert [colour.invoke(flow, 1, thread("a")), colour.invoke(flow, 1, thread("b"))] == [1, 1]
        assert [colour.invoke(flow, 2, thread("b")), seen] == [2, [None, "saved 1"]]

    def test_an_unfinished_run_is_not_kept(self, colour: Colour, cache: BaseCache, saver: Checkpointer) -> None:
        ran: list[int] = []

        @colour.entrypoint(checkpointer=saver, cache=cache, cache_policy=CachePolicy())
        def flow(number: int) -> Any:
            ran.append(number)
            return interrupt("why?")

        for name in ("a", "b"):
            assert "__interrupt__" in colour.invoke(flow, 1, thread(name))
        assert colour.invoke(flow, Command(resume="so"), thread("a")) == "so"
        assert colour.invoke(flow, 1, thread("c")) == "so"
        assert len(ran) == 3

    def test_an_answered_run_is_not_given_what_another_thread_came_to(
        self, colour: Colour, cache: BaseCache, saver: Checkpointer
    ) -> None:
        @colour.task
        def work(number: int) -> int:
            return number + 1

        @colour.entrypoint(checkpointer=saver, cache=cache, cache_policy=CachePolicy())
        async def flow(number: int) -> Any:
            return [await result(work(number)), interrupt("why?")]

        for name in ("a", "b"):
            colour.invoke(flow, 1, thread(name))
        assert colour.invoke(flow, Command(resume="first"), thread("a")) == [2, "first"]
        assert colour.invoke(flow, Command(resume="second"), thread("b")) == [2, "second"]

    def test_nested_workflows_are_kept_too(self, colour: Colour, cache: BaseCache) -> None:
        ran: list[int] = []

        @colour.entrypoint(cache_policy=CachePolicy())
        def inner(number: int) -> Any:
            ran.append(number)
            return entrypoint.final(value=number + 1, save="x")

        @colour.entrypoint(cache=cache)
        async def outer(number: int) -> Any:
            if colour.workflow_is_async:
                return [await inner.ainvoke(number), await inner.ainvoke(number)]
            return [inner.invoke(number), inner.invoke(number)]

        assert colour.invoke(outer, 1) == [2, 2]
        assert ran == [1]

    def test_a_value_that_cannot_be_kept_is_refused_by_name(self, colour: Colour, cache: BaseCache) -> None:
        @colour.entrypoint(cache=cache, cache_policy=CachePolicy())
        def flow(number: int) -> Any:
            return object()

        with pytest.raises(NotRecordable, match="'flow' has a cache policy, but returned what cannot be cached"):
            colour.invoke(flow, 1)


def test_caches_are_opened_as_people_know_them() -> None:
    assert isinstance(InMemoryCache(), BaseCache)
    with contextlib.closing(SqliteCache()) as first, contextlib.closing(SqliteCache(path=":memory:")) as second:
        first.set(("a",), "k", b"v", None)
        assert (first.get(("a",), "k"), second.get(("a",), "k")) == (b"v", None)
