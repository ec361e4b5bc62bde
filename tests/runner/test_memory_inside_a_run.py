"""Memory inside a run: written with the task's record or not at all; in the body once, however often it is replayed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import (
    BaseStore,
    Checkpointer,
    Command,
    Database,
    InMemorySaver,
    InMemoryStore,
    Item,
    ReplayMismatch,
    RetryPolicy,
    SearchItem,
    SqliteSaver,
    SqliteStore,
    entrypoint,
    get_store,
    interrupt,
    task,
)
from clew.errors import Conflict, InvalidNamespaceError, UsageError
from clew.store.operations import GetOp, PutOp
from support.colours import PATIENCE_S, Colour, Gate, Meeting, result, results, thread

NOTES = ("notes",)


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Threads and memories in one database, on every engine."""
    url = ":memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'all.db'}"
    with Database(url) as opened:
        yield opened


async def put(key: str, value: Any, namespace: tuple[str, ...] = NOTES) -> None:
    """Write in the colour of the running body."""
    if _on_loop():
        await get_store().aput(namespace, key, {"v": value})
    else:
        get_store().put(namespace, key, {"v": value})


async def get(key: str) -> Any:
    """Read in the colour of the running body."""
    item = await get_store().aget(NOTES, key) if _on_loop() else get_store().get(NOTES, key)
    return None if item is None else item.value["v"]


async def delete(key: str) -> None:
    if _on_loop():
        await get_store().adelete(NOTES, key)
    else:
        get_store().delete(NOTES, key)


async def search(**how: Any) -> list[SearchItem]:
    return await get_store().asearch(NOTES, **how) if _on_loop() else get_store().search(NOTES, **how)


def _on_loop() -> bool:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def kept(store: BaseStore) -> dict[str, Any]:
    """Return what is kept, as seen from outside any run."""
    return {item.key: item.value["v"] for item in store.search(NOTES, limit=100)}


def test_writes_of_a_task_appear_together_with_its_record(database: Database, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.task
    async def work() -> str:
        await put("a", 1)
        await put("b", 2)
        seen.append(kept(database.store))
        return "done"

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        got = await result(work())
        seen.append(kept(database.store))
        return got

    colour.invoke(flow, 1, thread())
    assert seen == [{}, {"a": 1, "b": 2}]


def test_a_task_sees_what_it_wrote(database: Database, colour: Colour) -> None:
    database.store.put(NOTES, "old", {"v": "old"})
    database.store.put(NOTES, "gone", {"v": "gone"})

    @colour.task
    async def work() -> Any:
        await put("a", "about whales")
        await put("old", "about ships")
        await delete("gone")
        found = await search(query="whales")
        return (
            await get("a"), await get("old"), await get("gone"), sorted(item.key for item in await search()),
            found[0].key, [item.key for item in await search(filter={"v": "about ships"})],
        )  # fmt: skip

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await result(work())

    expected = ("about whales", "about ships", None, ["a", "old"], "a", ["old"])
    assert colour.invoke(flow, 1, thread()) == expected
    assert kept(database.store) == {"a": "about whales", "old": "about ships"}


def test_namespaces_that_wait_are_listed_in_the_task(database: Database, colour: Colour) -> None:
    @colour.task
    async def work() -> Any:
        await put("k", 1, ("fresh", "place"))
        store = get_store()
        return await store.alist_namespaces() if _on_loop() else store.list_namespaces()

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await result(work())

    assert colour.invoke(flow, 1, thread()) == [("fresh", "place")]


def test_a_batch_in_a_task_reads_what_was_before_it(database: Database, colour: Colour) -> None:
    @colour.task
    async def work() -> Any:
        ops = [GetOp(NOTES, "k"), PutOp(NOTES, "k", {"v": 1}), GetOp(NOTES, "k")]
        first = await get_store().abatch(ops) if _on_loop() else get_store().batch(ops)
        second = await get_store().abatch(ops) if _on_loop() else get_store().batch(ops)
        return first, [item and item.value for item in second if item is None or isinstance(item, Item)]

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await result(work())

    assert colour.invoke(flow, 1, thread()) == ([None, None, None], [{"v": 1}, None, {"v": 1}])


def test_a_failed_attempt_leaves_nothing(database: Database, colour: Colour) -> None:
    attempts: list[Any] = []

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False))
    async def work() -> None:
        attempts.append(await get("count"))
        await put(f"attempt {len(attempts)}", 1)
        await put("count", len(attempts))
        if len(attempts) < 3:
            raise ConnectionError("lost")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await result(work())

    colour.invoke(flow, 1, thread())
    assert attempts == [None, None, None]
    assert kept(database.store) == {"attempt 3": 1, "count": 3}


def test_a_failed_task_leaves_nothing(database: Database, colour: Colour) -> None:
    failing = [True]

    @colour.task
    async def work() -> None:
        await put("a", 1)
        if failing:
            raise ValueError("no")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        with contextlib.suppress(ValueError):
            await result(work())

    colour.invoke(flow, 1, thread())
    assert kept(database.store) == {}
    failing.clear()
    colour.invoke(flow, 1, thread("other"))
    assert kept(database.store) == {"a": 1}


def test_what_a_task_leaves_behind_writes_at_once_when_the_task_has_ended(database: Database) -> None:
    go_on = threading.Event()
    behind: list[threading.Thread] = []

    @task
    def leave(number: int) -> int:
        context = contextvars.copy_context()

        def later() -> None:
            assert go_on.wait(PATIENCE_S)
            get_store().put(NOTES, "late", {"n": number})

        behind.append(threading.Thread(target=context.run, args=(later,)))
        behind[0].start()
        get_store().put(NOTES, "early", {"n": number})
        return number

    @entrypoint(database=database)
    def flow(number: int) -> int:
        kept = leave(number).result()
        assert [item.key for item in database.store.search(NOTES)] == ["early"]
        go_on.set()
        behind[0].join()
        return kept

    assert flow.invoke(1, thread()) == 1
    assert sorted(item.key for item in database.store.search(NOTES)) == ["early", "late"]


def test_what_a_failed_attempt_leaves_behind_is_refused(database: Database) -> None:
    go_on = threading.Event()
    behind: list[threading.Thread] = []
    refused: list[str] = []

    @task(retry_policy=RetryPolicy(initial_interval=0.001, retry_on=ValueError))
    def leave(number: int) -> int:
        if behind:
            go_on.set()
            behind[0].join()
            return number
        context = contextvars.copy_context()

        def later() -> None:
            assert go_on.wait(PATIENCE_S)
            with pytest.raises(UsageError, match="task 'leave' has ended or failed before this was written") as error:
                get_store().put(NOTES, "late", {"n": number})
            refused.append(str(error.value))

        behind.append(threading.Thread(target=context.run, args=(later,)))
        behind[0].start()
        raise ValueError("once")

    @entrypoint(database=database)
    def flow(number: int) -> int:
        return leave(number).result()

    assert flow.invoke(1, thread()) == 1
    assert len(refused) == 1
    assert database.store.search(NOTES) == []


def test_a_task_whose_result_cannot_be_kept_leaves_nothing(database: Database, colour: Colour) -> None:
    @colour.task
    async def work() -> Any:
        await put("a", 1)
        return lambda: None

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await result(work())

    with pytest.raises(TypeError):
        colour.invoke(flow, 1, thread())
    assert kept(database.store) == {}


def test_a_task_that_asks_leaves_nothing_until_it_is_done(database: Database, colour: Colour) -> None:
    @colour.task
    async def work() -> Any:
        before = await get("count") or 0
        await put("count", before + 1)
        return interrupt("?")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await result(work())

    colour.invoke(flow, 1, thread())
    assert kept(database.store) == {}
    colour.invoke(flow, Command(resume=1), thread())
    assert kept(database.store) == {"count": 1}


def test_a_recorded_task_does_not_write_again(database: Database, colour: Colour) -> None:
    @colour.task
    async def work() -> Any:
        await put("count", (await get("count") or 0) + 1)

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await result(work())
        return interrupt("first"), interrupt("second")

    for input in (1, Command(resume=1), Command(resume=2)):
        colour.invoke(flow, input, thread())
    assert kept(database.store) == {"count": 1}


def test_writes_in_the_body_are_applied_once(database: Database, colour: Colour) -> None:
    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        seen = await get("count") or 0
        await put("count", seen + 1)
        after = await get("count")
        return seen, after, interrupt("first"), interrupt("second")

    colour.invoke(flow, 1, thread())
    assert kept(database.store) == {"count": 1}
    database.store.put(NOTES, "count", {"v": 100})  # somebody else goes on
    colour.invoke(flow, Command(resume="a"), thread())
    assert colour.invoke(flow, Command(resume="b"), thread()) == (0, 1, "a", "b")
    assert kept(database.store) == {"count": 100}


def test_reads_in_the_body_are_recorded(database: Database, colour: Colour) -> None:
    seen: list[Any] = []
    database.store.put(NOTES, "k", {"v": "then"})
    database.store.put(NOTES, "l", {"v": "then"})

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        seen.append((await get("k"), await get("missing"), await search(query="then"), await search(filter={"v": 1})))
        interrupt("?")
        return seen[-1]

    colour.invoke(flow, 1, thread())
    for key in ("k", "l", "missing"):
        database.store.put(NOTES, key, {"v": "now"})
    colour.invoke(flow, Command(resume=1), thread())
    assert seen[0] == seen[1]
    assert seen[1][:2] == ("then", None)
    assert {item.key for item in seen[1][2]} == {"k", "l"}
    assert all(isinstance(item, SearchItem) for item in seen[1][2])
    colour.invoke(flow, 1, thread("later"))
    assert seen[2][0] == "now"


def test_a_batch_in_the_body_reads_what_was_before_it(database: Database, colour: Colour) -> None:
    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        ops = [GetOp(NOTES, "k"), PutOp(NOTES, "k", {"v": x}), GetOp(NOTES, "k")]
        got = await get_store().abatch(ops) if _on_loop() else get_store().batch(ops)
        interrupt("?")
        return got

    colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, Command(resume=1), thread()) == [None, None, None]
    assert kept(database.store) == {"k": 1}


def test_parallel_tasks_keep_their_writes_apart(database: Database, colour: Colour) -> None:
    meeting, fails = Meeting(2), Gate()

    @colour.task
    async def work(name: str) -> Any:
        await put(name, 1)
        await meeting.all_here()
        seen = sorted(item.key for item in await search())
        if name == "b":
            fails.open()
            raise ValueError("b")
        await fails.passed()
        return seen

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        first, second = work("a"), work("b")
        seen = await result(first)
        with contextlib.suppress(ValueError):
            await result(second)
        return seen

    assert colour.invoke(flow, 1, thread()) == ["a"]
    assert kept(database.store) == {"a": 1}


def test_a_task_sees_what_a_task_below_it_wrote(database: Database, colour: Colour) -> None:
    @colour.task
    async def below() -> None:
        await put("below", 1)

    @colour.task
    async def above() -> Any:
        await put("above", 1)
        await result(below())
        return await get("below"), await get("above")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await result(above())

    assert colour.invoke(flow, 1, thread()) == (1, 1)
    assert kept(database.store) == {"above": 1, "below": 1}


def test_a_namespace_deleted_in_a_task_is_deleted_with_its_record(database: Database, colour: Colour) -> None:
    for key in "ab":
        database.store.put(NOTES, key, {"v": key})

    @colour.task
    async def work(fails: bool) -> Any:
        store = get_store()
        count = await store.adelete_namespace(NOTES) if _on_loop() else store.delete_namespace(NOTES)
        await put("c", "c")
        if fails:
            raise ValueError("no")
        return count, [item.key for item in await search()]

    @colour.entrypoint(database=database)
    async def flow(fails: bool) -> Any:
        return await result(work(fails))

    with pytest.raises(ValueError, match="no"):
        colour.invoke(flow, True, thread())
    assert kept(database.store) == {"a": "a", "b": "b"}
    assert colour.invoke(flow, False, thread()) == (2, ["c"])
    assert kept(database.store) == {"c": "c"}


def test_a_text_is_no_prefix_to_delete_and_nothing_is_erased_inside_a_run(database: Database, colour: Colour) -> None:
    database.store.put(("a", "b"), "k", {"v": 1})

    @colour.entrypoint(database=database)
    async def flow(verb: str) -> Any:
        store: Any = get_store()
        if verb == "delete":
            return await store.adelete_namespace("ab") if _on_loop() else store.delete_namespace("ab")
        return await store.aerase_namespace(("a",)) if _on_loop() else store.erase_namespace(("a",))

    with pytest.raises(InvalidNamespaceError, match="tuple"):
        colour.invoke(flow, "delete", thread())
    with pytest.raises(UsageError, match="delete_namespace"):
        colour.invoke(flow, "erase", thread())
    assert database.store.get(("a", "b"), "k") is not None


def test_the_injected_store_is_the_same_view(database: Database, colour: Colour) -> None:
    @colour.task
    async def work(*, store: BaseStore) -> Any:
        assert isinstance(store, BaseStore)
        await store.aput(NOTES, "k", {"v": 1}) if _on_loop() else store.put(NOTES, "k", {"v": 1})
        raise ValueError("no")

    @colour.entrypoint(database=database)
    async def flow(x: int, *, store: BaseStore) -> Any:
        await store.aput(NOTES, "body", {"v": 1}) if _on_loop() else store.put(NOTES, "body", {"v": 1})
        with contextlib.suppress(ValueError):
            await result(work())
        return interrupt("?")

    colour.invoke(flow, 1, thread())
    database.store.delete(NOTES, "body")
    colour.invoke(flow, Command(resume=1), thread())
    assert kept(database.store) == {}


def test_without_a_checkpointer_a_task_still_writes_all_or_nothing(store: BaseStore, colour: Colour) -> None:
    @colour.task
    async def work(x: int) -> Any:
        await put(f"{x}", x)
        if x == 2:
            raise ValueError("two")
        return await get("1"), kept(store)

    @colour.entrypoint(store=store)
    async def flow(x: int) -> Any:
        await put("body", x)
        assert kept(store) == {"body": x}
        got = await result(work(1))
        with contextlib.suppress(ValueError):
            await result(work(2))
        return got, await get("body")

    assert colour.invoke(flow, 7) == ((1, {"body": 7}), 7)
    assert kept(store) == {"body": 7, "1": 1}


def test_a_store_in_another_database_works_the_same(saver: Checkpointer, store: BaseStore, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.task
    async def work(fails: bool) -> Any:
        await put("task", fails)
        seen.append((await get("task"), kept(store)))
        if fails:
            raise ValueError("no")

    @colour.entrypoint(checkpointer=saver, store=store)
    async def flow(x: int) -> Any:
        await put("body", (await get("body") or 0) + 1)
        with contextlib.suppress(ValueError):
            await result(work(True))
        await result(work(False))
        return interrupt("?")

    colour.invoke(flow, 1, thread())
    colour.invoke(flow, Command(resume=1), thread())
    assert seen == [(True, {"body": 1}), (False, {"body": 1})]
    assert kept(store) == {"body": 1, "task": False}


class Crashing(InMemorySaver):
    """Loses the connection before the append that holds a call of this name."""

    crash_at: str | None = None

    def execute(self, operation: Any) -> Any:
        if self.crash_at in [record.name for record in getattr(operation, "records", ())]:
            self.crash_at = None
            raise Crash("power cut")
        return super().execute(operation)


class Crash(BaseException):
    """The process ends here."""


def crash_at_the_record_of_work(colour: Colour, saver: Crashing, store: BaseStore) -> dict[str, Any]:
    """Write in a task, crash when its record is to be kept, and return what was in the store then."""

    @colour.task
    async def work() -> None:
        await put("count", (await get("count") or 0) + 1)

    @colour.entrypoint(checkpointer=saver, store=store)
    async def flow(x: int) -> Any:
        await result(work())
        return "done"

    saver.crash_at = "work"
    with pytest.raises(Crash):
        colour.invoke(flow, 1, thread())
    found = kept(store)
    assert colour.invoke(flow, None, thread()) == "done"
    return found


def test_in_one_database_a_crash_leaves_neither_memory_nor_record(colour: Colour) -> None:
    saver = Crashing()
    store = InMemoryStore(database=saver.database)
    assert crash_at_the_record_of_work(colour, saver, store) == {}
    assert kept(store) == {"count": 1}


def test_in_two_databases_a_crash_in_between_writes_again(colour: Colour) -> None:
    """At least once: the memory goes first, so that it is never missing."""
    store = InMemoryStore()
    assert crash_at_the_record_of_work(colour, Crashing(), store) == {"count": 1}
    assert kept(store) == {"count": 2}


def test_one_file_opened_twice_is_one_database(tmp_path: Path) -> None:
    class CrashingSqlite(SqliteSaver):
        """Loses the connection before the append that holds a memory."""

        def execute(self, operation: Any) -> Any:
            if getattr(operation, "writes", ()):
                raise Crash("power cut")
            return super().execute(operation)

    with (
        contextlib.closing(CrashingSqlite(tmp_path / "all.db")) as crashing,
        contextlib.closing(SqliteSaver(tmp_path / "." / "all.db")) as saver,
        contextlib.closing(SqliteStore(tmp_path / "all.db")) as store,
    ):

        @task
        def work() -> None:
            get_store().put(NOTES, "count", {"v": 1 if get_store().get(NOTES, "count") is None else 2})

        def flow(x: int) -> str:
            work().result()
            return "done"

        with pytest.raises(Crash):
            entrypoint(checkpointer=crashing, store=store)(flow).invoke(1, thread())
        assert kept(store) == {}
        assert entrypoint(checkpointer=saver, store=store)(flow).invoke(None, thread()) == "done"
        assert kept(store) == {"count": 1}


def test_what_is_refused_in_a_task_is_refused_where_it_is_written(database: Database, colour: Colour) -> None:
    seen: list[str] = []

    @colour.task
    async def work() -> None:
        try:
            await put("k", {"not": object()})
        except ValueError:
            seen.append("value")
        try:
            await put("k", 1, ())
        except ValueError:
            seen.append("namespace")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await result(work())

    colour.invoke(flow, 1, thread())
    assert seen == ["value", "namespace"]


def test_a_version_that_does_not_fit_fails_the_task_and_leaves_nothing(database: Database, colour: Colour) -> None:
    database.store.put(NOTES, "k", {"v": 1})

    @colour.task
    async def work() -> None:
        await put("other", 1)
        store = get_store()
        if _on_loop():
            await store.aput(NOTES, "k", {"v": 2}, if_version=0)
        else:
            store.put(NOTES, "k", {"v": 2}, if_version=0)

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await result(work())

    with pytest.raises(Conflict):
        colour.invoke(flow, 1, thread())
    assert kept(database.store) == {"k": 1}
    flow.update_state(thread(), "free")  # the thread is not held by the run that failed


def test_a_write_in_the_body_that_changed_is_refused(database: Database) -> None:
    value = [1]

    @entrypoint(database=database)
    def flow(x: int) -> Any:
        get_store().put(NOTES, "k", {"v": value[0]})
        return interrupt("?")

    flow.invoke(1, thread())
    value[0] = 2
    with pytest.raises(ReplayMismatch):
        flow.invoke(Command(resume=1), thread())
    assert kept(database.store) == {"k": 1}


def test_many_parallel_tasks_write_at_once(database: Database, colour: Colour) -> None:
    @colour.task
    async def work(x: int) -> Any:
        await put(f"{x:02}", x)
        return await get(f"{x:02}")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        return await results(*[work(number) for number in range(30)])

    assert colour.invoke(flow, 1, thread()) == list(range(30))
    assert kept(database.store) == {f"{x:02}": x for x in range(30)}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_memory_is_written_once_however_outcomes_are_kept(database: Database, colour: Colour, durability: str) -> None:
    fails = [True]

    @colour.task
    async def work(name: str) -> None:
        await put(name, (await get(name) or 0) + 1)
        if name == "last" and fails:
            fails.clear()
            raise ConnectionError("lost")

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        await put("body", (await get("body") or 0) + 1)
        for name in ("first", "second", "last"):
            await result(work(name))

    with pytest.raises(ConnectionError):
        colour.invoke(flow, 1, thread(), durability=durability)
    colour.invoke(flow, None, thread(), durability=durability)
    assert kept(database.store) == {"body": 1, "first": 1, "second": 1, "last": 1}


def embed(texts: list[str]) -> list[list[float]]:
    """Point in the direction of whales or of ships."""
    return [[float("whale" in text), float("ship" in text), 0.1] for text in texts]


@pytest.mark.parametrize("make", [InMemoryStore, SqliteStore], ids=["memory", "sqlite"])
def test_waiting_memories_are_found_by_meaning(make: Callable[..., Any], tmp_path: Path, colour: Colour) -> None:
    options = {"index": {"dims": 3, "embed": embed}}
    store = make(**options) if make is InMemoryStore else make(tmp_path / "memories.db", **options)
    store.put(NOTES, "ship", {"v": "ship"})

    @colour.task
    async def work() -> Any:
        await put("whale", "whale")
        return [item.key for item in await search(query="whale", limit=1)]

    @colour.entrypoint(store=store)
    async def flow(x: int) -> Any:
        return await result(work())

    with contextlib.closing(store) if hasattr(store, "close") else contextlib.nullcontext():
        assert colour.invoke(flow, 1) == ["whale"]


def test_a_write_that_differs_on_replay_is_shown(database: Database) -> None:
    values, fails = iter((1, 2)), [True]

    @entrypoint(database=database)
    def flow(x: int) -> None:
        get_store().put(NOTES, "k", {"v": next(values)})
        if fails:
            raise ValueError(fails.pop())

    with pytest.raises(ValueError, match="True"):
        flow.invoke(1, thread())
    with pytest.raises(ReplayMismatch) as caught:
        flow.invoke(None, thread())
    assert "{'v': 1}" in str(caught.value)
    assert "{'v': 2}" in str(caught.value)
