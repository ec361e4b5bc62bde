"""What a call raised comes back as itself where it may, and as text where not; writing it never fails."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pydantic
import pytest

from clew.codec.failures import decode_failure, encode_failure
from clew.errors import Conflict, NodeTimeoutError, RecordedFailure, Suspended, UnreadableRecord
from codec import recordable_types as app


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def again(error: BaseException) -> Any:
    return decode_failure(encode_failure(error))


class Unnamed(LookupError):
    """An exception that nothing names to the codec."""


def test_own_exception_comes_back_as_itself_without_its_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    error = raised(app.Declined(5, code="limit"))
    error.add_note("while paying")
    data = encode_failure(error)
    monkeypatch.setattr(app, "forbidden", True)
    back = decode_failure(data)
    assert (type(back), back.args, str(back)) == (app.Declined, ("5 was declined",), "5 was declined")
    assert (back.code, back.__notes__) == ("limit", ["while paying"])  # type: ignore[attr-defined]


def test_traceback_comes_back_as_text() -> None:
    back = again(raised(app.Declined(1, code="x")))
    assert "raise error from cause" in back.recorded_traceback
    assert again(back).recorded_traceback == back.recorded_traceback


def test_causes_come_back() -> None:
    inner = raised(KeyError("row"))
    back = again(raised(ValueError("bad"), raised(RuntimeError("middle"), inner)))
    assert (type(back.__cause__), type(back.__cause__.__cause__)) == (RuntimeError, KeyError)
    assert back.__suppress_context__


def test_endless_causes_are_cut() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    assert again(first).args == (1,)


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        (FileNotFoundError, lambda: os.stat("/nowhere/at/all")),
        (UnicodeDecodeError, lambda: b"\xff".decode()),
        (KeyError, lambda: {}["key"]),
        (SyntaxError, lambda: compile("a b", "file.py", "exec")),
        (AttributeError, lambda: [].nothing),  # type: ignore[attr-defined]
        (ModuleNotFoundError, lambda: __import__("no_such_module_here")),
        (StopIteration, lambda: next(iter(()))),
        (SystemExit, lambda: sys.exit(3)),
        (ZeroDivisionError, lambda: 1 / 0),
    ],
)
def test_builtin_exception_comes_back_with_what_it_keeps(expected: type[BaseException], make: Any) -> None:
    with pytest.raises(expected) as caught:
        make()
    error = caught.value
    back = again(error)
    assert (type(back), str(back), back.args) == (type(error), str(error), error.args)
    for name in ("errno", "filename", "start", "reason", "code", "name", "lineno", "value"):
        assert getattr(back, name, None) == getattr(error, name, None)


@pytest.mark.parametrize(
    "error",
    [
        NodeTimeoutError("task", 2.5, kind="run", run_timeout=2.0),
        Conflict("another writer"),
        RecordedFailure("a.B", "text", "trace"),
        Suspended(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_clews_own_errors_come_back_as_themselves(error: BaseException) -> None:
    back = again(error)
    assert type(back) is type(error)
    assert {**vars(back), "recorded_traceback": 0} == {**vars(error), "recorded_traceback": 0}
    assert str(back) == str(error)


class TestUnknownClass:
    def test_comes_back_as_a_recorded_failure_with_its_text(self) -> None:
        back = again(raised(type("Elsewhere", (Exception,), {"__module__": "gone.away"})("what happened")))
        assert isinstance(back, RecordedFailure)
        assert (back.name, back.message) == ("gone.away.Elsewhere", "what happened")
        assert "raise error from cause" in back.traceback_text
        assert str(back) == "gone.away.Elsewhere: what happened"

    @pytest.mark.parametrize("base", [ValueError, KeyError, OSError, ImportError, UnicodeError, app.Declined])
    def test_is_still_caught_by_the_nearest_base_that_is_known(self, base: Any) -> None:
        cls = type("Elsewhere", (base,), {"__module__": "gone.away", "__init__": lambda self: None})
        with pytest.raises(base) as caught:
            raise again(cls())
        assert isinstance(caught.value, RecordedFailure if base is not app.Declined else base)

    def test_error_of_a_library_is_still_caught_by_its_base(self) -> None:
        try:
            ElementTree.fromstring("<")
        except SyntaxError as error:
            back = again(error)
        assert isinstance(back, SyntaxError)
        assert isinstance(back, RecordedFailure)
        assert back.name == "xml.etree.ElementTree.ParseError"
        assert "unclosed token" in back.message

    def test_error_of_pydantic_keeps_its_text_where_pydantic_is_not_imported(self) -> None:
        with pytest.raises(pydantic.ValidationError) as caught:
            app.Customer(name=[])  # type: ignore[arg-type]
        script = (
            "import sys; from clew.codec.failures import decode_failure\n"
            "back = decode_failure(sys.stdin.buffer.read())\n"
            "print(type(back).__name__, isinstance(back, ValueError), 'valid string' in str(back))\n"
            "print('pydantic_core' in sys.modules)"
        )
        told = subprocess.run(
            [sys.executable, "-c", script], input=encode_failure(caught.value), capture_output=True, check=True
        )
        assert told.stdout.split() == [b"RecordedFailure", b"True", b"True", b"False"]

    def test_class_is_never_imported(self) -> None:
        script = (
            "import sys; from clew.codec.failures import decode_failure\n"
            "print(repr(type(decode_failure(sys.stdin.buffer.read())).__name__), 'wave' in sys.modules)"
        )
        error = type("Error", (Exception,), {"__module__": "wave"})("x")
        told = subprocess.run(
            [sys.executable, "-c", script], input=encode_failure(error), capture_output=True, check=True
        )
        assert told.stdout.split() == [b"'RecordedFailure'", b"False"]


class TestWhatCannotBeKept:
    def test_argument_is_kept_as_text(self) -> None:
        back = again(ValueError(len, (1,)))
        assert back.args == ("<built-in function len>", (1,))

    def test_attribute_is_kept_as_text(self) -> None:
        error = app.Declined(1, code="x")
        error.client = app.Stranger()  # type: ignore[attr-defined]
        assert "Stranger" in again(error).client

    def test_hostile_exception_is_kept_somehow(self) -> None:
        class Hostile(Exception):
            def __str__(self) -> str:
                raise RuntimeError

            __repr__ = __str__

            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError

        assert "Hostile" in again(Hostile(app.Stranger())).name

    @pytest.mark.parametrize("text", ["\ud800", "x\0y", "long " * 50_000])
    def test_odd_and_long_texts_are_kept_within_bounds(self, text: str) -> None:
        data = encode_failure(raised(type("Elsewhere", (Exception,), {})(text)))
        assert len(data) < 350_000
        assert isinstance(decode_failure(data), RecordedFailure)

    def test_recursion_error_is_kept(self) -> None:
        def endless() -> None:
            endless()

        with pytest.raises(RecursionError) as caught:
            endless()
        assert type(again(caught.value)) is RecursionError


class TestGroups:
    def test_group_comes_back_with_its_members(self) -> None:
        back = again(
            ExceptionGroup("both", [ValueError(1), app.Declined(2, code="x"), ExceptionGroup("in", [KeyError(3)])])
        )
        assert (type(back), back.message) == (ExceptionGroup, "both")
        assert [type(member) for member in back.exceptions] == [ValueError, app.Declined, ExceptionGroup]
        assert back.exceptions[1].code == "x"

    def test_group_of_an_unknown_class_keeps_its_members(self) -> None:
        cls = type("Elsewhere", (ExceptionGroup,), {"__module__": "gone.away"})
        matched, _ = again(cls("both", [ValueError(1), KeyError(2)])).split(KeyError)
        assert matched.exceptions[0].args == (2,)

    def test_group_with_a_base_exception_comes_back(self) -> None:
        back = again(BaseExceptionGroup("g", [KeyboardInterrupt()]))
        assert isinstance(back.exceptions[0], KeyboardInterrupt)


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x91\x90", b"\x92\x90\xa0"])
def test_damaged_failure_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode_failure(data)
