"""The ids of the keys with which a schema is encrypted: the SQL of noting and checking them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clew.storage.postgres.migrations import quote
from clew.storage.postgres.statements import rows
from clew.storage.rings import id_to_note

if TYPE_CHECKING:
    import psycopg


def check_ring(connection: psycopg.Connection, schema: str, ring: Sequence[str], shown: str) -> None:
    """Refuse keys that do not belong to a schema, and note the one that encrypts from now on.

    Args:
        connection: in autocommit mode, to a database that has its tables.
        schema: that holds them.
        ring: see id_to_note.
        shown: the database, for people.

    Raises:
        UnreadableRecord: see id_to_note.
    """
    within = f"{quote(schema)}."
    [(noted, is_used)] = rows(
        connection,
        f"SELECT ARRAY(SELECT id FROM {within}clew_keys), "
        f"EXISTS (SELECT 1 FROM {within}clew_threads) OR EXISTS (SELECT 1 FROM {within}clew_items)",
    )
    id = id_to_note(ring, noted, is_empty=not is_used, shown=shown)
    if id is not None:
        connection.execute(f"INSERT INTO {within}clew_keys VALUES (%s) ON CONFLICT DO NOTHING".encode(), (id,))
