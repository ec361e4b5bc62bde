"""The lines of an export: what each of them says, as JSON. Bytes are written in base64, values of memories as they are.

The first line names the format. A thread is followed by its runs, each with its records, its pieces and its queue; each
memory has a line of its own. The last line counts, so that a file that was cut off is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Raw, Struct

from clew.engine.records import Piece, Queued, Record, Run, ThreadKey
from clew.errors import InvalidExport, InvalidNamespaceError, InvalidValue, UnreadableRecord
from clew.storage.upkeep import WholeThread
from clew.store.embedding import HASH_BYTES
from clew.store.expiry import from_us, to_us
from clew.store.history import Version
from clew.store.moving import Current, Memory
from clew.store.namespaces import check_namespace
from clew.store.operations import Ended, Writer
from clew.store.planning import PreparedWrite, Vectors
from clew.store.values import check_key, copy_value, decode_value, encode_value

_NULL = b"null"
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
FORMAT = "clew export"
VERSION = 1


class _Line(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True, forbid_unknown_fields=True):
    """What all lines have in common."""


class Header(_Line, frozen=True, tag="header"):
    """The first line."""

    format: str
    version: int


class ThreadLine(_Line, frozen=True, tag="thread"):
    """A thread; `lines` says how many of the following lines belong to it."""

    thread_id: str
    workflow: str
    lines: int
    due_s: float | None = None


class RunLine(_Line, frozen=True, tag="run"):
    """A run of the last thread."""

    run: Run


class RecordLine(_Line, frozen=True, tag="record"):
    """A record of the last run."""

    record: Record


class PieceLine(_Line, frozen=True, tag="piece"):
    """A piece of what the runs of the last thread saved."""

    piece: Piece


class QueuedLine(_Line, frozen=True, tag="queued"):
    """A submitted call that waits for the last thread."""

    place: Queued


class ItemPart(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The current item of a memory; see Current and PreparedWrite."""

    value: Raw
    version: int
    created_at: _Moment
    updated_at: _Moment
    expires_at: _Moment | None = None
    ttl_us: int | None = None
    fields: tuple[str, ...] | None = None
    vectors: Vectors | None = None
    waiting: str | None = None
    writer: Writer | None = None


class VersionPart(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An old version of a memory; see Version."""

    value: Raw  # null where there is none
    version: int
    created_at: _Moment
    updated_at: _Moment
    ended_at: _Moment
    ended: Ended
    fields: tuple[str, ...] | None = None
    writer: Writer | None = None
    ended_by: Writer | None = None


class MemoryLine(_Line, frozen=True, tag="memory"):
    """Everything that is kept under one key."""

    namespace: tuple[str, ...]
    key: str
    item: ItemPart | None = None
    versions: tuple[VersionPart, ...] = ()


class End(_Line, frozen=True, tag="end"):
    """The last line: how much there was."""

    threads: int
    memories: int


Line = Header | ThreadLine | RunLine | RecordLine | PieceLine | QueuedLine | MemoryLine | End
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def written(line: Line) -> bytes:
    """Return a line as it stands in a file."""
    return _encode(line) + b"\n"


def read(text: str | bytes, number: int) -> Line:
    """Read a line.

    Raises:
        InvalidExport: it is none.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidExport(f"line {number} is no line of an export, or is damaged: {error}") from error


def of_thread(whole: WholeThread) -> Iterator[Line]:
    """Give the lines of a thread."""
    parts: list[Line] = []
    for run, records in whole.runs:
        parts += [RunLine(run=run), *(RecordLine(record=record) for record in records)]
    parts += [PieceLine(piece=piece) for piece in whole.pieces]
    parts += [QueuedLine(place=place) for place in whole.queue]
    thread_id, workflow = whole.thread
    yield ThreadLine(thread_id=thread_id, workflow=workflow, lines=len(parts), due_s=whole.due_s)
    yield from parts


class ThreadParts:
    """The lines of one thread while they are read.

    Args:
        line: the first.
        number: its number.
    """

    def __init__(self, line: ThreadLine, number: int) -> None:
        self._line = line
        self._last = number + line.lines
        self._runs: list[tuple[Run, dict[str, Record]]] = []
        self._pieces: dict[str, Piece] = {}
        self._queue: list[Queued] = []

    def add(self, line: Line, number: int) -> None:
        """Take the next line.

        Raises:
            InvalidExport: it does not belong here.
        """
        thread = ThreadKey(self._line.thread_id, self._line.workflow)
        match line:
            case RunLine(run=run) if not self._runs or self._runs[-1][0].number < run.number:
                self._runs.append((run, {}))
            case RecordLine(record=record) if self._runs and record.key not in self._runs[-1][1]:
                self._runs[-1][1][record.key] = record
            case PieceLine(piece=piece) if piece.id not in self._pieces and self._follows(piece):
                self._pieces[piece.id] = piece
            case QueuedLine(place=place) if place.thread == thread and place.owner is None:
                self._queue.append(place)
            case _:
                raise InvalidExport(f"line {number} does not belong to thread {thread.thread_id!r}, or not there")

    def is_whole_at(self, number: int) -> bool:
        """Say whether the line of that number is the last one."""
        return number >= self._last

    def _follows(self, piece: Piece) -> bool:
        return piece.before is None or piece.before in self._pieces

    def whole(self) -> WholeThread:
        """Return the thread."""
        return WholeThread(
            thread=ThreadKey(self._line.thread_id, self._line.workflow),
            runs=[(run, list(records.values())) for run, records in self._runs],
            pieces=list(self._pieces.values()), queue=self._queue, due_s=self._line.due_s,
        )  # fmt: skip


def of_memory(memory: Memory) -> MemoryLine:
    """Return the line of a memory."""
    return MemoryLine(
        namespace=memory.namespace,
        key=memory.key,
        item=None if memory.item is None else _item_part(memory.item),
        versions=tuple(map(_version_part, memory.versions)),
    )


def memory_of(line: MemoryLine, number: int) -> Memory:
    """Return the memory of a line.

    Raises:
        InvalidExport: no memory can be like this.
    """
    try:
        namespace, key = check_namespace(line.namespace), check_key(line.key)
        item = None if line.item is None else _item(namespace, key, line.item)
        versions = [_version(namespace, key, part) for part in line.versions]
        return Memory(namespace=namespace, key=key, item=item, versions=versions)
    except (InvalidNamespaceError, InvalidValue, UnreadableRecord, ValueError) as error:
        raise InvalidExport(f"line {number}: {error}") from error


def _item_part(item: Current) -> ItemPart:
    write = item.write
    return ItemPart(
        value=Raw(write.value or b"{}"), version=item.version, created_at=from_us(item.created_us),
        updated_at=from_us(item.updated_us), expires_at=None if item.expires_us is None else from_us(item.expires_us),
        ttl_us=write.ttl_us, fields=write.fields, vectors=write.vectors, waiting=write.waiting, writer=write.writer,
    )  # fmt: skip


def _item(namespace: tuple[str, ...], key: str, part: ItemPart) -> Current:
    write = PreparedWrite(
        namespace=namespace, key=key, value=_value(part.value), ttl_us=part.ttl_us, fields=part.fields,
        vectors=part.vectors and _checked(part.vectors), waiting=part.waiting, writer=part.writer,
    )  # fmt: skip
    return Current(
        write=write, version=part.version, created_us=to_us(part.created_at), updated_us=to_us(part.updated_at),
        expires_us=None if part.expires_at is None else to_us(part.expires_at),
    )  # fmt: skip


def _version_part(version: Version) -> VersionPart:
    value = version.value
    return VersionPart(
        value=Raw(_NULL if value is None else value), version=version.version,
        created_at=from_us(version.created_us), updated_at=from_us(version.updated_us),
        ended_at=from_us(version.ended_us or 0), ended=version.ended or "replaced", fields=version.fields,
        writer=_writer(version.run_id, version.thread_id),
        ended_by=_writer(version.ended_run_id, version.ended_thread_id),
    )  # fmt: skip


def _version(namespace: tuple[str, ...], key: str, part: VersionPart) -> Version:
    value = None if bytes(part.value) == _NULL else _value(part.value)
    return Version(
        namespace, key, part.version, value, to_us(part.created_at), to_us(part.updated_at), part.fields,
        *_names(part.writer), to_us(part.ended_at), part.ended, *_names(part.ended_by),
    )  # fmt: skip


def _checked(vectors: Vectors) -> Vectors:
    """Return vectors of which there is one for each hash, all of one length.

    Raises:
        InvalidValue: they are not like that.
    """
    count, rest = divmod(len(vectors.hashes), HASH_BYTES)
    if rest or not count or not vectors.data or len(vectors.data) % (4 * count):
        raise InvalidValue(f"{len(vectors.data)} bytes are no vectors for {len(vectors.hashes)} bytes of hashes")
    return vectors


def _writer(run_id: str | None, thread_id: str | None) -> Writer | None:
    return None if run_id is None else Writer(run_id=run_id, thread_id=thread_id)


def _names(writer: Writer | None) -> tuple[str | None, str | None]:
    return (None, None) if writer is None else (writer.run_id, writer.thread_id)


def _value(raw: Raw) -> bytes:
    """Return the JSON of a memory's value, once it is known that a memory may be like that."""
    value: Any = decode_value(bytes(raw))
    return encode_value(copy_value(value))
