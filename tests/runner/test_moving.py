"""Exported and imported: nothing is lost, whatever engine it comes from and goes to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clew
from clew import Command, Conflict, Database, EncryptionKeys, entrypoint, get_store, interrupt, task
from clew.engine.records import Queued, ThreadKey
from clew.errors import InvalidExport, InvalidOption, UnreadableRecord
from clew.runner.moving import Moved
from clew.storage.queueing import Enqueue, FindWork, ListQueue
from clew.storage.upkeep import LoadThread, WalkThreads, WholeThread
from clew.store.moving import Memory
from clew.store.transactional import TransactionalStore
from support.postgres import fresh_schema

ENGINES = ("memory", "sqlite")
PAIRS = [
    *((source, target) for source in ENGINES for target in ENGINES), ("sqlite", "postgres"), ("postgres", "sqlite"),
]  # fmt: skip
SERVER: list[str] = []


@pytest.fixture(autouse=True, scope="module")
def server(postgres: str) -> None:
    """Remember the server for `database`."""
    SERVER[:] = [postgres]


def letters(texts: list[str]) -> list[list[float]]:
    """Vectors that count letters."""
    return [[float(text.count(letter)) for letter in "aeinorst"] for text in texts]


def vowels(texts: list[str]) -> list[list[float]]:
    """Vectors of another model."""
    return [[float(text.count(letter)) for letter in "aeiou"] for text in texts]


@contextlib.contextmanager
def database(engine: str, **options: Any) -> Iterator[Database]:
    """An empty database."""
    if engine == "postgres":
        options = {"embed": letters, **options}
        with fresh_schema(SERVER[0]) as schema, Database(SERVER[0], schema=schema, **options) as opened:
            yield opened
        return
    with tempfile.TemporaryDirectory() as folder:
        where = ":memory:" if engine == "memory" else Path(folder) / "app.db"
        with Database(where, **{"embed": letters, **options}) as opened:
            yield opened


@task
def note(user: str, text: str) -> str:
    get_store().put(("memories", user), text[:3], {"data": text})
    return text * 40


def chat_on(opened: Database) -> Any:
    @entrypoint(database=opened)
    def chat(turn: str, *, previous: Any = None) -> Any:
        said = note("ann", turn).result()
        if turn.startswith("ask"):
            said += interrupt(turn)
        if turn.startswith("fail"):
            raise ValueError(turn)
        return [*(previous or []), said]

    return chat


def on(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "user_id": "ann"}}


def fill(opened: Database, turns: list[tuple[str, str]]) -> None:
    """Some threads, memories of all kinds, and a call that waits."""
    chat, store = chat_on(opened), opened.store
    for thread_id, turn in turns:
        with contextlib.suppress(ValueError):
            chat.invoke(turn, on(thread_id))
        if turn == "go back":
            with contextlib.suppress(ValueError):
                chat.invoke("say from there", list(chat.get_state_history(on(thread_id)))[-1].config)
    store.put(("a", "b"), "short", {"data": "soon gone"}, ttl=60)
    store.put(("a", "b"), "hidden", {"data": [1, 2.5, None, {"ü": "\n"}]}, index=False)
    store.put(("a",), "some", {"title": "x", "data": "y"}, index=["title"])
    store.put(("a",), "gone", {"data": "it was here"})
    store.delete(("a",), "gone")
    place = Queued(id=f"q{len(turns)}", thread=ThreadKey("later", "chat"), config=b"\x00\xff", created_s=1.5, due_s=2.5)
    opened.checkpointer.execute(Enqueue(place))


def content(opened: Database) -> tuple[list[WholeThread | None], list[Memory]]:
    """Everything that is kept."""
    saver, store = opened.checkpointer, opened.store
    assert isinstance(store, TransactionalStore)
    threads = [saver.execute(LoadThread(thread)) for thread in saver.execute(WalkThreads(limit=1000))]
    current = store.with_keeper("read", lambda keeper, state: keeper.memories(state, -1, 1000, past=False))
    past = store.with_keeper("read", lambda keeper, state: keeper.memories(state, -1, 1000, past=True))
    return threads, [_comparable(memory) for memory in [*current, *past]]


def _comparable(memory: Memory) -> Memory:
    versions = [version._replace(value=_bytes(version.value)) for version in memory.versions]
    return Memory(namespace=memory.namespace, key=memory.key, item=memory.item, versions=versions)


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def states(opened: Database, thread_ids: set[str]) -> list[Any]:
    chat = chat_on(opened)
    return [list(chat.get_state_history(on(thread_id))) for thread_id in sorted(thread_ids)]


TURNS = st.lists(
    st.tuples(st.sampled_from(["1", "2", "ü'\"%_"]), st.sampled_from(["say", "ask", "fail", "go back"])), max_size=8
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TURNS, st.sampled_from(PAIRS))
def test_nothing_is_lost(turns: list[tuple[str, str]], pair: tuple[str, str]) -> None:
    with database(pair[0]) as source, database(pair[1]) as target:
        fill(source, turns)
        lines = list(clew.export_lines(source))
        moved = clew.import_lines(target, lines)
        assert content(target) == content(source)
        names = {thread_id for thread_id, _ in turns}
        assert states(target, names) == states(source, names)
        assert moved.threads == len(names) + 1
        assert list(clew.export_lines(target)) == lines
        query = {"query": "say something", "limit": 100}
        found = source.store.search(("memories",), **query)
        assert [item.key for item in target.store.search(("memories",), **query)] == [item.key for item in found]
        for thread_id in names:
            assert target_goes_on(target, thread_id) == target_goes_on(source, thread_id)


def target_goes_on(opened: Database, thread_id: str) -> Any:
    chat = chat_on(opened)
    if chat.get_state(on(thread_id)).interrupts:
        return chat.invoke(Command(resume="yes"), on(thread_id))
    return chat.invoke("say more", on(thread_id))


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_nothing_is_embedded_again_by_the_same_embedder(pair: tuple[str, str]) -> None:
    with database(pair[0]) as source, database(pair[1], embed=letters) as target:
        fill(source, [("1", "say")])
        counted: list[str] = []

        def counting(texts: list[str]) -> list[list[float]]:
            counted.extend(texts)
            return letters(texts)

        counting.__qualname__ = letters.__qualname__
        with database(pair[1], embed=counting) as same:
            clew.import_lines(same, clew.export_lines(source))
            assert counted == []
            assert content(same) == content(source)
        clew.import_lines(target, clew.export_lines(source))


@pytest.mark.parametrize("engine", ENGINES)
def test_another_embedder_makes_its_own_vectors(engine: str) -> None:
    with database("memory") as source, database(engine, embed=vowels) as target:
        fill(source, [("1", "say")])
        clew.import_lines(target, clew.export_lines(source))
        assert isinstance(target.store, TransactionalStore)
        status = target.store.index_status()
        assert (status.waiting, status.other_models) == (0, {})
        assert status.embedded >= 2


@pytest.mark.parametrize("engine", ENGINES)
def test_importing_twice_is_refused_and_changes_nothing(engine: str) -> None:
    with database("memory") as source, database(engine) as target:
        fill(source, [("1", "say"), ("2", "say")])
        lines = list(clew.export_lines(source))
        clew.import_lines(target, lines)
        before = content(target)
        with pytest.raises(Conflict, match=r"line \d+ was not imported.*'1'"):
            clew.import_lines(target, lines)
        with pytest.raises(Conflict, match="memory"):
            clew.import_lines(target, clew.export_lines(source, threads=False))
        assert content(target) == before
        again = clew.import_lines(target, lines, skip_existing=True)
        assert again == Moved(skipped=3 + len(before[1]))
        assert content(target) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_there_already_can_be_skipped(engine: str) -> None:
    with database("memory") as source, database(engine) as target:
        fill(source, [("1", "say"), ("2", "say")])
        chat_on(target).invoke("say mine", on("1"))
        target.store.put(("a",), "some", {"data": "mine"})
        moved = clew.import_lines(target, clew.export_lines(source), skip_existing=True)
        assert (moved.threads, moved.skipped) == (2, 3)
        assert len(chat_on(target).get_state(on("1")).values) == 1
        assert target.store.search(("a",), filter={"data": "mine"})


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_and_memories_can_be_moved_alone(engine: str) -> None:
    with database("memory") as source, database(engine) as target, database(engine) as other:
        fill(source, [("1", "say")])
        assert clew.import_lines(target, clew.export_lines(source, memories=False)).memories == 0
        assert clew.import_lines(other, clew.export_lines(source, threads=False)).threads == 0
        assert (content(target)[0], content(other)[1]) == content(source)
        with pytest.raises(InvalidOption):
            list(clew.export_lines(source, threads=False, memories=False))


@pytest.mark.parametrize("engine", ENGINES)
class TestDamage:
    @pytest.fixture
    def lines(self) -> list[bytes]:
        with database("memory") as source:
            fill(source, [("1", "say"), ("1", "ask"), ("2", "say")])
            return list(clew.export_lines(source))

    def refused(self, engine: str, lines: Any, message: str) -> list[str]:
        """Check that lines are refused, and return which threads are there afterwards."""
        with database(engine) as target:
            with pytest.raises(InvalidExport, match=message):
                clew.import_lines(target, lines)
            kept, _ = content(target)
            return [whole.thread.thread_id for whole in kept if whole is not None]

    def test_another_file_is_refused(self, engine: str, lines: list[bytes]) -> None:
        for first in (b"hello", b"[]", b'{"a": 1}', b"\xff\xfe", b"[" * 100_000, lines[1]):
            assert self.refused(engine, [first, *lines[1:]], "no export of clew") == []
        assert self.refused(engine, [], "line 0") == []

    def test_a_newer_version_is_refused(self, engine: str, lines: list[bytes]) -> None:
        newer = json.dumps({**json.loads(lines[0]), "version": 2})
        assert self.refused(engine, [newer, *lines[1:]], "newer clew") == []

    def test_a_damaged_line_is_named_and_nothing_of_its_thread_is_kept(self, engine: str, lines: list[bytes]) -> None:
        in_second = next(n for n, line in enumerate(lines) if b'"thread_id":"2"' in line and b'"thread"' in line) + 1
        for damage in (
            lines[in_second][:-20],
            b"{}",
            b'{"kind":"nothing"}',
            lines[in_second].replace(b'"id"', b'"di"'),
        ):
            damaged = [*lines[:in_second], damage, *lines[in_second + 1 :]]
            assert self.refused(engine, damaged, f"line {in_second + 1} ") == ["1"]

    def test_a_missing_line_is_noticed(self, engine: str, lines: list[bytes]) -> None:
        for missing in range(len(lines)):
            with database(engine) as target, pytest.raises((InvalidExport, Conflict)):
                clew.import_lines(target, lines[:missing] + lines[missing + 1 :])

    def test_a_file_that_was_cut_off_says_so(self, engine: str, lines: list[bytes]) -> None:
        for length in range(1, len(lines)):
            self.refused(engine, lines[:length], f"after line {length}.*cut off")

    def test_lines_after_the_end_are_refused(self, engine: str, lines: list[bytes]) -> None:
        self.refused(engine, [*lines, lines[-1]], "ended before")

    def test_a_memory_that_cannot_be_one_is_refused(self, engine: str, lines: list[bytes]) -> None:
        at, line = next((n, json.loads(line)) for n, line in enumerate(lines) if b'"kind":"memory"' in line)
        for change in ({"namespace": []}, {"namespace": ["a.b"]}, {"key": 1}, {"item": {**line["item"], "value": 1}}):
            wrong = json.dumps({**line, **change})
            self.refused(engine, [*lines[:at], wrong, *lines[at + 1 :]], f"line {at + 1}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
PLACES = st.lists(st.integers(0, 20), min_size=1, max_size=4)


def changed(value: Any, place: list[int], new: Any) -> Any:
    """The value with something else somewhere inside it."""
    if not place or not isinstance(value, dict | list) or not value:
        return new
    key = (list(value) if isinstance(value, dict) else range(len(value)))[place[0] % len(value)]
    copy = value.copy()
    copy[key] = changed(value[key], place[1:], new)
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 50), PLACES, JSON, st.sampled_from(ENGINES))
def test_a_file_with_anything_in_it_is_read_or_refused(number: int, place: list[int], new: Any, engine: str) -> None:
    lines = _lines_of_a_database()
    number %= len(lines)
    damaged = json.dumps(changed(json.loads(lines[number]), place, new))
    with database(engine) as target, contextlib.suppress(InvalidExport, Conflict):
        clew.import_lines(target, [*lines[:number], damaged, *lines[number + 1 :]])


@functools.cache
def _lines_of_a_database() -> list[bytes]:
    with database("memory") as source:
        fill(source, [("1", "say"), ("1", "ask"), ("2", "fail")])
        return list(clew.export_lines(source))


def test_what_is_encrypted_is_exported_with_its_keys_alone(tmp_path: Path) -> None:
    keys = EncryptionKeys([EncryptionKeys.new_key()])
    with database("memory", encryption=keys) as source, database("sqlite", encryption=keys) as target:
        fill(source, [("1", "say")])
        lines = list(clew.export_lines(source))
        clew.import_lines(target, lines)
        assert states(target, {"1"}) == states(source, {"1"})
        assert target.store.get(("a",), "some") == source.store.get(("a",), "some")
        assert list(clew.export_lines(target)) == lines
    with Database(tmp_path / "app.db", encryption=keys) as encrypted:
        fill(encrypted, [("1", "say")])
    with Database(tmp_path / "app.db") as without:
        with pytest.raises(UnreadableRecord, match="opened without keys"):
            list(clew.export_lines(without))
        with pytest.raises(UnreadableRecord, match="opened without keys"):
            list(clew.export_lines(without, threads=False))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_was_under_way_can_be_recovered(engine: str) -> None:
    with database("memory") as source, database(engine) as target:
        lines: list[bytes] = []

        @entrypoint(database=source)
        def flow(x: int) -> int:
            lines.extend(clew.export_lines(source))
            return x

        flow.invoke(1, on("1"))
        clew.import_lines(target, lines)
        (work,) = target.checkpointer.execute(FindWork(workflows=["flow"], now_s=1e12, machine="m"))
        assert (work.why, work.thread.thread_id) == ("crashed", "1")


@pytest.mark.parametrize("engine", ENGINES)
def test_it_can_be_awaited(engine: str) -> None:
    async def move() -> None:
        with database("memory") as source, database(engine) as target:
            await asyncio.to_thread(fill, source, [("1", "say")])
            lines: AsyncIterator[bytes] = clew.aexport_lines(source)
            await clew.aimport_lines(target, lines)
            assert content(target) == content(source)

    asyncio.run(move())


def test_calls_that_wait_are_moved() -> None:
    with database("memory") as source, database("sqlite") as target:
        fill(source, [])
        clew.import_lines(target, clew.export_lines(source))
        (place,) = target.checkpointer.execute(ListQueue(ThreadKey("later", "chat")))
        assert (place.config, place.due_s) == (b"\x00\xff", 2.5)


def test_an_imported_database_takes_no_more_room(tmp_path: Path) -> None:
    with Database(tmp_path / "a.db") as source, Database(tmp_path / "b.db") as target:
        chat = chat_on(source)
        for number in range(200):
            chat.invoke(f"say {number} " + f"word {number * 7919} " * 40, on("1"))
        clew.import_lines(target, clew.export_lines(source))
        source.compact()
        target.compact()
    assert (tmp_path / "b.db").stat().st_size <= 1.1 * (tmp_path / "a.db").stat().st_size
