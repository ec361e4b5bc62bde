"""A turn on a thread writes what is new, not what is old: bytes in the file, bytes written, statements."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew import Database, SqliteSaver, Workflow, add_messages, entrypoint, task
from clew.codec.values import decode
from clew.engine.records import ThreadKey
from clew.storage.base import ListRuns, LoadRecords
from clew.storage.sqlite.database import SqliteDatabase

Message = dict[str, Any]
CONFIG: dict[str, Any] = {"configurable": {"thread_id": "1"}}
LETTERS = "abcdefghijklmnopqrstuvwxyz     "


def conversation(database: Database, length: int = 400) -> Workflow[Any, Any]:
    """A chat that answers each message with one of random letters, which hardly can be compressed."""
    drawn = random.Random(1)

    @entrypoint(database=database)
    def chat(inputs: dict[str, list[Message]], *, previous: list[Message] | None = None) -> Any:
        messages = add_messages(previous or [], inputs["messages"])
        reply = {"role": "assistant", "content": letters(drawn, length)}
        return entrypoint.final(value=reply, save=add_messages(messages, reply))

    return chat


def letters(drawn: random.Random, length: int) -> str:
    return "".join(drawn.choice(LETTERS) for _ in range(length))


def said(turn: int, length: int = 400) -> dict[str, list[Message]]:
    return {"messages": [{"role": "user", "content": letters(random.Random(f"user {turn}"), length)}]}


def test_a_thread_takes_little_more_than_what_was_said(tmp_path: Path) -> None:
    sizes = {}
    for turns in (1, 201):
        path = tmp_path / f"{turns}.db"
        with Database(f"sqlite:///{path}") as database:
            chat = conversation(database)
            for turn in range(turns):
                chat.invoke(said(turn), CONFIG)
            assert len(chat.get_state(CONFIG).saved) == 2 * turns
        sizes[turns] = path.stat().st_size
    assert sizes[201] - sizes[1] < 1.5 * 200 * 2 * 400


@pytest.mark.parametrize(
    ("kept_in", "alphabet", "has_task", "most"),
    [
        (SqliteSaver, string.printable[:95], False, 1.35),
        (Database, string.printable[:95], True, 1.45),
        (Database, string.hexdigits[:16], True, 1.15),
    ],
)
def test_a_whole_file_takes_little_more_than_what_was_said(
    kept_in: type[Database | SqliteSaver], alphabet: str, has_task: bool, most: float, tmp_path: Path
) -> None:
    """What is said is random: nothing of it can be guessed, so that each character takes its bits."""
    drawn = random.Random(2)

    def message(role: str) -> Message:
        return {"role": role, "content": "".join(drawn.choices(alphabet, k=400))}

    @task
    def answer(messages: list[Message]) -> Message:
        return message("assistant")

    with contextlib.closing(kept_in(tmp_path / "db")) as opened:

        @entrypoint(checkpointer=opened if isinstance(opened, SqliteSaver) else opened.checkpointer)
        def chat(asked: Message, *, previous: list[Message] | None = None) -> Any:
            messages = [*(previous or []), asked]
            reply = answer(messages).result() if has_task else message("assistant")
            return entrypoint.final(value=reply, save=[*messages, reply])

        for _ in range(1000):
            chat.invoke(message("user"), CONFIG)
        said_bytes = sum(len(json.dumps(message)) for message in chat.get_state(CONFIG).saved)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < most * said_bytes


def test_a_file_has_no_tables_of_what_nobody_uses(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        conversation(database).invoke(said(0), CONFIG)
        assert not _tables(tmp_path / "db") & {"clew_items", "clew_cache"}
        assert database.store.get(("memories",), "k") is None
        assert "clew_items" in _tables(tmp_path / "db")


def test_what_tasks_returned_is_read_back_though_it_is_kept_in_fewer_bytes(tmp_path: Path) -> None:
    drawn = random.Random(3)

    @task
    def answer(turn: int) -> Message:
        return {"role": "assistant", "content": letters(drawn, 400), "turn": turn}

    with Database(f"sqlite:///{tmp_path / 'db'}") as database:

        @entrypoint(database=database)
        def chat(turn: int, *, previous: list[Message] | None = None) -> Any:
            return [*(previous or []), answer(turn).result()]

        for turn in range(3):
            chat.invoke(turn, CONFIG)
        for state in chat.get_state_history(CONFIG):
            if not state.next:
                assert [message["turn"] for message in state.values] == list(range(len(state.values)))
        runs = database.checkpointer.execute(ListRuns(ThreadKey("1", "chat")))
        journals = [database.checkpointer.execute(LoadRecords(run.id)) for run in runs]
        kept = [decode(records[0].outcome) for records in journals]
        assert kept[::-1] == chat.get_state(CONFIG).values
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as connection:
        assert connection.execute("SELECT count(*) FROM clew_records").fetchone() == (0,)
        assert connection.execute("SELECT max(length(packed)) < 200 FROM clew_runs").fetchone() == (1,)


def test_a_journal_that_is_long_or_did_not_end_well_stays_as_it_is(tmp_path: Path) -> None:
    @task
    def note(number: int) -> int:
        return number

    with Database(tmp_path / "db") as database:

        @entrypoint(database=database)
        def work(tasks: int, *, previous: list[str] | None = None) -> list[str]:
            if sum(note(number).result() for number in range(tasks)) == 1:
                raise ValueError("on purpose")
            return [*(previous or []), "said" * 99]

        work.invoke(30, CONFIG)
        with pytest.raises(ValueError, match="on purpose"):
            work.invoke(2, CONFIG)
        runs = database.checkpointer.execute(ListRuns(ThreadKey("1", "work")))
        assert [len(database.checkpointer.execute(LoadRecords(run.id))) for run in runs] == [2, 30]
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as connection:
        assert connection.execute("SELECT count(*) FROM clew_records").fetchone() == (32,)


def test_a_late_turn_writes_what_an_early_one_writes(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        written = [_written_bytes(tmp_path / "db", chat, turn) for turn in range(200)]
    assert sum(written[-10:]) < 1.2 * sum(written[10:20])


def test_a_late_turn_needs_no_more_statements_than_an_early_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    _listen(monkeypatch, statements.append)
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat, counts = conversation(database), list[int]()
        for turn in range(60):
            statements.clear()
            chat.invoke(said(turn), CONFIG)
            counts.append(len(statements))
    assert counts[-1] <= counts[5]
    assert _scans(statements) == 0  # this process knows what it left


def test_a_process_that_comes_to_a_thread_reads_its_list_by_one_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"sqlite:///{tmp_path / 'db'}"
    with Database(where) as database:
        chat = conversation(database)
        for turn in range(60):
            chat.invoke(said(turn), CONFIG)
    statements: list[str] = []
    _listen(monkeypatch, statements.append)
    with Database(where) as database:
        conversation(database).invoke(said(60), CONFIG)
        assert _scans(statements) == 1
        assert len(conversation(database).get_state(CONFIG).saved) == 122


@pytest.mark.parametrize("length", [30, 4_000])
def test_every_turn_can_be_read_and_gone_on_from(tmp_path: Path, length: int) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database, length)
        for turn in range(8):
            chat.invoke(said(turn, length), CONFIG)
        ends = [state for state in chat.get_state_history(CONFIG) if not state.next]
        assert [len(state.saved) for state in ends] == [16, 14, 12, 10, 8, 6, 4, 2]
        assert [state.values for state in ends] == [state.saved[-1] for state in ends]
        begun = [text_of(said(turn, length)) for turn in range(3)]
        assert [message["content"] for message in ends[5].saved[::2]] == begun
        chat.invoke(said(99, length), ends[5].config)
        gone_on = [message["content"] for message in chat.get_state(CONFIG).saved[::2]]
        assert gone_on == [*begun, text_of(said(99, length))]
        assert chat.get_state(ends[0].config).saved == ends[0].saved


def test_what_a_nested_workflow_remembers_costs_what_it_adds(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:

        @entrypoint(checkpointer=True)
        def helper(text: str, *, previous: list[Message] | None = None) -> Any:
            messages = add_messages(previous or [], [{"role": "user", "content": text}])
            return entrypoint.final(value=len(messages), save=messages)

        @entrypoint(database=database)
        def chat(text: str) -> int:
            return int(helper.invoke(text))

        for turn in range(60):
            assert chat.invoke(text_of(said(turn)), CONFIG) == turn + 1
    assert _kept_bytes(tmp_path / "db") < 60 * 2 * 1000


def test_a_value_set_by_hand_costs_what_it_adds(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        for turn in range(30):
            chat.invoke(said(turn), CONFIG)
        kept, before = chat.get_state(CONFIG).saved, _kept_bytes(tmp_path / "db")
        chat.update_state(CONFIG, [*kept, {"role": "user", "content": "by hand", "id": "1"}])
        assert _kept_bytes(tmp_path / "db") - before < 1000
        assert chat.get_state(CONFIG).saved[:-1] == kept
        chat.invoke(said(99), CONFIG)
        assert len(chat.get_state(CONFIG).saved) == 63


def test_a_deleted_thread_leaves_no_piece(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        for turn in range(3):
            chat.invoke(said(turn), CONFIG)
        database.checkpointer.delete_thread("1")
    assert _kept_bytes(tmp_path / "db") == 0


def text_of(inputs: dict[str, list[Message]]) -> str:
    return str(inputs["messages"][0]["content"])


def _written_bytes(path: Path, chat: Workflow[Any, Any], turn: int) -> int:
    """Count the bytes that a turn adds to the write-ahead log."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    chat.invoke(said(turn), CONFIG)
    return path.with_name(path.name + "-wal").stat().st_size


def _tables(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def _listen(monkeypatch: pytest.MonkeyPatch, heard: Callable[[str], None]) -> None:
    """Hear every statement on every connection that is opened from now on."""
    connect = SqliteDatabase._connect

    def connect_and_listen(self: SqliteDatabase) -> sqlite3.Connection:
        connection = connect(self)
        connection.set_trace_callback(heard)
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", connect_and_listen)


def _scans(statements: list[str]) -> int:
    """Count how often pieces were read."""
    return sum("FROM clew_pieces WHERE id BETWEEN" in statement for statement in statements)


def _kept_bytes(path: Path) -> int:
    """Count the bytes of everything that is kept in runs, records and pieces."""
    values = "+".join(f"coalesce(length({column}), 0)" for column in ("input", "value", "saved", "packed"))
    with sqlite3.connect(path) as connection:
        return sum(
            connection.execute(f"SELECT coalesce(sum({sizes}), 0) FROM {table}").fetchone()[0]
            for table, sizes in (
                ("clew_runs", values),
                ("clew_records", "length(key) + length(arguments) + length(outcome)"),
                ("clew_pieces", "length(name) + length(body)"),
            )
        )
