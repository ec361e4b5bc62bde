"""Dates, times and time zones: how each is packed and made again. An aware time keeps its kind of zone.

The codes and the shapes of the parts are kept in users' databases: add new ones, never change old ones.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from clew.codec.parts import exactly, numbers
from clew.codec.writing import Kind, Refusal, Writer

_ZONE_KEY = r"[\w+-]+(/[\w+-]+)*"
_TIMEZONE, _ZONE_INFO, _PYDANTIC_ZONE = 0, 1, 2


def _pack_datetime(value: datetime, writer: Writer, depth: int) -> Any:
    return [
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
        value.fold, _zone_parts(value.tzinfo),
    ]  # fmt: skip


def _unpack_datetime(parts: Any) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = parts
    return datetime(year, month, day, hour, minute, second, microsecond, _zone(zone), fold=fold)


def _pack_time(value: time, writer: Writer, depth: int) -> Any:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, _zone_parts(value.tzinfo)]


def _unpack_time(parts: Any) -> time:
    hour, minute, second, microsecond, fold, zone = parts
    return time(hour, minute, second, microsecond, _zone(zone), fold=fold)


def _pack_timedelta(value: timedelta, writer: Writer, depth: int) -> Any:
    return [value.days, value.seconds, value.microseconds]


def _zone_parts(zone: Any) -> list[Any] | None:
    """Return [kind of zone, what it is made from], or None for no zone.

    Raises:
        Refusal: a class of time zones that only its own library can make.
    """
    if zone is None:
        return None
    of = type(zone)
    if of is timezone:
        # The one place where a fixed zone tells apart a name it was given from the name it makes up.
        offset, *name = zone.__getinitargs__()
        return [_TIMEZONE, offset.days, offset.seconds, offset.microseconds, *name]
    if of.__module__ in ("zoneinfo", "zoneinfo._zoneinfo") and of.__name__ == "ZoneInfo" and zone.key is not None:
        return [_ZONE_INFO, zone.key]
    if of.__module__ == "pydantic_core._pydantic_core":
        return [_PYDANTIC_ZONE, int(zone.utcoffset(None).total_seconds())]
    raise Refusal(
        f": a time zone of type {of.__module__}.{of.__qualname__} cannot be recorded; "
        "use datetime.timezone or zoneinfo.ZoneInfo with a key"
    )


def _zone(parts: Any) -> Any:
    if parts is None:
        return None
    kind, *rest = exactly(list, parts)
    if kind == _TIMEZONE:
        days, seconds, microseconds, *name = rest
        return timezone(timedelta(days, seconds, microseconds), *name)
    (made_from,) = rest
    if kind == _ZONE_INFO:
        from zoneinfo import ZoneInfo

        # Zones are files, and packages of tzdata, named by their keys: none with a dot, so that none leads elsewhere.
        if not re.fullmatch(_ZONE_KEY, made_from):
            raise ValueError(f"no time zone has the key {made_from!r}")
        return ZoneInfo(made_from)
    if kind == _PYDANTIC_ZONE:
        from pydantic_core import TzInfo

        return TzInfo(made_from)
    raise ValueError(f"no time zone of kind {kind!r}")


_ZONE = Kind(29, lambda value, writer, depth: _zone_parts(value), _zone)
TIMES: dict[str, Kind] = {
    "datetime:datetime": Kind(25, _pack_datetime, _unpack_datetime),
    "datetime:date": Kind(26, lambda v, w, d: [v.year, v.month, v.day], lambda p: date(*numbers(p))),
    "datetime:time": Kind(27, _pack_time, _unpack_time),
    "datetime:timedelta": Kind(28, _pack_timedelta, lambda p: timedelta(*numbers(p))),
    "datetime:timezone": _ZONE,
    "zoneinfo:ZoneInfo": _ZONE,
}
