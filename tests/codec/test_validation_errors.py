"""A ValidationError of pydantic comes back as itself, with everything that was wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from pydantic_core import PydanticCustomError

from clew.codec.failures import decode_failure, encode_failure
from clew.errors import RecordedFailure


class Order(pydantic.BaseModel):
    amount: int
    places: list[int] = []

    @pydantic.field_validator("amount")
    @classmethod
    def be_payable(cls, amount: int) -> int:
        if amount < 0:
            raise ValueError("{amount} is less than nothing")
        if amount == 0:
            raise PydanticCustomError("free", "nothing costs {price}", {"price": 0})
        return amount


class Login(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(hide_input_in_errors=True)
    pin: int


def error_of(make: Callable[[], Any]) -> pydantic.ValidationError:
    with pytest.raises(pydantic.ValidationError) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: Order(amount="many", places=3),  # type: ignore[arg-type]
        lambda: Order(amount=-1),
        lambda: Order(amount=0),
        lambda: Order(),  # type: ignore[call-arg]
        lambda: Order(amount=1, places=[1, "x"]),  # type: ignore[list-item]
        lambda: Order.model_validate_json("{"),
        lambda: Login(pin="secret"),  # type: ignore[arg-type]
        lambda: pydantic.TypeAdapter(int).validate_python("a"),
    ],
)
def test_it_comes_back_with_all_that_was_wrong(make: Callable[[], Any]) -> None:
    error = error_of(make)
    error.add_note("while ordering")
    back = decode_failure(encode_failure(error))
    assert isinstance(back, pydantic.ValidationError)
    assert (str(back), back.title, back.__notes__) == (str(error), error.title, ["while ordering"])
    assert [(line["type"], line["loc"], line["msg"]) for line in back.errors()] == [
        (line["type"], line["loc"], line["msg"]) for line in error.errors()
    ]


def test_the_text_that_json_has_of_its_own_is_kept() -> None:
    back = decode_failure(encode_failure(error_of(lambda: Order.model_validate_json('{"amount": 1, "places": 3}'))))
    assert isinstance(back, pydantic.ValidationError)
    assert back.errors()[0]["msg"] == "Input should be a valid array"


def test_an_input_that_cannot_be_kept_is_kept_as_text() -> None:
    back = decode_failure(encode_failure(error_of(lambda: Order(amount=print))))  # type: ignore[arg-type]
    assert isinstance(back, pydantic.ValidationError)
    assert back.errors()[0]["input"] == "<built-in function print>"


def test_hidden_input_is_not_recorded() -> None:
    secret: Any = "".join(["hunter", "2"])
    data = encode_failure(error_of(lambda: Login(pin=secret)))
    assert b"hunter2" not in data


def test_one_that_was_recorded_as_text_alone_comes_back_as_text() -> None:
    error = error_of(lambda: Order(amount=-1))
    shown = type("ValidationError", (ValueError,), {"__module__": "pydantic_core._pydantic_core"})(str(error))
    back = decode_failure(encode_failure(shown))
    assert isinstance(back, RecordedFailure)
    assert isinstance(back, ValueError)
    assert "less than nothing" in str(back)
