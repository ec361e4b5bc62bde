"""Memory as it was: which old values are kept, which of them was there at a moment. Nothing of databases or clocks.

A value that is replaced, deleted or expired becomes an old version: it was there from its writing to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from msgspec import Struct

from clew.errors import Forgotten, InvalidValue, UsageError
from clew.store.expiry import from_us
from clew.store.operations import AsOf, Ended, Item, ItemVersion, Namespace, SeenBy, Writer
from clew.store.values import read_value

US_PER_DAY = 86_400_000_000
_KNOWN = {"versions", "days"}
_MOST = 2**31


class HistoryConfig(TypedDict, total=False):
    """Which old values are kept, as users write it.

    versions: of each item, at most so many. days: for so long after their end (fractions allowed); None: for ever.
    """

    versions: int
    days: float | None


class History(Struct, frozen=True, kw_only=True):
    """A checked HistoryConfig.

    Args:
        versions: how many old values of an item are kept; 0: none.
        for_us: for how long after their end; None: for ever.
    """

    versions: int = 50
    for_us: int | None = 30 * US_PER_DAY


def check_history(config: Mapping[str, Any] | bool | None) -> History:
    """Read a HistoryConfig; True and None are the default, False keeps nothing.

    Raises:
        UsageError: an unknown setting, or one of the wrong kind.
    """
    if config is None or isinstance(config, bool):
        return History(versions=0) if config is False else History()
    if not isinstance(config, Mapping):
        raise UsageError(f"history is {{'versions': 50, 'days': 30}}, or False for none, not {config!r}")
    if unknown := set(config) - _KNOWN:
        raise UsageError(f"unknown history settings {sorted(unknown, key=str)}; known are {sorted(_KNOWN)}")
    versions, days = config.get("versions", History().versions), config.get("days", 30)
    if isinstance(versions, bool) or not isinstance(versions, int) or not 0 <= versions < _MOST:
        raise UsageError(f"history['versions'] is how many old values of an item are kept, not {versions!r}")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days < _MOST):
        raise UsageError(f"history['days'] is a number of days above 0, or None for ever, not {days!r}")
    return History(versions=versions, for_us=None if days is None else round(days * US_PER_DAY))


class Past(Struct, frozen=True, kw_only=True):
    """What was given as `as_of`, checked.

    Args:
        at: a moment; None where a checkpoint is named.
        checkpoint: its name.
        run_id: a run whose own writes are seen too.
    """

    at: datetime | None = None
    checkpoint: str = ""
    run_id: str | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """A moment in microseconds since 1970, and a run whose own writes are seen too."""

    us: int
    run_id: str | None = None


class Version(NamedTuple):
    """One version of an item as an engine keeps it; times are microseconds since 1970.

    Args:
        value: JSON; None for the place of older versions that are no longer kept, which begins at 0.
        fields: paths indexed for it instead of the store's.
        run_id, thread_id: of the run that wrote it.
        ended_us: when it was replaced, deleted or expired; of a current one, when it will expire; or None.
        ended: which of these.
        ended_run_id, ended_thread_id: of the run that replaced or deleted it.
    """

    namespace: Namespace
    key: str
    version: int
    value: bytes | str | None
    created_us: int
    updated_us: int
    fields: tuple[str, ...] | None
    run_id: str | None
    thread_id: str | None
    ended_us: int | None
    ended: Ended | None
    ended_run_id: str | None = None
    ended_thread_id: str | None = None

    def was_there(self, us: int) -> bool:
        """Say whether it was the current one at a moment."""
        return self.updated_us <= us and (self.ended_us is None or us < self.ended_us)

    def item(self) -> Item:
        """Give the item as it was, its value a fresh copy."""
        return Item(**self._parts())

    def shown(self, now_us: int) -> ItemVersion:
        """Give the version as people see it."""
        lasts = self.ended_us is None or (self.ended == "expired" and self.ended_us > now_us)
        return ItemVersion(
            **self._parts(),
            ended_at=None if lasts or self.ended_us is None else from_us(self.ended_us),
            ended=None if lasts else self.ended,
            written_by=_writer(self.run_id, self.thread_id),
            ended_by=None if lasts else _writer(self.ended_run_id, self.ended_thread_id),
        )

    def _parts(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "key": self.key,
            "value": read_value(self.value or b"{}", self.namespace, self.key),
            "created_at": from_us(self.created_us),
            "updated_at": from_us(self.updated_us),
            "version": self.version,
        }


def check_as_of(as_of: AsOf | None) -> Past | None:
    """Read what was given as `as_of`.

    Raises:
        InvalidValue: it is no aware datetime, and names no checkpoint.
    """
    match as_of:
        case None:
            return None
        case SeenBy(inner, run_id):
            past = check_as_of(inner)
            return past and Past(at=past.at, checkpoint=past.checkpoint, run_id=run_id)
        case datetime() if as_of.tzinfo is not None:
            return Past(at=as_of)
        case str() if as_of:
            return Past(checkpoint=as_of)
        case {"configurable": {"checkpoint_id": str(checkpoint)}} if checkpoint:
            return Past(checkpoint=checkpoint)
        case _:
            raise InvalidValue(
                f"as_of is an aware datetime, a checkpoint_id, or a config that names one, not {as_of!r}"
            )


def forgotten_before_us(history: History, now_us: int) -> int:
    """Give the moment up to which ended versions are no longer kept."""
    return -1 if history.for_us is None else now_us - history.for_us


def check_remembered(history: History, moment: Moment, now_us: int) -> None:
    """See to it that memory as it was at a moment can be known.

    Raises:
        UsageError: the store keeps no old versions.
        Forgotten: the moment is too long ago.
    """
    if history.versions == 0:
        raise UsageError("this store keeps no old versions (history=False), so it cannot look back: leave out as_of")
    if moment.us < forgotten_before_us(history, now_us):
        raise Forgotten(
            f"memory as it was at {from_us(moment.us).isoformat()} is no longer kept: old versions are kept for "
            f"{(history.for_us or 0) / US_PER_DAY:g} days; history={{'days': ...}} keeps them for longer"
        )


def last_version(versions: Sequence[Version]) -> int:
    """Give the number of the last version of an item that has ended; 0 if none is kept."""
    return max((v.version for v in versions), default=0)


def trimmed(versions: tuple[Version, ...], last: int) -> tuple[Version, ...]:
    """Forget the versions of an item up to a number; one of number 0 without a value then stands for them.

    Args:
        versions: ended ones, oldest first.
        last: the highest number to forget.
    """
    gone = sum(v.version <= last for v in versions)
    if gone == 0:
        return versions
    gap = versions[gone - 1]._replace(
        version=0, value=None, created_us=0, updated_us=0, fields=None, run_id=None, thread_id=None
    )
    return (gap, *versions[gone:])


def history_of(versions: Iterable[Version], history: History, now_us: int) -> list[ItemVersion]:
    """Give the versions of one item that are kept, the newest first."""
    before_us = forgotten_before_us(history, now_us)
    kept = [v for v in versions if v.value is not None and (v.ended_us is None or v.ended_us > before_us)]
    return [v.shown(now_us) for v in sorted(kept, key=lambda v: v.updated_us, reverse=True)]


def as_it_was(versions: Iterable[Version], moment: Moment, now_us: int) -> list[Version]:
    """Choose the version of each item that was there at a moment, or that the moment's run wrote since.

    Args:
        versions: of any items, those that a Keeper gives for the moment.

    Raises:
        Forgotten: an item was there, and its version is no longer kept.
    """
    by_place: dict[tuple[Namespace, str], list[Version]] = {}
    for version in versions:
        by_place.setdefault((version.namespace, version.key), []).append(version)
    found = (_as_it_was(some, moment, now_us) for some in by_place.values())
    return [version for version in found if version is not None]


def _as_it_was(versions: Sequence[Version], moment: Moment, now_us: int) -> Version | None:
    touched, own = _own(versions, moment.run_id)
    if touched:
        return own if own is not None and (own.ended != "expired" or own.was_there(now_us)) else None
    there = [v for v in versions if v.was_there(moment.us)]
    newest = max(there, key=lambda v: v.updated_us, default=None)
    if newest is None and not any(v.created_us <= moment.us < v.updated_us for v in versions):
        return None
    if newest is None or newest.value is None:
        place = versions[0]
        raise Forgotten(
            f"item {place.key!r} of {place.namespace!r} had another value at {from_us(moment.us).isoformat()}, which "
            "is no longer kept: history={'versions': ...} keeps more of them"
        )
    return newest


def _own(versions: Sequence[Version], run_id: str | None) -> tuple[bool, Version | None]:
    """Say whether a run wrote or deleted the item, and what it left."""
    if run_id is None:
        return False, None
    written = [(v.updated_us, v) for v in versions if v.run_id == run_id]
    deleted = [(v.ended_us or 0, None) for v in versions if v.ended == "deleted" and v.ended_run_id == run_id]
    acts: list[tuple[int, Version | None]] = [*written, *deleted]
    return bool(acts), max(acts, key=lambda act: act[0])[1] if acts else None


def _writer(run_id: str | None, thread_id: str | None) -> Writer | None:
    return None if run_id is None else Writer(run_id=run_id, thread_id=thread_id)
