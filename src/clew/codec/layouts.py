"""Where an object of a user's class keeps its state, and how that state is put back without calling the class.

It knows attributes and slots. It does not know bytes, nor which classes are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cached_property
from types import MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Struct

# What attrs keeps for itself beside the fields; a hash of text differs from process to process.
_PRIVATE_TO_ATTRS = frozenset({"_attrs_cached_hash"})


class Layout(Struct, frozen=True, kw_only=True):
    """Where objects of one class keep their state.

    Args:
        slots: the slots of the class and its bases.
        passing: attributes that are no state: cached properties.
        required: fields that every object has.
        defaults: makers of the values of fields that a record from before they were declared does not have.
        on_class: fields whose default is an attribute of the class, so that an object may be without them.
        compared: the fields that count when two objects are compared, or None where the class does not say.
    """

    slots: Mapping[str, MemberDescriptorType]
    passing: frozenset[str]
    required: frozenset[str]
    defaults: Mapping[str, Callable[[], Any]]
    on_class: frozenset[str]
    compared: frozenset[str] | None

    def state(self, value: Any) -> dict[str, Any]:
        """Return the attributes of an object by name, without calling what a user wrote."""
        state = {name: slot.__get__(value) for name, slot in self.slots.items() if _is_set(slot, value)}
        if attributes := attributes_of(value):
            state.update((k, v) for k, v in attributes.items() if k not in self.passing)
        return state

    def compared_state(self, value: Any) -> dict[str, Any]:
        """Return the attributes that count when two objects are compared."""
        state = self.state(value)
        if self.compared is None:
            return state
        missing = {name: self.defaults[name]() for name in self.on_class - state.keys()}
        return {name: item for name, item in (state | missing).items() if name in self.compared}

    def restore(self, value: Any, state: Mapping[str, Any]) -> None:
        """Put the attributes back.

        Raises:
            ValueError: the class has a field now that the record does not have, or the other way round.
        """
        attributes = attributes_of(value)
        for name, item in state.items():
            if slot := self.slots.get(name):
                slot.__set__(value, item)
            elif attributes is None or type(name) is not str:
                raise ValueError(f"it was recorded with {name!r}, which the class no longer has")
            else:
                attributes[name] = item
        for name in self.required - state.keys():
            raise ValueError(f"the class has a field {name!r} now that was not recorded; give it a default")
        for name, make in self.defaults.items():
            if name not in state and name not in self.on_class:
                object.__setattr__(value, name, make())


def layout_of(cls: type) -> Layout:
    """Return where objects of a class keep their state."""
    layout = _layouts.get(cls)
    if layout is None:
        layout = _layouts[cls] = _look_at(cls)
    return layout


def attributes_of(value: Any) -> dict[str, Any] | None:
    """Return the `__dict__` of an object, or None if it has none, without calling what a user wrote."""
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return attributes if type(attributes) is dict else None


def _look_at(cls: type) -> Layout:
    slots: dict[str, MemberDescriptorType] = {}
    passing = set(_PRIVATE_TO_ATTRS)
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType and base.__module__ != "builtins":
                slots[name] = member
            elif isinstance(member, cached_property):
                passing.add(name)
    required, defaults = _fields_of(cls)
    return Layout(
        slots=slots, passing=frozenset(passing), required=frozenset(required), defaults=defaults,
        on_class=frozenset(name for name in defaults if name in vars(cls) and name not in slots),
        compared=_compared_in(cls),
    )  # fmt: skip


def _compared_in(cls: type) -> frozenset[str] | None:
    if is_dataclass(cls):
        eq = cls.__dataclass_params__.eq  # type: ignore[attr-defined]
        return frozenset(field.name for field in fields(cls) if field.compare) if eq else None
    if attributes := getattr(cls, "__attrs_attrs__", None):
        return frozenset(attribute.name for attribute in attributes if attribute.eq) or None
    return None


def _fields_of(cls: type) -> tuple[set[str], dict[str, Callable[[], Any]]]:
    """Return the fields without and with a default."""
    required: set[str] = set()
    defaults: dict[str, Callable[[], Any]] = {}
    for field in fields(cls) if is_dataclass(cls) else ():
        if field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory
        elif field.default is not MISSING:
            defaults[field.name] = _always(field.default)
        elif field.init:
            required.add(field.name)
    for attribute in getattr(cls, "__attrs_attrs__", ()):
        default = attribute.default
        if type(default).__name__ == "Factory" and not default.takes_self:
            defaults[attribute.name] = default.factory
        elif type(default).__name__ not in ("_Nothing", "Factory"):
            defaults[attribute.name] = _always(default)
        elif attribute.init and type(default).__name__ != "Factory":
            required.add(attribute.name)
    return required, defaults


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _is_set(slot: MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


_layouts: WeakKeyDictionary[type, Layout] = WeakKeyDictionary()
