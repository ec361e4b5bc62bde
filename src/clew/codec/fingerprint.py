"""A short print of a call's arguments: equal for equal arguments, in every process, whatever the order of dicts, sets
and keywords.

A print need not be decoded, so that arguments of any kind count: by their content if they have one that can be seen,
else by their type. It knows nothing of keys and journals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Raw
from msgspec.msgpack import Ext

from clew.codec.description import describe
from clew.codec.foreign import SECRET
from clew.codec.objects import shape_of
from clew.codec.plain import SCALARS, is_plain, pack, pack_sorted
from clew.codec.standard import pairs, standard_kind
from clew.codec.values import named_kind
from clew.codec.writing import MAPPING, CarefulWriter, Kind, Refusal, TooDeep
from clew.errors import NotRecordable

__all__ = ["describe", "fingerprint", "strict_fingerprint"]

_SIZE_BYTES = 16
_OPAQUE = 127
_only_scalars = SCALARS.issuperset


def fingerprint(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that tell these arguments from others.

    Types count: 1, 1.0 and True differ, and so do a tuple and a list. It never raises for what an argument is.
    """
    if _only_scalars(map(type, args)) and (not kwargs or _only_scalars(map(type, kwargs.values()))):
        try:
            return blake2b(pack_sorted((args, kwargs)), digest_size=_SIZE_BYTES).digest()
        except (TypeError, OverflowError, UnicodeEncodeError):
            pass  # the careful walk carries them
    prints = ([_canonical(arg) for arg in args], {name: _canonical(kwargs[name]) for name in sorted(kwargs)})
    return blake2b(pack(prints), digest_size=_SIZE_BYTES).digest()


def strict_fingerprint(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Return the same 16 bytes, but only where every argument has content that can be seen.

    Raises:
        NotRecordable: an argument, or something inside it, could only count by its type. The message names the place.
    """
    for place, arg in enumerate(args):
        _check_content(arg, f"argument {place + 1}")
    for name, arg in kwargs.items():
        _check_content(arg, f"argument {name!r}")
    return fingerprint(args, kwargs)


def _check_content(value: Any, name: str) -> None:
    try:
        _STRICT_PRINTS.value(value, 0)
    except Refusal as refusal:
        message = refusal.told_of(name)
    except RecursionError:
        message = f"{name}: nested too deeply"
    except Exception as error:
        message = f"{name}: reading it raised {type(error).__name__}: {error}"
    else:
        return
    raise NotRecordable(message)


def _canonical(value: Any) -> bytes:
    if (packed := _packed_if_plain(value)) is not None:
        return packed
    try:
        return pack_sorted(_PRINTS.value(value, 0))
    except (Exception, RecursionError):
        return pack_sorted(_opaque(value))


def _packed_if_plain(value: Any) -> bytes | None:
    try:
        return pack_sorted(value) if is_plain(value) else None
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError):
        return None  # keys that are not text, or what the careful walk carries


def _opaque(value: Any) -> Ext:
    """Return what stands for a value whose content cannot be seen: its type."""
    of = type(value)
    return Ext(_OPAQUE, f"{of.__module__}:{of.__qualname__}".encode(errors="replace"))


class PrintWriter(CarefulWriter):
    """Writes values of any kind in one canonical form, which is never read."""

    only_what_compares = True

    def value(self, value: Any, depth: int) -> Any:
        try:
            return super().value(value, depth)
        except (TooDeep, RecursionError):
            raise  # or a value that contains itself would take for ever
        except Exception:
            return _opaque(value)

    def kind_for(self, value: Any) -> Kind:
        of = type(value)
        # A secret that was renewed is no other call, and a print of it could be searched for.
        if (kind := standard_kind(of)) is not None and kind is not SECRET:
            return kind
        shape = shape_of(of)
        if shape is None:
            raise Refusal(": no content")
        kind = _kinds_of_users.get(of)
        if kind is None:
            kind = _kinds_of_users[of] = named_kind(of, shape)
        return kind

    def packed(self, parts: Any) -> bytes:
        return pack_sorted(parts)

    def mapping(self, mapping: dict[Any, Any], depth: int) -> Any:
        if (packed := _packed_if_plain(mapping)) is not None:
            return Raw(packed)
        return Ext(MAPPING, self.packed(self.entries(mapping, depth + 1)))

    def fields(self, fields: Mapping[str, Any], depth: int) -> Any:
        if (packed := _packed_if_plain(fields)) is not None:
            return Raw(packed)
        return super().fields(fields, depth)

    def unordered(self, items: Iterable[Any], depth: int) -> list[Any]:
        return sorted(self.packed(item) for item in super().unordered(items, depth))

    def entries(self, mapping: Mapping[Any, Any], depth: int) -> list[Any]:
        written = super().entries(mapping, depth)
        return sorted((self.packed(key), self.packed(value)) for key, value in pairs(written))


class StrictPrintWriter(PrintWriter):
    """Refuses what could only count by its type."""

    def value(self, value: Any, depth: int) -> Any:
        return CarefulWriter.value(self, value, depth)

    def kind_for(self, value: Any) -> Kind:
        try:
            return super().kind_for(value)
        except Refusal:
            of = type(value)
            raise Refusal(f": a {of.__module__}.{of.__qualname__} has no content that tells it from others") from None


_kinds_of_users: WeakKeyDictionary[type, Kind] = WeakKeyDictionary()
_PRINTS, _STRICT_PRINTS = PrintWriter(), StrictPrintWriter()
