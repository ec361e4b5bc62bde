"""What a call raised, to bytes and back. Writing never fails: what cannot be kept is kept as text.

The user's own exception comes back as itself if its class may come back here; otherwise as a RecordedFailure, which is
also an instance of the nearest base that is known here, so that `except ValueError` catches the same error on replay.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from clew.codec import exceptions
from clew.codec.allowed import find, name_of
from clew.codec.values import decode, encode
from clew.errors import NotRecordable, RecordedFailure, UnreadableRecord

_MOST_CAUSES = 8
_MOST_MEMBERS = 64
_MOST_TEXT = 20_000
_TOO_GENERAL = {"builtins:Exception", "builtins:BaseException", "builtins:object"}
_FIELDS = ("bases", "message", "arguments", "state", "native_state", "members", "traceback", "cause", "suppressed")


def encode_failure(error: BaseException) -> bytes:
    """Return the bytes of an exception, whatever it holds. It never raises."""
    try:
        return encode(_parts(error, 0))
    except Exception:
        return encode(_bare_parts(error))


def decode_failure(data: bytes | bytearray | memoryview) -> BaseException:
    """Return the exception that `encode_failure` made these bytes from, with its notes and its causes.

    Its traceback as text is its attribute `recorded_traceback`.

    Raises:
        UnreadableRecord: the bytes are damaged.
    """
    parts = decode(data)
    try:
        return _made_from(parts, 0)
    except UnreadableRecord:
        raise
    except Exception as error:
        raise UnreadableRecord(f"the recorded failure is damaged: {error}") from error


def _parts(error: BaseException, depth: int) -> dict[str, Any]:
    """Return what is kept of an exception. Values that may not come back are kept apart, as bytes of their own."""
    is_group = isinstance(error, BaseExceptionGroup)
    deeper = depth < _MOST_CAUSES
    members = error.exceptions[:_MOST_MEMBERS] if isinstance(error, BaseExceptionGroup) and deeper else ()
    arguments = exceptions.arguments_of(error)
    state = _attempt(lambda: exceptions.state_of(error), {})
    recorded = state.pop("recorded_traceback", None)
    cause = error.__cause__
    return {
        "bases": [name_of(cls) for cls in type(error).__mro__ if issubclass(cls, BaseException)],
        "message": _short(exceptions.text_of(error)),
        "arguments": [_kept(argument) for argument in (arguments[:1] if is_group else arguments)],
        "state": {name: _kept(value) for name, value in state.items()},
        "native_state": {name: _kept(value) for name, value in exceptions.native_state_of(error).items()},
        "members": [_parts(member, depth + 1) for member in members],
        "traceback": recorded if isinstance(recorded, str) else _traceback_text(error) if depth == 0 else "",
        "cause": _parts(cause, depth + 1) if cause is not None and deeper else None,
        "suppressed": error.__suppress_context__,
    }


def _bare_parts(error: BaseException) -> dict[str, Any]:
    empty = {"arguments": [], "state": {}, "native_state": {}, "members": [], "traceback": "", "cause": None}
    name = f"{type(error).__module__}:{type(error).__qualname__}".encode(errors="replace").decode()
    return {"bases": [name], "message": "", "suppressed": False, **empty}


def _kept(value: Any) -> bytes:
    """Return the bytes of a value, or of a text for it."""
    try:
        return encode(value)
    except NotRecordable:
        return encode(_short(_attempt(lambda: repr(value), f"<{type(value).__qualname__}>")))


def _made_from(parts: Any, depth: int) -> BaseException:
    if type(parts) is not dict or parts.keys() != set(_FIELDS) or depth > _MOST_CAUSES + 1:
        raise UnreadableRecord("the record holds no failure")
    bases, message, text = parts["bases"], parts["message"], parts["traceback"]
    if not all(isinstance(t, str) for t in (*bases, message, text)) or not bases:
        raise UnreadableRecord("the recorded failure has no name")
    members = [_made_from(member, depth + 1) for member in parts["members"]]
    error = _original(parts, members) or _recorded_failure(bases, message, text)
    if parts["cause"] is not None:
        error.__cause__ = _made_from(parts["cause"], depth + 1)
    error.__suppress_context__ = parts["suppressed"] is True
    if text:
        _attempt(lambda: object.__setattr__(error, "recorded_traceback", text), None)
    return error


def _original(parts: dict[str, Any], members: list[BaseException]) -> BaseException | None:
    """Return an exception of the recorded class, or None if the class or what it holds may not come back here."""
    cls = find(parts["bases"][0])
    if cls is None or not issubclass(cls, BaseException):
        return None
    try:
        arguments = [decode(argument) for argument in parts["arguments"]]
        if issubclass(cls, BaseExceptionGroup):
            arguments.append(members)
        state = {name: decode(value) for name, value in parts["state"].items()}
        native_state = {name: decode(value) for name, value in parts["native_state"].items()}
        return exceptions.rebuilt(cls, arguments, state, native_state)
    except Exception:  # what it holds may not come back, or the class has changed: its text still tells
        return None


def _recorded_failure(bases: list[str], message: str, text: str) -> BaseException:
    name = bases[0].replace(":", ".").removeprefix("builtins.")
    for base in bases[1:]:
        cls = None if base in _TOO_GENERAL else find(base)
        if cls is not None and issubclass(cls, Exception) and not issubclass(cls, BaseExceptionGroup):
            failure = _attempt(lambda cls=cls: _failure_of(cls, name, message, text), None)
            if failure is not None:
                return failure
    return RecordedFailure(name, message, text)


def _failure_of(base: type[Exception], name: str, message: str, text: str) -> BaseException:
    """Make a RecordedFailure that is also an instance of `base`, without calling a constructor of the user's."""
    cls = RecordedFailure
    if not issubclass(cls, base):
        members = {"__module__": RecordedFailure.__module__, "__qualname__": "RecordedFailure", "__str__": _told}
        cls = type("RecordedFailure", (RecordedFailure, base), members)
    error = exceptions.rebuilt(cls, [f"{name}: {message}" if message else name], {}, {})
    for attribute, value in (("name", name), ("message", message), ("traceback_text", text)):
        object.__setattr__(error, attribute, value)
    return error


def _told(error: BaseException) -> str:
    return str(error.args[0])


def _traceback_text(error: BaseException) -> str:
    return _attempt(lambda: _short("".join(traceback.format_exception(error))), "")


def _short(text: str) -> str:
    """Return a text of bounded length, its begin and its end kept: the end says where it failed."""
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[: _MOST_TEXT // 4]}\n[…]\n{text[len(text) - _MOST_TEXT * 3 // 4 + 5 :]}"


def _attempt(make: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return make()
    except Exception:
        return otherwise
