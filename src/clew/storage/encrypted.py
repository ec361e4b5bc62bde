"""A checkpointer around another that gets nothing to read: values, arguments and errors are encrypted on their way in.

Ids, names, states, times and sizes stay as they are, for the engine works with them. Each value is bound to its place:
thread, run and key. How bytes are encrypted is decided in codec.encryption; no database is known here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from clew.codec.encryption import EncryptionKeys, Place
from clew.engine.records import Piece, Queued, Record, Run, ThreadKey
from clew.errors import UsageError
from clew.storage import base, queueing, upkeep
from clew.storage.base import Checkpointer, Operation
from clew.storage.upkeep import WholeThread

T = TypeVar("T")


class EncryptedSaver(Checkpointer):
    """Keeps threads encrypted, in any checkpointer.

    Args:
        saver: where they are kept; closed with this one.
        keys: encrypts.

    The ids of the keys are noted in the database, if it is one that others can open, so that none of them writes to it
    without keys.

    Raises, beside what the other one does:
        UnreadableRecord: something that was read is not encrypted, not with these keys, or not as it was written there.
    """

    def __init__(self, saver: Checkpointer, keys: EncryptionKeys) -> None:
        self._saver = saver
        self._seals = _Seals(keys)
        self.database = saver.database
        admit: Callable[[Sequence[str]], None] | None = getattr(saver.database, "admit", None)
        if admit is not None:
            admit(keys.ids)

    def execute(self, operation: Operation[T]) -> T:
        sealed, opened = self._around(operation)
        result: T = opened(self._saver.execute(sealed))
        return result

    async def aexecute(self, operation: Operation[T]) -> T:
        sealed, opened = self._around(operation)
        result: T = opened(await self._saver.aexecute(sealed))
        return result

    def close(self) -> None:
        self._saver.close()

    def _around(self, operation: Operation[T]) -> tuple[Operation[T], Callable[[Any], Any]]:
        """Give the operation as the engine gets it, and what makes its result readable.

        Raises:
            UsageError: an operation of which is not known what to encrypt.
        """
        of = type(operation)
        if of not in _SEAL and of not in _OPEN and of not in _WITHOUT_VALUES:
            raise UsageError(f"{of.__qualname__} cannot be done on an encrypted database: nothing says what to encrypt")
        seal, open = _SEAL.get(of), _OPEN.get(of)
        sealed = operation if seal is None else seal(self._seals, operation)
        return sealed, (lambda result: result if open is None else open(self._seals, operation, result))


class _Seals:
    """What is encrypted of each thing that is kept, and the place it is bound to."""

    def __init__(self, keys: EncryptionKeys) -> None:
        self._keys = keys

    def value(self, data: bytes | None, *place: str) -> bytes | None:
        return data and self._keys.seal(data, place)

    def opened(self, data: bytes | None, *place: str) -> bytes | None:
        return data and self._keys.open(data, place)

    def text(self, text: str | None, *place: str) -> str | None:
        if text is None:
            return None
        return base64.b64encode(self._keys.seal(text.encode("utf-8", "surrogatepass"), place)).decode()

    def opened_text(self, text: str | None, *place: str) -> str | None:
        if text is None:
            return None
        try:
            sealed = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            sealed = b""
        return self._keys.open(sealed, place).decode("utf-8", "surrogatepass")

    def parts(self, thread: ThreadKey, run_id: str, parts: Run | base.End, *, open: bool = False) -> dict[str, Any]:
        """Give what a run and its end have in common."""
        value, text = (self.opened, self.opened_text) if open else (self.value, self.text)
        return {
            "value": value(parts.value, "the value", *thread, run_id),
            "saved": value(parts.saved, "the saved value", *thread, run_id),
            "error": text(parts.error, "the error", *thread, run_id),
            "questions": value(parts.questions, "the questions", *thread, run_id),
        }

    def run(self, thread: ThreadKey, run: Run, *, open: bool = False) -> Run:
        value = self.opened if open else self.value
        return replace(
            run,
            input=value(run.input, "the input", *thread, run.id),
            metadata=value(run.metadata, "the metadata", *thread, run.id),
            **self.parts(thread, run.id, run, open=open),
        )

    def record(self, run_id: str, record: Record) -> Record:
        """Put the fingerprint and the text of the arguments into the outcome: both would tell what they were."""
        whole = msgspec.msgpack.encode((record.fingerprint, record.arguments, record.outcome))
        return replace(record, fingerprint=b"", arguments="", outcome=self._keys.seal(whole, _place(run_id, record)))

    def opened_record(self, run_id: str, record: Record) -> Record:
        fingerprint, arguments, outcome = _decode_outcome(self._keys.open(record.outcome, _place(run_id, record)))
        return replace(record, fingerprint=fingerprint, arguments=arguments, outcome=outcome)

    def records(self, run_id: str, records: Sequence[Record]) -> list[Record]:
        return [self.record(run_id, record) for record in records]

    def opened_records(self, run_id: str, records: Sequence[Record]) -> list[Record]:
        return [self.opened_record(run_id, record) for record in records]

    def piece(self, piece: Piece, *, open: bool = False) -> Piece:
        place: Place = ("a piece of a list", piece.id, piece.before or "", str(piece.count))
        return replace(piece, body=self._keys.open(piece.body, place) if open else self._keys.seal(piece.body, place))

    def queued(self, queued: Queued, *, open: bool = False) -> Queued:
        value = self.opened if open else self.value
        place = (*queued.thread, queued.id, queued.act)
        return replace(
            queued,
            input=value(queued.input, "the queued input", *place),
            config=value(queued.config, "the queued config", *place),
        )

    def events(self, run_id: str, events: Sequence[bytes]) -> list[bytes]:
        return [self._keys.seal(event, ("an event", run_id)) for event in events]

    def opened_events(self, run_id: str, events: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        return [(number, self._keys.open(event, ("an event", run_id))) for number, event in events]

    def begin(self, begin: base.Begin) -> base.Begin:
        return replace(
            begin, run=self.run(begin.thread, begin.run), records=self.records(begin.run.id, begin.records)
        )  # fmt: skip

    def append(self, append: base.Append) -> base.Append:
        lease, end = append.lease, append.end
        return replace(
            append,
            records=self.records(lease.run_id, append.records),
            pieces=[self.piece(piece) for piece in append.pieces],
            also=[self.keep(nested) for nested in append.also],
            end=end and replace(end, **self.parts(lease.thread, lease.run_id, end)),
        )

    def keep(self, keep: base.Keep) -> base.Keep:
        return replace(keep, run=self.run(keep.thread, keep.run), pieces=[self.piece(piece) for piece in keep.pieces])

    def whole(self, whole: WholeThread, *, open: bool = False) -> WholeThread:
        records = self.opened_records if open else self.records
        return replace(
            whole,
            runs=[(self.run(whole.thread, run, open=open), records(run.id, kept)) for run, kept in whole.runs],
            pieces=[self.piece(piece, open=open) for piece in whole.pieces],
            queue=[self.queued(queued, open=open) for queued in whole.queue],
        )


def _place(run_id: str, record: Record) -> Place:
    # What is reopened is a failure still; that it is to be tried again is told without a new outcome.
    return ("a value" if record.state == "value" else "a failure", run_id, record.key, record.name)


_decode_outcome = msgspec.msgpack.Decoder(tuple[bytes, str, bytes]).decode

_SEAL: dict[type, Callable[[_Seals, Any], Any]] = {
    base.Begin: _Seals.begin,
    base.Append: _Seals.append,
    base.Keep: _Seals.keep,
    queueing.Enqueue: lambda seals, enqueue: replace(enqueue, place=seals.queued(enqueue.place)),
    base.AddEvents: lambda seals, add: replace(add, events=seals.events(add.lease.run_id, add.events)),
    upkeep.KeepThread: lambda seals, keep: replace(keep, whole=seals.whole(keep.whole)),
}
_OPEN: dict[type, Callable[[_Seals, Any, Any], Any]] = {
    base.Load: lambda seals, load, run: run and seals.run(load.thread, run, open=True),
    base.ListRuns: lambda seals, ask, runs: [seals.run(ask.thread, run, open=True) for run in runs],
    base.LoadRecords: lambda seals, load, records: seals.opened_records(load.run_id, records),
    base.LoadPieces: lambda seals, load, pieces: [seals.piece(piece, open=True) for piece in pieces],
    base.Keep: lambda seals, keep, run: seals.run(keep.thread, run, open=True),
    queueing.ListQueue: lambda seals, ask, queue: [seals.queued(queued, open=True) for queued in queue],
    base.LoadEvents: lambda seals, load, events: seals.opened_events(load.run_id, events),
    upkeep.LoadThread: lambda seals, load, whole: whole and seals.whole(whole, open=True),
}
_WITHOUT_VALUES: frozenset[type] = frozenset(
    {
        base.ListThreads, upkeep.WalkThreads, base.Renew, base.Watch, base.Ask, base.LoadUse, base.DeleteThread,
        queueing.StayQueued, queueing.LeaveQueue, queueing.FindWork, upkeep.ForgetDeleted, upkeep.ListPieces,
        upkeep.Prune,
    }
)  # fmt: skip
