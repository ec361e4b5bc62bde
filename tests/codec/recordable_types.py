"""Classes of each kind that an application may record, and a function that names them."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from functools import cached_property
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic

from clew.codec.declared import allow_named_by


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    name: str
    prices: tuple[int, ...] = ()


@dataclasses.dataclass
class Order:
    """Counts how often its constructor ran: reading it back must not."""

    number: int
    lines: list[Line] = dataclasses.field(default_factory=list)
    total: int = dataclasses.field(init=False, default=0)
    made: dataclasses.InitVar[int] = 0

    def __post_init__(self, made: int) -> None:
        raise_where_forbidden()
        self.note = "set by the constructor"

    @cached_property
    def lock(self) -> Any:
        return object()


class Point(NamedTuple):
    x: Any
    y: Any = 0


class Reading(msgspec.Struct, frozen=True):
    value: Any
    unit: str = "m"

    def __post_init__(self) -> None:
        raise_where_forbidden()


@attrs.define
class Parcel:
    weight: int
    labels: list[Any] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        raise_where_forbidden()


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    name: str
    friends: list[Customer] = []
    since: datetime.datetime | None = None
    site: pydantic.HttpUrl | None = None
    password: pydantic.SecretStr | None = None
    _visits: int = pydantic.PrivateAttr(0)
    _lock: Any = pydantic.PrivateAttr(default_factory=lambda: object())

    @pydantic.field_validator("name")
    @classmethod
    def _checked(cls, value: str) -> str:
        raise_where_forbidden()
        return value


class UserId(str):
    __slots__ = ()


class Basket(list):  # type: ignore[type-arg]
    owner = "nobody"


class Declined(ValueError):
    def __init__(self, amount: int, *, code: str) -> None:
        raise_where_forbidden()
        super().__init__(f"{amount} was declined")
        self.code = code


class Stranger:
    """A class that nothing names."""


forbidden = False


def raise_where_forbidden() -> None:
    if forbidden:
        raise AssertionError("a constructor or validator ran while a value was read back")


def names_them(order: Order, point: Point) -> Reading | None:
    """Refer to all of them, in annotations and in code."""
    raise Declined(1, code=str((Colour, Level, Mode, Access, Parcel, Customer, UserId, Basket)))


allow_named_by(names_them)
