"""The ordered records of a run during its execution: find, check, claim.

What was recorded is the truth about the past. A call that the code makes now either has no record and simply runs,
or has one whose fingerprint must fit; a record that no call claims by the end of the run is a disagreement too.

One past may stop to hold: a failure that ended a run is tried again when the run is continued. Once that call has
run again, what was recorded after it is used where it fits and run again where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from msgspec.structs import replace

from clew.engine.identity import CALL, TRACE, callers
from clew.engine.records import Record
from clew.errors import ReplayMismatch

OnMismatch = Literal["raise", "rerun", "accept"]
#: What became of a call: its record answered it; it ran all the same; or it was not to run, being new.
_Became = Literal["answered", "ran", "passed over"]

_NONE: frozenset[str] = frozenset()


class Journal:
    """The records of one run.

    Args:
        records: what is kept of the run, oldest first.
        on_mismatch: "raise" a ReplayMismatch; "rerun" the call and replace its record; or "accept" the record.
        where: names the workflow and thread in messages.
    """

    __slots__ = (
        "_begun", "_calls", "_known", "_on_mismatch", "_places", "_retried", "_where", "_yields_after",
        "mismatch", "records",
    )  # fmt: skip

    def __init__(self, records: Iterable[Record], on_mismatch: OnMismatch, where: str) -> None:
        #: What is kept of each call by its key, usable or not. Whoever keeps a record adds it.
        self.records = {record.key: record for record in records if record.name not in (CALL, TRACE)}
        self._places: dict[str, int] = {}  # of the records there were when the first of them gave way
        self._known = tuple(self.records)
        self._begun: set[str] | None = None  # calls above known ones, once somebody asks
        self._calls: dict[str, _Became] = {}  # by the keys of recorded calls that the code has made, and of new ones
        self.mismatch: ReplayMismatch | None = None  # a call raised it, whether the code caught it or not
        self._on_mismatch = on_mismatch
        self._where = where
        self._yields_after: int | None = None
        self._retried = _NONE  # keys of calls that make a further attempt

    def __len__(self) -> int:
        return len(self.records)

    @property
    def answered(self) -> int:
        """How many recorded calls the code has made."""
        became = list(self._calls.values())
        return len(became) - became.count("passed over")

    @property
    def is_cut(self) -> bool:
        """Whether the code made calls that are not recorded, where only what is recorded is replayed."""
        return "passed over" in self._calls.values()

    def pass_over(self, key: str) -> None:
        """Note a call that is not recorded, where only what is recorded is replayed."""
        self._calls[key] = "passed over"

    def find(self, key: str, fingerprint: bytes, describe: Callable[[], str]) -> Record | None:
        """Return the record that answers the call, or None if the call is to run.

        Args:
            key: the call's key.
            fingerprint: digest of its arguments now.
            describe: a short text of its arguments now, asked for only where it is shown.

        Raises:
            ReplayMismatch: the record was made with other arguments; or an earlier one was, and the error was caught.
        """
        if self.mismatch is not None:
            raise self.mismatch
        record = self.records.get(key)
        if record is None:
            return None
        self._calls.setdefault(key, "ran")
        if record.state == "reopened":
            self._yield_after(key)
            return None
        if record.fingerprint == fingerprint or self._on_mismatch == "accept":
            self._calls[key] = "answered"
            return record
        if self._on_mismatch == "rerun" or self._gives_way(key):
            self._yield_after(key)
            return None
        self.mismatch = ReplayMismatch(self._other_arguments(record, describe()))
        raise self.mismatch

    def recall(self, key: str, fingerprint: bytes) -> Record | None:
        """Return the recorded value that answers the call beyond doubt, or None: then `find` tells what holds."""
        record = self.records.get(key)
        if record is None or record.state != "value" or record.fingerprint != fingerprint or self.mismatch is not None:
            return None
        self._calls[key] = "answered"
        return record

    def has_begun(self, key: str) -> bool:
        """Say whether the body of a call got as far as a recorded call when the run was executed before."""
        if self._begun is None:
            above = {caller for recorded in self._known for caller in callers(recorded)}
            self._begun = above | {""} if self._known else above
        return key in self._begun

    def reopen(self, keys: Iterable[str]) -> None:
        """Let failures that ended an attempt or a run be tried again."""
        for key in keys:
            self.records[key] = replace(self.records[key], state="reopened")

    def retry(self, key: str) -> None:
        """Let a call make a further attempt: what an earlier one recorded is used where it fits."""
        self._retried |= {key}

    def check_finished(self) -> None:
        """Check, when the workflow is done, that it made every call that was recorded.

        Raises:
            ReplayMismatch: it did not.
        """
        if self.mismatch is not None:
            raise self.mismatch
        if self._on_mismatch == "raise" and (vanished := self.not_made()):
            raise ReplayMismatch(self._not_made(vanished))

    def not_made(self) -> list[Record]:
        """Return the recorded calls that the code has not made, and whose outcome still counts.

        The calls below a call that was answered from its record, or passed over, are not made, and need not be.
        """
        return [
            self.records[key]
            for key in self._known
            if key not in self._calls
            and self.records[key].state == "value"
            and not self._gives_way(key)
            and all(self._calls.get(caller, "ran") == "ran" for caller in callers(key))
        ]

    def _yield_after(self, key: str) -> None:
        if self._yields_after is None:
            self._places = {recorded: place for place, recorded in enumerate(list(self.records))}
            self._yields_after = self._places[key]
        self._yields_after = min(self._yields_after, self._places.get(key, self._yields_after))

    def _gives_way(self, key: str) -> bool:
        # What has no place was recorded later still.
        if self._yields_after is not None and self._places.get(key, self._yields_after) >= self._yields_after:
            return True
        return bool(self._retried) and ("" in self._retried or not self._retried.isdisjoint(callers(key)))

    def _other_arguments(self, record: Record, now: str) -> str:
        return (
            f"call {record.key!r} of {self._where} was recorded with ({record.arguments}), "
            f"the code now passes ({now}). {_WHAT_NOW}"
        )

    def _not_made(self, vanished: list[Record]) -> str:
        calls = ", ".join(f"{record.key!r} ({record.arguments})" for record in vanished[:5])
        more = f" and {len(vanished) - 5} more" if len(vanished) > 5 else ""
        return f"{self._where} recorded calls that the code no longer makes: {calls}{more}. {_WHAT_NOW}"


_WHAT_NOW = (
    "Either the code was changed while the run was unfinished, or it depends on something that is not recorded (time, "
    "chance, the outside world: put that into a task). Bring back the old code to finish the run, start a new run, or "
    'declare the entrypoint with on_mismatch="rerun" (run such calls again) or "accept" (take what was recorded).'
)
