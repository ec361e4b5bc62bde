"""The items of one process, and writing them. See items for reading, searching and the store itself."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from clew.errors import VersionConflict
from clew.storage.inmemory.database import InMemoryDatabase
from clew.store.clock import utc_now
from clew.store.corpus import SEQUENCE_BITS
from clew.store.expiry import to_us
from clew.store.history import Version, last_version, trimmed
from clew.store.namespaces import encode, path_range
from clew.store.operations import Ended, Namespace, Writer
from clew.store.planning import NO_EMBEDDER, PreparedWrite
from clew.store.search import Stored

_MOST_CHANGES = 16384


class Row(Struct, frozen=True, kw_only=True):
    """One item; replaced as a whole, so that an old one can be put back."""

    stored: Stored
    write: PreparedWrite
    expires_us: int | None
    attempts: int = 0
    due_us: int = 0

    def lives(self, now_us: int) -> bool:
        """Say whether it has not expired."""
        return self.expires_us is None or self.expires_us > now_us


class Space(Struct, kw_only=True):
    """One namespace's items and their old versions, by key."""

    namespace: Namespace
    number: int
    rows: dict[str, Row] = field(default_factory=dict)
    past: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    next_sequence: int = 0


class ItemState:
    """All items, by namespace. Every change tells the database how to take it back."""

    def __init__(self, database: InMemoryDatabase) -> None:
        self.database = database
        self.spaces: dict[bytes, Space] = {}
        self.paths: list[bytes] = []
        self.next_number = 1
        self.by_id: dict[int, Row] = {}
        self.has_vectors = False
        self._ending: set[int] = set()
        #: How often an item was written or taken back, and the ids of the last ones.
        self.change = 0
        self._changed: deque[int] = deque(maxlen=_MOST_CHANGES)

    def changed_since(self, change: int) -> set[int] | None:
        """Give the ids of the items that have changed since; None where that is not known any more."""
        missed = self.change - change
        return None if missed > len(self._changed) else {self._changed[-1 - at] for at in range(missed)}

    def some_expired(self, now_us: int) -> bool:
        """Say whether there is an item that has expired, without a look at those that never do."""
        return any(not self.by_id[item_id].lives(now_us) for item_id in self._ending)

    def below(self, prefix: Namespace) -> list[Space]:
        """Give the namespaces at or below the prefix, sorted."""
        start, end = path_range(prefix)
        return [self.spaces[p] for p in self.paths[bisect_left(self.paths, start) : bisect_left(self.paths, end)]]

    def space(self, namespace: Namespace) -> Space | None:
        """Give a namespace that holds items."""
        return self.spaces.get(encode(namespace))

    def open(self, namespace: Namespace) -> Space:
        """Give a namespace, made when missing."""
        path = encode(namespace)
        if (space := self.spaces.get(path)) is None:
            space = self.spaces[path] = Space(namespace=namespace, number=self.next_number)
            self.next_number += 1
            insort(self.paths, path)
            self.database.on_rollback(lambda: self._close(path))
        return space

    def set(self, space: Space, key: str, row: Row | None, past: tuple[Version, ...] | None = None) -> None:
        """Put, replace or delete a row, and its old versions if given; a namespace that nothing is left of is gone."""
        before = space.rows.get(key), space.past.get(key, ())
        path = encode(space.namespace)
        self._put(space, key, row, before[1] if past is None else past)
        if not space.rows and not space.past:
            self._close(path)

        def undo() -> None:
            if path not in self.spaces:
                self.spaces[path] = space
                insort(self.paths, path)
            self._put(space, key, *before)

        self.database.on_rollback(undo)

    def _put(self, space: Space, key: str, row: Row | None, past: tuple[Version, ...]) -> None:
        if (old := space.rows.pop(key, None)) is not None:
            del self.by_id[old.stored.id]
            self._ending.discard(old.stored.id)
            self._note(old.stored.id)
        if row is not None:
            space.rows[key] = self.by_id[row.stored.id] = row
            if row.expires_us is not None:
                self._ending.add(row.stored.id)
            self._note(row.stored.id)
        if past:
            space.past[key] = past
        else:
            space.past.pop(key, None)

    def _note(self, item_id: int) -> None:
        self.change += 1
        self._changed.append(item_id)

    def _close(self, path: bytes) -> None:
        if self.spaces.pop(path, None) is not None:
            del self.paths[bisect_left(self.paths, path)]


def items_of(database: InMemoryDatabase) -> ItemState:
    """Give the items of a database, made when missing."""
    with database.lock:
        if "items" not in database.rooms:
            database.rooms["items"] = ItemState(database)
        state: ItemState = database.rooms["items"]
        return state


def apply_writes(database: InMemoryDatabase, writes: Sequence[PreparedWrite], now: datetime | None = None) -> None:
    """Apply writes in order, inside a transaction that the caller has open; `now` is the time if left out.

    Raises:
        VersionConflict: an item is of another version than the write demands.
    """
    state, now_us = items_of(database), to_us(now or utc_now())
    for position, write in enumerate(writes):
        # Each write of a transaction has a microsecond of its own, so that newest first is their order.
        _apply(state, write, now_us, now_us + position)


def _apply(state: ItemState, write: PreparedWrite, now_us: int, moment_us: int) -> None:
    space = state.space(write.namespace)
    old = space.rows.get(write.key) if space else None
    live = old if old is not None and old.lives(now_us) else None
    version = live.stored.version if live else 0
    if write.if_version is not None and write.if_version != version:
        raise VersionConflict(
            f"item {write.key!r} of {write.namespace!r} is of version {version}, not {write.if_version}: "
            "another writer was first; read it again"
        )
    if write.vectors is not None:
        state.has_vectors = True
    elif write.waiting == NO_EMBEDDER and not state.has_vectors:
        write = replace(write, waiting=None)
    past = _past(space, old, write, now_us, moment_us) if space and old else None
    if write.value is None:
        if space is not None and old is not None:
            state.set(space, write.key, None, past)
        return
    space = space or state.open(write.namespace)
    if live is None:
        item_id = space.number << SEQUENCE_BITS | space.next_sequence
        space.next_sequence += 1
        created_us, updated_us = moment_us, moment_us
        version = last_version(space.past.get(write.key, ()) if past is None else past)
    else:
        item_id, created_us = live.stored.id, live.stored.created_us
        updated_us = max(moment_us, live.stored.updated_us + 1)
    stored = Stored(
        item_id, write.namespace, write.key, write.value, created_us, updated_us, write.ttl_us, version + 1
    )  # fmt: skip
    expires_us = None if write.ttl_us is None else now_us + write.ttl_us
    state.set(space, write.key, Row(stored=stored, write=write, expires_us=expires_us, due_us=now_us), past)


def _past(space: Space, old: Row, write: PreparedWrite, now_us: int, moment_us: int) -> tuple[Version, ...] | None:
    """Give the old versions of an item, that which the write ends included; None: they stay as they are."""
    if write.keeps == 0:
        return None
    ended = ended_version(old, "deleted" if write.value is None else "replaced", now_us, moment_us, write.writer)
    return trimmed((*space.past.get(write.key, ()), ended), old.stored.version - write.keeps)


def ended_version(old: Row, ended: Ended, now_us: int, moment_us: int, writer: Writer | None) -> Version:
    """Give the version of an item that ends now; what had expired before ended then."""
    version = current_version(old)
    if not old.lives(now_us):
        return version
    run_id, thread_id = (writer.run_id, writer.thread_id) if writer else (None, None)
    return version._replace(
        ended_us=max(moment_us, version.updated_us + 1), ended=ended, ended_run_id=run_id, ended_thread_id=thread_id
    )


def current_version(row: Row) -> Version:
    """Give the version of an item that is there; what expires is said to end then."""
    s, w = row.stored, row.write
    run_id, thread_id = (w.writer.run_id, w.writer.thread_id) if w.writer else (None, None)
    return Version(
        s.namespace, s.key, s.version, s.value, s.created_us, s.updated_us, w.fields, run_id, thread_id,
        row.expires_us, "expired",
    )  # fmt: skip
