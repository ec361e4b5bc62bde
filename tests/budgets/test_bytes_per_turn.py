"""A turn on a thread writes what is new, not what is old."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

from clew import Database, Workflow, add_messages, entrypoint

Message = dict[str, Any]


def conversation(database: Database) -> Workflow[Any, Any]:
    @entrypoint(database=database)
    def chat(text: str, *, previous: list[Message] | None = None) -> entrypoint.final[int, list[Message]]:
        said = [{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}]
        messages = add_messages(previous or [], said)
        return entrypoint.final(value=len(messages), save=messages)

    return chat


def text(turn: int) -> str:
    return f"{turn} ".ljust(400, "x")


CONFIG: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def test_a_turn_writes_what_it_adds(tmp_path: Path) -> None:
    turns, written = 200, []
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        for turn in range(turns):
            assert chat.invoke(text(turn), CONFIG) == 2 * turn + 2
            written.append(_kept_bytes(tmp_path / "db"))
    growth = [after - before for before, after in itertools.pairwise(written)]
    assert growth[-1] < 1.1 * growth[9]
    assert written[-1] < 2.2 * turns * 2 * 400  # the inputs are kept, too, beside what was said


def test_every_turn_can_be_read_and_gone_on_from(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        for turn in range(8):
            chat.invoke(text(turn), CONFIG)
        ends = [state for state in chat.get_state_history(CONFIG) if not state.next]
        assert [len(state.saved) for state in ends] == [16, 14, 12, 10, 8, 6, 4, 2]
        assert [message["content"] for message in ends[5].saved[::2]] == [text(turn) for turn in range(3)]
        assert chat.invoke("elsewhere", ends[5].config) == 8
        assert [message["content"] for message in chat.get_state(CONFIG).saved[::2]] == [
            *(text(turn) for turn in range(3)),
            "elsewhere",
        ]
        assert len(chat.get_state(ends[0].config).saved) == 16


def test_a_deleted_thread_leaves_no_piece(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        chat = conversation(database)
        for turn in range(3):
            chat.invoke(text(turn), CONFIG)
        database.checkpointer.delete_thread("1")
    assert _kept_bytes(tmp_path / "db") == 0


def _kept_bytes(path: Path) -> int:
    """Count the bytes of everything that is kept in runs, records and pieces."""
    with sqlite3.connect(path) as connection:
        return sum(
            connection.execute(f"SELECT coalesce(sum({sizes}), 0) FROM {table}").fetchone()[0]
            for table, sizes in (
                ("clew_runs", "+".join(f"coalesce(length({c}), 0)" for c in ("input", "value", "saved", "packed"))),
                ("clew_records", "length(key) + length(arguments) + length(outcome)"),
                ("clew_pieces", "length(name) + length(body)"),
            )
        )
