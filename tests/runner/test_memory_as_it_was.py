"""Memory that travels with the thread: who wrote what, and runs that see memory as it was at their checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clew import (
    Command,
    Database,
    InMemoryStore,
    RetryPolicy,
    SqliteSaver,
    Workflow,
    entrypoint,
    get_store,
    interrupt,
    task,
)
from clew.errors import UsageError, VersionConflict
from support.colours import Colour, result, thread

NOTES = ("notes",)


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Threads and memories in one database, on every engine."""
    url = ":memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'all.db'}"
    with Database(url) as opened:
        yield opened


@task
def note(key: str, value: Any) -> None:
    get_store().put(NOTES, key, {"v": value})


@task
def seen() -> dict[str, Any]:
    return {item.key: item.value["v"] for item in get_store().search(NOTES, limit=100)}


def kept(database: Database) -> dict[str, Any]:
    return {item.key: item.value["v"] for item in database.store.search(NOTES, limit=100)}


def runs(workflow: Workflow[Any, Any], name: str) -> list[str]:
    """Return the ids of a thread's runs, newest first."""
    ids = [state.config["configurable"]["checkpoint_id"] for state in workflow.get_state_history(thread(name))]
    return list(dict.fromkeys(checkpoint.rpartition("-")[0] for checkpoint in ids))


def at(name: str, checkpoint: str, **more: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": name, "checkpoint_id": checkpoint, **more}}


class TestWhoWroteIt:
    def test_a_version_names_the_run_and_the_thread_that_wrote_and_ended_it(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(value: Any) -> None:
            note("task", value).result()
            get_store().put(NOTES, "body", {"v": value})
            if value == 3:
                get_store().delete(NOTES, "body")

        database.store.put(NOTES, "task", {"v": 0})
        for value in (1, 2, 3):
            flow.invoke(value, thread("t"))
        third, second, first = runs(flow, "t")
        told = [(v.value["v"], v.written_by, v.ended_by) for v in database.store.history(NOTES, "task")]
        assert [(value, by and by.run_id) for value, by, _ in told] == [(3, third), (2, second), (1, first), (0, None)]
        assert {by.thread_id for _, by, _ in told if by} == {"t"}
        assert [ended and ended.run_id for _, _, ended in told] == [None, third, second, first]
        newest = database.store.history(NOTES, "body")[0]
        assert (newest.ended, newest.ended_by and newest.ended_by.run_id) == ("deleted", third)

    def test_a_run_without_a_checkpointer_is_named_too(self) -> None:
        store = InMemoryStore()

        @entrypoint(store=store)
        def flow(value: Any) -> None:
            note("task", value).result()
            get_store().put(NOTES, "body", {"v": value})

        flow.invoke(1)
        writers = [store.history(NOTES, key)[0].written_by for key in ("task", "body")]
        assert [writer and writer.thread_id for writer in writers] == [None, None]
        assert len({writer.run_id for writer in writers if writer}) == 1

    def test_history_is_read_inside_a_run(self, database: Database) -> None:
        @task
        def numbers() -> list[int]:
            get_store().put(NOTES, "k", {"v": 2})
            return [version.version for version in get_store().history(NOTES, "k")]

        @entrypoint(database=database)
        def flow(_: Any) -> Any:
            return numbers().result(), [version.value for version in get_store().history(NOTES, "k")]

        database.store.put(NOTES, "k", {"v": 1})
        assert flow.invoke(0, thread("t")) == ([2, 1], [{"v": 2}, {"v": 1}])


class TestCheckpointsAsMoments:
    def test_memory_is_seen_as_of_a_checkpoint(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(value: Any) -> Any:
            note("k", value).result()
            return value

        for value in (1, 2):
            flow.invoke(value, thread("t"))
        states = list(flow.get_state_history(thread("t")))
        store = database.store

        def then(as_of: Any) -> Any:
            item = store.get(NOTES, "k", as_of=as_of)
            assert [i.value for i in store.search(NOTES, as_of=as_of)] == ([item.value] if item else [])
            return item and item.value["v"]

        assert [then(state.config) for state in states] == [2, 1, 1, None]
        assert [then(state.config["configurable"]["checkpoint_id"]) for state in states] == [2, 1, 1, None]
        assert then(datetime.now(UTC)) == 2

    def test_a_checkpoint_of_another_database_is_unknown(self, database: Database) -> None:
        @entrypoint(checkpointer=SqliteSaver())
        def flow(value: Any) -> Any:
            return value

        flow.invoke(1, thread("t"))
        with pytest.raises(UsageError, match="has no checkpoint"):
            database.store.get(NOTES, "k", as_of=flow.get_state(thread("t")).config)


class TestRunsThatLookBack:
    def test_a_replay_from_an_old_checkpoint_sees_memory_as_it_was(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(value: Any) -> Any:
            before = seen().result()
            in_body = {item.key for item in get_store().search(NOTES)}
            note(value, value).result()
            return before, sorted(in_body)

        flow.invoke("a", thread("t"))
        assert flow.invoke("b", thread("t")) == ({"a": "a"}, ["a"])
        assert flow.invoke("c", thread("t")) == ({"a": "a", "b": "b"}, ["a", "b"])
        begun = runs(flow, "t")[1] + "-0"
        everything = {"a": "a", "b": "b", "c": "c"}
        assert flow.invoke(None, at("t", begun)) == (everything, ["a", "b", "c"])
        assert flow.invoke(None, at("t", begun, memory_as_of="checkpoint")) == ({"a": "a"}, ["a"])
        assert flow.invoke("d", at("t", begun, memory_as_of="checkpoint")) == ({"a": "a"}, ["a"])
        assert kept(database) == everything | {"d": "d"}
        assert flow.invoke("e", thread("t"))[0] == everything | {"d": "d"}

    def test_it_sees_what_it_writes_itself_and_nothing_that_others_write(
        self, database: Database, colour: Colour
    ) -> None:
        @colour.task
        async def in_task() -> Any:
            get_store().put(NOTES, "waiting", {"v": 3})
            return get_store().get(NOTES, "old"), sorted(item.key for item in get_store().search(NOTES))

        @colour.entrypoint(database=database)
        async def flow(_: Any) -> Any:
            get_store().put(NOTES, "mine", {"v": 1})
            get_store().put(NOTES, "mine", {"v": 2})
            get_store().delete(NOTES, "old")
            database.store.put(NOTES, "other", {"v": "new"})
            database.store.put(NOTES, "mine", {"v": "theirs"})
            own = {item.key: item.value["v"] for item in get_store().search(NOTES)}
            return own, await result(in_task()), {item.key for item in get_store().search(NOTES)}

        flow.update_state(thread("t"), "here")
        database.store.put(NOTES, "old", {"v": 0})
        database.store.put(NOTES, "other", {"v": "old"})
        flow.update_state(thread("t"), "and here")
        checkpoint = flow.get_state(thread("t")).config["configurable"]["checkpoint_id"]
        database.store.put(NOTES, "later", {"v": 0})
        own, (old, keys), after = colour.invoke(flow, 1, at("t", checkpoint, memory_as_of="checkpoint"))
        assert own == {"other": "old", "mine": 2}
        assert (old, keys) == (None, ["mine", "other", "waiting"])
        assert after == {"mine", "other", "waiting"}
        assert kept(database) == {"other": "new", "mine": "theirs", "later": 0, "waiting": 3}

    def test_it_goes_on_seeing_it_after_an_answer(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(_: Any) -> Any:
            before = seen().result()
            answer = interrupt("?")
            return before, answer, read_again().result()

        @task
        def read_again() -> Any:
            return sorted(item.key for item in get_store().search(NOTES))

        database.store.put(NOTES, "a", {"v": 1})
        flow.invoke(0, thread("t"))
        asked = flow.get_state(thread("t")).config["configurable"]["checkpoint_id"]
        assert flow.invoke(Command(resume="x"), thread("t")) == ({"a": 1}, "x", ["a"])
        database.store.put(NOTES, "b", {"v": 2})
        forked = flow.invoke(Command(resume="y"), at("t", asked, memory_as_of="checkpoint"))
        assert forked == ({"a": 1}, "y", ["a"])
        assert flow.invoke(Command(resume="z"), at("t", asked)) == ({"a": 1}, "z", ["a", "b"])
        assert "__interrupt__" in flow.invoke(None, at("t", asked, memory_as_of="checkpoint"))
        assert flow.invoke(Command(resume="w"), thread("t")) == ({"a": 1}, "w", ["a"])

    def test_another_checkpoint_may_be_named(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(key: Any) -> Any:
            before = seen().result()
            note(key, key).result()
            return sorted(before)

        for key in "abc":
            flow.invoke(key, thread("t"))
        checkpoint = runs(flow, "t")[1] + "-1"
        assert flow.invoke("x", {"configurable": {"thread_id": "u", "memory_as_of": checkpoint}}) == ["a", "b"]

    def test_a_first_run_has_nothing_to_look_back_to(self, database: Database) -> None:
        @entrypoint(database=database)
        def flow(_: Any) -> Any:
            return seen().result()

        database.store.put(NOTES, "a", {"v": 1})
        wish = {"configurable": {"thread_id": "t", "memory_as_of": "checkpoint"}}
        assert flow.invoke(0, wish) == {"a": 1}
        database.store.put(NOTES, "b", {"v": 2})
        assert flow.invoke(0, wish) == {"a": 1}

    @pytest.mark.parametrize("wish", [True, 5, "", datetime(2030, 1, 1, tzinfo=UTC)])
    def test_anything_else_is_refused(self, database: Database, wish: Any) -> None:
        @entrypoint(database=database)
        def flow(_: Any) -> Any: ...

        with pytest.raises(UsageError, match="memory_as_of"):
            flow.invoke(0, {"configurable": {"thread_id": "t", "memory_as_of": wish}})

    def test_it_needs_a_checkpointer_and_a_checkpoint(self, database: Database) -> None:
        @entrypoint(store=InMemoryStore())
        def alone(_: Any) -> Any:
            return get_store().search(NOTES)

        @entrypoint(database=database)
        def flow(_: Any) -> Any:
            return get_store().search(NOTES)

        with pytest.raises(UsageError, match="needs a checkpointer"):
            alone.invoke(0, {"configurable": {"memory_as_of": "checkpoint"}})
        with pytest.raises(UsageError, match="no checkpoint 'nowhere'"):
            flow.invoke(0, {"configurable": {"thread_id": "t", "memory_as_of": "nowhere"}})


class TestLostUpdates:
    def test_a_conflict_at_the_end_of_a_task_is_retried_if_its_policy_says_so(
        self, database: Database, colour: Colour
    ) -> None:
        others = iter([10, 20])

        @colour.task(retry_policy=RetryPolicy(retry_on=VersionConflict, initial_interval=0))
        async def add() -> int:
            item = get_store().get(NOTES, "count")
            assert item is not None
            get_store().put(NOTES, "count", {"v": item.value["v"] + 1}, if_version=item.version)
            if (other := next(others, None)) is not None:
                database.store.put(NOTES, "count", {"v": other})
            return int(item.value["v"])

        @colour.entrypoint(database=database)
        async def flow(_: Any) -> Any:
            return await result(add())

        database.store.put(NOTES, "count", {"v": 0})
        assert colour.invoke(flow, 1, thread("t")) == 20
        assert kept(database) == {"count": 21}

    def test_a_conflict_without_a_policy_reaches_the_caller_and_keeps_nothing(self, database: Database) -> None:
        @task
        def add(value: int) -> None:
            get_store().put(NOTES, "other", {"v": value})
            get_store().put(NOTES, "count", {"v": value}, if_version=value)

        @entrypoint(database=database)
        def flow(value: int) -> Any:
            try:
                add(value).result()
            except VersionConflict as error:
                return str(error)

        database.store.put(NOTES, "count", {"v": 0})
        assert "version 1, not 0" in str(flow.invoke(0, thread("t")))
        assert kept(database) == {"count": 0}
        flow.invoke(1, thread("t"))
        assert kept(database) == {"count": 1, "other": 1}

    def test_a_conflict_that_was_met_is_met_again_on_replay(self, database: Database) -> None:
        @task
        def add() -> None:
            get_store().put(NOTES, "count", {"v": 1}, if_version=0)

        @entrypoint(database=database)
        def flow(_: Any) -> Any:
            try:
                add().result()
            except VersionConflict:
                return interrupt("?")

        database.store.put(NOTES, "count", {"v": 0})
        flow.invoke(0, thread("t"))
        database.store.delete(NOTES, "count")
        assert flow.invoke(Command(resume="met"), thread("t")) == "met"
        assert kept(database) == {}


def test_an_async_run_looks_back_too(database: Database) -> None:
    @task
    async def look() -> tuple[list[str], int]:
        found = await get_store().asearch(NOTES)
        return [item.key for item in found], len(await get_store().ahistory(NOTES, "a"))

    @entrypoint(database=database)
    async def flow(_: Any) -> Any:
        return await look(), await get_store().aget(NOTES, "b")

    database.store.put(NOTES, "a", {"v": 1})
    asyncio.run(flow.ainvoke(0, thread("t")))
    begun = runs(flow, "t")[0] + "-0"
    asyncio.run(flow.ainvoke(0, thread("t")))
    database.store.put(NOTES, "b", {"v": 1})
    looked_back = asyncio.run(flow.ainvoke(None, at("t", begun, memory_as_of="checkpoint")))
    assert looked_back == ((["a"], 1), None)
