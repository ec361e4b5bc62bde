"""Whether a database and the keys that it is opened with belong together, by the ids that are noted in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from clew.errors import UnreadableRecord


def id_to_note(ring: Sequence[str], noted: Collection[str], *, is_empty: bool, shown: str) -> str | None:
    """Return the id of the key that encrypts from now on, if it is to be noted.

    Args:
        ring: ids of the keys here, that which encrypts first; none where nothing is encrypted.
        noted: ids that are noted in the database.
        is_empty: whether nothing is kept in it yet.
        shown: the database, for people.

    Raises:
        UnreadableRecord: it is encrypted, and none of its keys is here; or it is not, and there are keys here.
    """
    if noted and not set(ring) & set(noted):
        keys = ", ".join(sorted(noted))
        missing = f"none of which is among those given ({', '.join(ring)})" if ring else "and was opened without keys"
        raise UnreadableRecord(
            f"the database {shown} is encrypted with keys {keys}, {missing}; nothing was read or written: open it with "
            "Database(..., encryption=EncryptionKeys([...]))"
        )
    if ring and not noted and not is_empty:
        raise UnreadableRecord(
            f"the database {shown} is not encrypted, although it was opened with keys; nothing was read or written: "
            "open it without keys, or export it and import it into a new database that is opened with them"
        )
    return ring[0] if ring and ring[0] not in noted else None
