"""When a memory ends: minutes as people give them, microseconds as they are kept. Nothing of databases or clocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, TypedDict

from msgspec import Struct

from clew.errors import InvalidValue, UnreadableRecord, UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_US_PER_MINUTE = 60_000_000
_MOST_MINUTES = 60 * 24 * 366 * 1000
_KNOWN = {"default_ttl", "refresh_on_read", "sweep_interval_minutes", "omit_expired", "sweep_max_items"}


class NotGiven:
    """The type of NOT_GIVEN: an argument that was left out, where None means something."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


class TTLConfig(TypedDict, total=False):
    """How long memories live, as users write it: minutes, fractions allowed."""

    default_ttl: float | None
    refresh_on_read: bool
    sweep_interval_minutes: float | None


class Expiry(Struct, frozen=True, kw_only=True):
    """A checked TTLConfig.

    Args:
        default_minutes: of items put without a ttl; None: they never end.
        refresh_on_read: whether a read gives an item its whole ttl again.
        sweep_every_s: pause of the sweeper between two sweeps.
    """

    default_minutes: float | None = None
    refresh_on_read: bool = True
    sweep_every_s: float = 300.0


def check_expiry(config: Mapping[str, Any] | None) -> Expiry:
    """Read a TTLConfig.

    Raises:
        UsageError: an unknown setting, or one of the wrong kind.
    """
    config = {} if config is None else config
    if not isinstance(config, Mapping):
        raise UsageError(f"ttl is a dictionary such as {{'default_ttl': 60}}, minutes, not {config!r}")
    if unknown := set(config) - _KNOWN:
        raise UsageError(f"unknown ttl settings {sorted(unknown, key=str)}; known are {sorted(_KNOWN)}")
    if not isinstance(refresh := config.get("refresh_on_read", True), bool):
        raise UsageError(f"ttl['refresh_on_read'] is True or False, not {refresh!r}")
    every = config.get("sweep_interval_minutes")
    default = config.get("default_ttl")
    return Expiry(
        default_minutes=None if default is None else ttl_us(default) / _US_PER_MINUTE,
        refresh_on_read=refresh,
        sweep_every_s=300.0 if every is None else ttl_us(every) / 1_000_000,
    )


def ttl_us(minutes: float) -> int:
    """Give a ttl in microseconds.

    Raises:
        InvalidValue: not a number of minutes above zero.
    """
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
        raise InvalidValue(f"a ttl is a number of minutes or None, not {minutes!r}")
    if not isfinite(minutes) or not 0 < minutes <= _MOST_MINUTES:
        raise InvalidValue(f"a ttl is a number of minutes above 0 and below a thousand years, not {minutes!r}")
    return max(1, round(minutes * _US_PER_MINUTE))


def to_us(moment: datetime) -> int:
    """Give microseconds since 1970 of an aware datetime."""
    return (moment - _EPOCH) // _US


def from_us(us: int) -> datetime:
    """Give the aware UTC datetime of microseconds since 1970.

    Raises:
        UnreadableRecord: there is no such year.
    """
    try:
        return _EPOCH + us * _US  # quicker than a timedelta of so many
    except OverflowError as error:
        raise UnreadableRecord(f"a kept time is damaged: {us} microseconds since 1970") from error
