"""All memories of one process, for whoever moves or erases them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clew.errors import Conflict
from clew.storage.inmemory.items_state import ItemState, Row, Space
from clew.store.corpus import SEQUENCE_BITS
from clew.store.history import Version
from clew.store.moving import Current, Memory
from clew.store.operations import Namespace
from clew.store.search import Stored


class MemoryMover:
    """The engine's side of moving memories; see Mover."""

    def all_namespaces(self, state: ItemState) -> list[Namespace]:
        return [space.namespace for space in state.below(())]

    def forget_writers(self, state: ItemState, thread_ids: Sequence[str]) -> None:
        gone = set(thread_ids)
        for space in state.below(()):
            for key in {*space.rows, *space.past}:
                row, past = space.rows.get(key), space.past.get(key, ())
                if row is not None and row.write.writer is not None and row.write.writer.thread_id in gone:
                    row = replace(row, write=replace(row.write, writer=None))
                state.set(space, key, row, tuple(_without_writers(version, gone) for version in past))

    def memories(self, state: ItemState, after: int, limit: int, *, past: bool) -> list[Memory]:
        if past:
            return _of_the_past(state)[max(after, 0) :][:limit]
        rows = sorted((row for id, row in state.by_id.items() if id > after), key=lambda row: row.stored.id)[:limit]
        return [_memory(state, row) for row in rows]

    def take_in(self, state: ItemState, memories: Sequence[Memory], *, skip: bool) -> int:
        return sum(_take_in(state, memory, skip) for memory in memories)


def _without_writers(version: Version, gone: set[str]) -> Version:
    if version.thread_id in gone:
        version = version._replace(run_id=None, thread_id=None)
    if version.ended_thread_id in gone:
        version = version._replace(ended_run_id=None, ended_thread_id=None)
    return version


def _memory(state: ItemState, row: Row) -> Memory:
    stored, write = row.stored, replace(row.write, words=b"", marks=b"", if_version=None, keeps=0)
    item = Current(
        write=write, version=stored.version, created_us=stored.created_us, updated_us=stored.updated_us,
        expires_us=row.expires_us,
    )  # fmt: skip
    space = state.space(stored.namespace)
    past = space.past.get(stored.key, ()) if space else ()
    return Memory(namespace=stored.namespace, key=stored.key, order=stored.id, item=item, versions=past)


def _of_the_past(state: ItemState) -> list[Memory]:
    places = [
        (space, key) for space in state.below(()) for key in sorted(space.past) if key not in space.rows
    ]  # fmt: skip
    return [
        Memory(namespace=space.namespace, key=key, order=order, versions=space.past[key])
        for order, (space, key) in enumerate(places, 1)
    ]


def _take_in(state: ItemState, memory: Memory, skip: bool) -> int:
    space = state.open(memory.namespace)
    if memory.key in space.rows or memory.key in space.past:
        if skip:
            return 0
        raise Conflict(f"there is a memory {memory.key!r} in {memory.namespace!r} already")
    row = None if memory.item is None else _row(space, memory.item)
    state.set(space, memory.key, row, tuple(memory.versions))
    return 1


def _row(space: Space, item: Current) -> Row:
    write = item.write
    id = space.number << SEQUENCE_BITS | space.next_sequence
    space.next_sequence += 1
    stored = Stored(
        id, write.namespace, write.key, write.value or b"", item.created_us, item.updated_us, write.ttl_us,
        item.version,
    )  # fmt: skip
    return Row(stored=stored, write=write, expires_us=item.expires_us)
