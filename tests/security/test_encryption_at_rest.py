"""With keys, only they read what is kept: nothing lies open, and nothing that was changed or moved is believed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from clew import (
    Command,
    Database,
    EncryptionKeys,
    SqliteSaver,
    Worker,
    Workflow,
    entrypoint,
    get_store,
    interrupt,
    task,
)
from clew.errors import ClewError, InvalidOption, UnreadableRecord, UsageError
from clew.storage import base
from clew.storage.encrypted import _OPEN, _SEAL, _WITHOUT_VALUES, EncryptedSaver
from clew.store.keeper import Keeper
from clew.store.sealing import SealedKeeper
from support.colours import thread

KEY, NEW_KEY = EncryptionKeys.new_key(), EncryptionKeys.new_key()
KEYS = EncryptionKeys([KEY])
SECRET = "xylophone-4711"
Open = Callable[..., Database]


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Open]:
    """Opens the same file again and again, with one key unless told otherwise."""
    opened: list[Database] = []

    def open_it(keys: EncryptionKeys | None = KEYS) -> Database:
        opened.append(Database(tmp_path / "kept.db", encryption=keys))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


def teller(database: Database) -> Workflow[Any, Any]:
    """Return a workflow that leaves the secret wherever a run can leave anything."""

    @task
    def remember(what: str) -> dict[str, str]:
        get_store().put(("notes",), "inside", {"text": f"in a task {what}"})
        return {"told": what}

    @task
    def fail(what: str) -> None:
        error = ValueError(f"no {what}")
        error.add_note(what)
        raise error

    @entrypoint(database=database, name="teller")
    def tell(what: str, *, previous: Any = None) -> Any:
        remember(what).result()
        try:
            fail(what).result()
        except ValueError:
            get_store().put(("notes",), what[:3], {"text": what, "list": [what]})
        answer = interrupt({"question": what})
        if answer == "fail":
            raise RuntimeError(what)
        return entrypoint.final(value=f"{what} {answer}", save=[*(previous or []), *[{"said": what}] * 40])

    return tell


def told(database: Database) -> list[Any]:
    """Leave the secret in a database, and return what can be read there afterwards."""
    tell = teller(database)
    for _ in range(2):
        tell.invoke(SECRET, thread("one", metadata={"who": SECRET}))
        tell.invoke(Command(resume=SECRET), thread("one"))
    tell.invoke(SECRET, thread("failed"))
    with pytest.raises(RuntimeError):
        tell.invoke(Command(resume="fail"), thread("failed"))
    tell.invoke(SECRET, thread("waits"))
    database.store.put(("notes",), "outside", {"text": SECRET})
    return read(database)


def read(database: Database) -> list[Any]:
    tell = teller(database)
    states = [[*tell.get_state_history(thread(name))] for name in ("one", "failed", "waits")]
    return [states, database.store.search(()), database.store.search((), query="xylophone")]


def columns(path: Path) -> Iterator[tuple[str, str, int, Any]]:
    """Yield the table, column, rowid and value of all that is kept in a file."""
    with sqlite3.connect(path) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema "
            "WHERE type = 'table' AND name LIKE 'clew%' AND sql NOT LIKE '%WITHOUT ROWID%'"
        ).fetchall()
        for (table,) in tables:
            cursor = connection.execute(f"SELECT rowid, * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                yield from ((table, name, row[0], value) for name, value in zip(names[1:], row[1:], strict=True))
    connection.close()


def change(path: Path, table: str, column: str, row: int, value: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))
    connection.close()


def test_everything_is_read_back(open_database: Open) -> None:
    expected = told(open_database())
    assert read(open_database()) == expected
    assert expected[0][0][0].values == f"{SECRET} {SECRET}"
    assert [item.value["text"] for item in expected[1] if item.key == "outside"] == [SECRET]
    assert {item.key for item in expected[2]} == {"inside", "xyl", "outside"}


def test_the_memory_of_the_process_works_the_same() -> None:
    with Database(encryption=KEYS) as database:
        [[one, *_], found, _] = told(database)
        assert one[0].values == f"{SECRET} {SECRET}"
        assert len(found) == 3


def test_no_byte_of_a_secret_lies_open(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    told(database)
    for closed in (False, True):
        if closed:
            database.close()
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith("-shm"))
        assert len(kept) > 10_000
        for part in (SECRET, "xylophone", "4711"):
            assert part.encode() not in kept
            assert crc32(part.encode()).to_bytes(4, "little") not in kept  # as searches by words know it


def test_a_secret_lies_open_without_keys(open_database: Open, tmp_path: Path) -> None:
    """So that the test above is known to look in the right place."""
    database = open_database(None)
    told(database)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() in kept
    assert crc32(b"xylophon").to_bytes(4, "little") in kept


def test_the_engine_gets_nothing_to_read(open_database: Open) -> None:
    told(open_database())
    saver = open_database().checkpointer
    assert isinstance(saver, EncryptedSaver)
    plain = saver._saver
    for thread_ in plain.execute(base.ListThreads()):
        for run in plain.execute(base.ListRuns(thread_)):
            values = [run.input, run.value, run.saved, run.questions, run.metadata]
            values += [record.outcome for record in plain.execute(base.LoadRecords(run.id))]
            assert all(value.startswith(b"\xc1\x01") for value in values if value)
            assert all(record.arguments == "" for record in plain.execute(base.LoadRecords(run.id)))
            assert SECRET not in (run.error or "")


def test_reading_without_keys_is_refused(open_database: Open) -> None:
    told(open_database())
    plain = open_database(None)
    with pytest.raises(UnreadableRecord, match="is encrypted"):
        teller(plain).get_state(thread("one"))
    with pytest.raises(UnreadableRecord, match="is encrypted"):
        teller(plain).invoke(SECRET, thread("one"))
    for attempt in (
        lambda: plain.store.get(("notes",), "outside"),
        lambda: plain.store.search(()),
        lambda: plain.store.search((), filter={"text": SECRET}),
        lambda: plain.store.search((), query="notes"),
        lambda: plain.store.history(("notes",), "outside"),
    ):
        with pytest.raises(UnreadableRecord, match="is encrypted"):
            attempt()


def test_nothing_is_written_without_keys(open_database: Open, tmp_path: Path) -> None:
    open_database()
    plain = open_database(None)
    for attempt in (
        lambda: teller(plain).invoke(SECRET, thread("one")),
        lambda: teller(plain).submit(SECRET, thread("one")),
        lambda: teller(plain).update_state(thread("one"), SECRET),
        lambda: plain.store.put(("notes",), "outside", {"text": SECRET}),
        lambda: SqliteSaver(tmp_path / "kept.db").delete_thread("one"),
    ):
        with pytest.raises(UnreadableRecord, match=f"is encrypted with keys {KEYS.ids[0]}, and was opened without"):
            attempt()
    assert [(table, column) for table, column, *_ in columns(tmp_path / "kept.db") if table != "clew_schema"] == []


def test_a_worker_without_keys_says_so_and_ends(open_database: Open) -> None:
    teller(open_database()).submit(SECRET, thread("one"))
    with pytest.raises(UnreadableRecord, match="is encrypted with keys"):
        Worker(plain := open_database(None), [teller(plain)]).run()


def test_another_key_is_refused_at_once(open_database: Open) -> None:
    told(open_database())
    with pytest.raises(UnreadableRecord, match=f"{KEYS.ids[0]}, none of which is among those given"):
        open_database(EncryptionKeys([NEW_KEY]))


def test_keys_are_refused_for_what_was_kept_without(open_database: Open) -> None:
    told(open_database(None))
    with pytest.raises(UnreadableRecord, match="is not encrypted"):
        open_database()
    assert read(open_database(None))[1]


def test_two_that_begin_at_once_with_different_keys_may_both_read_what_is_theirs(open_database: Open) -> None:
    one, both = open_database(), open_database(EncryptionKeys([NEW_KEY, KEY]))
    one.store.put(("notes",), "old", {"text": SECRET})
    both.store.put(("notes",), "new", {"text": SECRET})
    for keys in (EncryptionKeys([NEW_KEY, KEY]), EncryptionKeys([KEY, NEW_KEY])):
        assert len(open_database(keys).store.search(("notes",))) == 2


def test_a_postgres_database_remembers_its_keys(postgres: str, postgres_schema: str) -> None:
    def opened(*keys: str) -> Database:
        ring = EncryptionKeys(keys) if keys else None
        return Database(postgres, schema=postgres_schema, encryption=ring)

    with opened(KEY) as database:
        assert teller(database).invoke(SECRET, thread("one"))["__interrupt__"]
    for wrong, says in (((), "and was opened without keys"), ((NEW_KEY,), "none of which is among those given")):
        with opened(*wrong) as database:
            for attempt in (
                lambda: teller(database).submit(SECRET, thread("two")),  # done at once
                lambda: database.store.put(("notes",), "outside", {"text": SECRET}),
                lambda: database.store.search(()),
            ):
                with pytest.raises(UnreadableRecord, match=says):
                    attempt()
    with opened(NEW_KEY, KEY) as database:
        assert teller(database).get_state(thread("one")).interrupts
    with opened(NEW_KEY) as database:
        assert database.store.search(("nothing",)) == []


def test_a_postgres_database_that_was_kept_without_keys_takes_none(postgres: str, postgres_schema: str) -> None:
    with Database(postgres, schema=postgres_schema) as database:
        database.store.put(("notes",), "a", {"text": SECRET})
    with (
        Database(postgres, schema=postgres_schema, encryption=KEYS) as database,
        pytest.raises(UnreadableRecord, match="is not encrypted"),
    ):
        database.store.get(("notes",), "a")


def test_keys_are_changed_by_putting_a_new_one_first(open_database: Open) -> None:
    told(open_database())
    turned = open_database(EncryptionKeys([NEW_KEY, KEY]))
    tell = teller(turned)
    tell.invoke(SECRET, thread("two"))
    turned.store.put(("notes",), "later", {"text": SECRET})
    assert {item.key for item in turned.store.search((), query="xylophone")} == {"inside", "xyl", "outside", "later"}
    assert tell.get_state(thread("one")).values == f"{SECRET} {SECRET}"
    new = open_database(EncryptionKeys([NEW_KEY]))
    found = new.store.search((), query="xylophone", mode="keyword")
    assert {item.key for item in found} == {"inside", "xyl", "later"}
    assert teller(new).get_state(thread("two")).interrupts[0].value == {"question": SECRET}
    with pytest.raises(UnreadableRecord, match="not among those given"):
        new.store.get(("notes",), "outside")
    with pytest.raises(UnreadableRecord, match="not among those given"):
        teller(new).get_state(thread("one"))


def test_a_flipped_bit_is_refused_or_changes_nothing(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    expected = told(database)
    database.close()
    chance = random.Random(4711)
    values = [at for at in columns(tmp_path / "kept.db") if at[1] in _VALUE_COLUMNS and at[3]]
    refused = 0
    for table, column, row, value in values:
        change(tmp_path / "kept.db", table, column, row, _flipped(value, chance))
        again = open_database()
        try:
            assert read(again) == expected  # the journals of finished runs are not read here
        except ClewError:
            refused += 1
        again.close()
        change(tmp_path / "kept.db", table, column, row, value)
    assert refused > len(values) // 3
    assert read(open_database()) == expected


_VALUE_COLUMNS = {"input", "value", "saved", "packed", "error", "questions", "metadata", "body", "outcome"}


def _flipped(value: Any, chance: random.Random) -> Any:
    """Change one bit of bytes, or one letter of text."""
    if isinstance(value, bytes):
        at = chance.randrange(len(value) * 8)
        return value[: at // 8] + bytes([value[at // 8] ^ 1 << at % 8]) + value[at // 8 + 1 :]
    at = chance.randrange(value.index(":") + 2 if value.startswith("{") else 0, len(value) - 4)
    return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]


def swap(path: Path, table: str, columns_: str, one: str, other: str) -> None:
    with sqlite3.connect(path) as connection:
        [(first, left)] = connection.execute(f"SELECT rowid, {columns_} FROM {table} WHERE {one}").fetchall()
        [(second, right)] = connection.execute(f"SELECT rowid, {columns_} FROM {table} WHERE {other}").fetchall()
        connection.execute(f"UPDATE {table} SET {columns_} = ? WHERE rowid = ?", (right, first))
        connection.execute(f"UPDATE {table} SET {columns_} = ? WHERE rowid = ?", (left, second))
    connection.close()


def test_memories_that_changed_places_are_refused(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    database.store.put(("alice",), "role", {"is": "guest"})
    database.store.put(("root",), "role", {"is": "admin"})
    namespace = "namespace = (SELECT id FROM clew_namespaces WHERE path = CAST('{}' || char(0) AS BLOB))"
    swap(tmp_path / "kept.db", "clew_items", "value", namespace.format("alice"), namespace.format("root"))
    with pytest.raises(UnreadableRecord, match=r"'role' of \('alice',\) was moved there from 'role' of \('root',\)"):
        database.store.get(("alice",), "role")
    with pytest.raises(UnreadableRecord, match="was moved there"):
        database.store.search(("alice",), filter={"is": "admin"})
    assert database.store.search(("alice",), filter={"is": "guest"}) == []


def test_a_run_that_was_moved_to_another_thread_is_refused(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    tell = teller(database)
    for name in ("alice", "root"):
        tell.invoke(SECRET, thread(name))
    where = "thread_id = '{}'"
    swap(tmp_path / "kept.db", "clew_threads", "head", where.format("alice"), where.format("root"))
    with sqlite3.connect(tmp_path / "kept.db") as connection:
        connection.execute("UPDATE clew_runs SET thread = 3 - thread, number = number + 9")
    connection.close()
    with pytest.raises(UnreadableRecord, match="moved there from another place"):
        tell.get_state(thread("alice"))


def test_outcomes_that_changed_places_are_refused(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    calls: list[str] = []

    @task
    def allowed(who: str) -> bool:
        calls.append(who)
        return who == "root"

    @entrypoint(database=database)
    def check(_: str) -> Any:
        decided = [allowed("alice").result(), allowed("root").result()]
        return interrupt("go on?") and decided

    check.invoke("now", thread())
    with sqlite3.connect(tmp_path / "kept.db") as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM clew_records WHERE name = 'allowed' ORDER BY id")]
    connection.close()
    swap(tmp_path / "kept.db", "clew_records", "outcome", f"id = {ids[0]}", f"id = {ids[1]}")
    with pytest.raises(UnreadableRecord, match="moved there from another place"):
        check.invoke(Command(resume=True), thread())
    assert calls == ["alice", "root"]


def test_a_failure_cannot_be_passed_off_as_a_value(open_database: Open, tmp_path: Path) -> None:
    database = open_database()
    tell = teller(database)
    tell.invoke(SECRET, thread())
    with sqlite3.connect(tmp_path / "kept.db") as connection:
        assert connection.execute("UPDATE clew_records SET state = 'value' WHERE state = 'failure'").rowcount == 1
    connection.close()
    with pytest.raises(UnreadableRecord, match="a value"):
        tell.invoke(Command(resume=1), thread())


def test_an_operation_that_nobody_knows_how_to_encrypt_is_refused(open_database: Open) -> None:
    class Publish(base.Operation[None], frozen=True):
        what: bytes

    with pytest.raises(UsageError, match="Publish cannot be done on an encrypted database"):
        open_database().checkpointer.execute(Publish(SECRET.encode()))


def test_every_operation_is_known_to_encryption() -> None:
    known = set(_SEAL) | set(_OPEN) | _WITHOUT_VALUES
    operations = {cls for cls in base.Operation.__subclasses__() if cls.__module__.startswith("clew.")}
    assert known == operations
    assert not _WITHOUT_VALUES & (set(_SEAL) | set(_OPEN))


def test_an_operation_without_values_has_no_field_that_could_hold_one() -> None:
    for operation in _WITHOUT_VALUES:
        hints = str(operation.__annotations__)
        assert "bytes" not in hints
        assert "Record" not in hints


def test_every_verb_of_a_keeper_is_known_to_encryption() -> None:
    verbs = {name for name in vars(Keeper) if not name.startswith("_")}
    assert verbs <= set(vars(SealedKeeper))


def test_what_is_no_ring_of_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="EncryptionKeys"):
        Database(tmp_path / "kept.db", encryption=KEY)  # type: ignore[arg-type]
    assert not (tmp_path / "kept.db").exists()


def test_a_saver_of_its_own_is_encrypted_by_wrapping_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "kept.db")
    saver = EncryptedSaver(database.checkpointer, KEYS)

    @entrypoint(checkpointer=saver)
    def echo(what: str, *, previous: Any = None) -> Any:
        return [what, previous]

    assert echo.invoke("a", thread()) == ["a", None]
    assert echo.invoke("b", thread()) == ["b", ["a", None]]
    saver.close()
    database.close()
