"""What a call raised, to bytes and back. Writing never fails: what cannot be kept is kept as text.

The user's own exception comes back as itself if its class may come back here; otherwise as a RecordedFailure, which is
also an instance of the nearest base that is known here, so that `except ValueError` catches the same error on replay.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from clew.codec import exceptions, validation
from clew.codec.allowed import find, name_of
from clew.codec.plain import pack
from clew.codec.values import decode, encode, unreadable
from clew.errors import NotRecordable, RecordedFailure, UnreadableRecord

T = TypeVar("T")

_MOST_CAUSES = 8
_MOST_MEMBERS = 64
_MOST_TEXT = 20_000
# Too general to say anything about an error whose own class is not known.
_NOT_TELLING = {"builtins:Exception", "builtins:BaseException"}


class _Failure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """What is kept of an exception. Old records must stay readable: add fields at the end, with defaults.

    Args:
        bases: names of its class and of the bases of that, nearest first.
        message: its text.
        traceback: formatted, with its causes and contexts; empty for a cause or a member of a group.
        arguments: each a value as bytes of its own, so that one that may not come back does not spoil the rest.
        state: its attributes, as bytes of their own.
        native_state: what its builtin base keeps beside them.
        members: of a group.
        cause: what it was raised from.
        suppressed: whether its context is hidden.
    """

    bases: list[str]
    message: str
    traceback: str = ""
    arguments: list[bytes] = []
    state: dict[str, bytes] = {}
    native_state: dict[str, bytes] = {}
    members: list[_Failure] = []
    cause: _Failure | None = None
    suppressed: bool = False


_unpack = msgspec.msgpack.Decoder(_Failure).decode


def encode_failure(error: BaseException) -> bytes:
    """Return the bytes of an exception, whatever it holds. It never raises."""
    try:
        return pack(_kept_of(error, 0))
    except (Exception, RecursionError):
        return pack(_Failure(bases=[_clean(f"{type(error).__module__}:{type(error).__qualname__}")], message=""))


def decode_failure(data: bytes | bytearray | memoryview) -> BaseException:
    """Return the exception that `encode_failure` made these bytes from, with its notes and its causes.

    Its traceback as text is its attribute `recorded_traceback`, where the class has room for one.

    Raises:
        UnreadableRecord: the bytes are damaged.
    """
    try:
        return _made_from(_unpack(data), 0)
    except UnreadableRecord:
        raise
    except (Exception, RecursionError) as error:
        raise unreadable(data, error) from error


def text_of_failure(data: bytes | bytearray | memoryview) -> tuple[str, str, str]:
    """Return an exception's class, text and traceback as they were kept; its class is not looked for.

    Raises:
        UnreadableRecord: the bytes are damaged, or encrypted.
    """
    try:
        failure = _unpack(data)
        return _readable(failure.bases[0]), failure.message, failure.traceback
    except (Exception, RecursionError) as error:
        raise unreadable(data, error) from error


def _kept_of(error: BaseException, depth: int) -> _Failure:
    deeper = depth < _MOST_CAUSES
    no_state: dict[str, Any] = {}
    state = _attempt(lambda: exceptions.state_of(error), no_state)
    arguments, members = _parts_of(error)
    recorded = state.pop("recorded_traceback", None)
    return _Failure(
        bases=[_clean(name_of(cls)) for cls in type(error).__mro__ if issubclass(cls, BaseException)],
        message=_clean(exceptions.text_of(error)),
        traceback=_clean(recorded) if isinstance(recorded, str) else "" if depth else _traceback_text(error),
        arguments=[_bytes_of(argument) for argument in arguments],
        state=_each(state),
        native_state=_each(exceptions.native_state_of(error)),
        members=[_kept_of(member, depth + 1) for member in members[:_MOST_MEMBERS] if deeper],
        cause=_kept_of(error.__cause__, depth + 1) if error.__cause__ is not None and deeper else None,
        suppressed=error.__suppress_context__,
    )


def _parts_of(error: BaseException) -> tuple[tuple[Any, ...], tuple[BaseException, ...]]:
    if type(error) is validation.find_class():
        return _attempt(lambda: validation.parts_of(error), ()), ()
    return exceptions.parts_of(error)


def _each(state: dict[str, Any]) -> dict[str, bytes]:
    return {_clean(name): _bytes_of(value) for name, value in state.items()}


def _bytes_of(value: Any) -> bytes:
    """Return the bytes of a value, or of a text for it."""
    try:
        return encode(value)
    except NotRecordable:
        return encode(_clean(_attempt(lambda: repr(value), f"<{type(value).__qualname__}>")))


def _made_from(failure: _Failure, depth: int) -> BaseException:
    if depth > _MOST_CAUSES or not failure.bases:
        raise UnreadableRecord("the recorded failure is damaged: too many causes, or no class")
    error = _original(failure, depth) or _recorded_failure(failure)
    if failure.cause is not None:
        error.__cause__ = _made_from(failure.cause, depth + 1)
    error.__suppress_context__ = failure.suppressed
    if failure.traceback:
        _attempt(lambda: object.__setattr__(error, "recorded_traceback", failure.traceback), None)
    return error


def _original(failure: _Failure, depth: int) -> BaseException | None:
    """Return an exception of the recorded class, or None if the class or what it holds may not come back here."""
    if failure.bases[0] == validation.NAME:
        # A list of what is wrong, not code: it comes back without being allowed.
        return _attempt(lambda: _validation_error(failure), None)
    # A group of an unknown class comes back as a plain group, so that `except*` finds the same members.
    for name in failure.bases if failure.members else failure.bases[:1]:
        cls = find(name)
        if cls is not None and issubclass(cls, BaseException):
            # Where it fails, what it holds may not come back or the class has changed: its text still tells.
            return _attempt(lambda cls=cls: _rebuilt(cls, failure, depth), None)  # type: ignore[misc]
    return None


def _validation_error(failure: _Failure) -> BaseException | None:
    cls = validation.find_class()
    if cls is None:
        return None
    error = validation.rebuilt(cls, [decode(argument) for argument in failure.arguments])
    for note in decode(failure.state["__notes__"]) if "__notes__" in failure.state else ():
        error.add_note(note)
    return error


def _rebuilt(cls: type[BaseException], failure: _Failure, depth: int) -> BaseException:
    arguments = [decode(argument) for argument in failure.arguments]
    members = [_made_from(member, depth + 1) for member in failure.members]
    state = {name: decode(value) for name, value in failure.state.items()}
    native_state = {name: decode(value) for name, value in failure.native_state.items()}
    return exceptions.rebuilt(cls, arguments, members, state, native_state)


def _recorded_failure(failure: _Failure) -> BaseException:
    """Return a RecordedFailure that is also an instance of the nearest base that may come back here."""
    for base in _known(failure.bases[1:]):
        error = _attempt(lambda base=base: _failure_below(base, failure), None)  # type: ignore[misc]
        if error is not None:
            return error
    return RecordedFailure(_readable(failure.bases[0]), failure.message, failure.traceback)


def _known(names: Iterable[str]) -> Iterable[type[Exception]]:
    for name in names:
        cls = None if name in _NOT_TELLING else find(name)
        if cls is not None and issubclass(cls, Exception):
            yield cls


def _failure_below(base: Any, failure: _Failure) -> BaseException:
    name = _readable(failure.bases[0])
    text = f"{name}: {failure.message}" if failure.message else name
    error = exceptions.rebuilt(_failure_class(base), [text], (), {}, {})
    state = {"name": name, "message": failure.message, "traceback_text": failure.traceback}
    for attribute, value in state.items():
        object.__setattr__(error, attribute, value)
    return error


@lru_cache(maxsize=128)
def _failure_class(base: Any) -> type[RecordedFailure]:
    members = {"__module__": RecordedFailure.__module__, "__qualname__": "RecordedFailure", "__str__": _told}
    return type("RecordedFailure", (RecordedFailure, base), members)


def _told(error: BaseException) -> str:
    return str(error.args[0])


def _readable(name: str) -> str:
    return name.replace(":", ".").removeprefix("builtins.")


def _traceback_text(error: BaseException) -> str:
    return _attempt(lambda: _clean("".join(traceback.format_exception(error))), "")


def _clean(text: str) -> str:
    """Return a text that can be kept: bounded, its begin and its end whole, without lone surrogates."""
    if len(text) > _MOST_TEXT:
        text = f"{text[: _MOST_TEXT // 4]}\n[…]\n{text[5 - _MOST_TEXT * 3 // 4 :]}"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _attempt(make: Callable[[], T], otherwise: T) -> T:
    try:
        return make()
    except (Exception, RecursionError):
        return otherwise
