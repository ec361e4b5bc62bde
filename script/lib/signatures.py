"""Tells the reference how classes are called that Python itself writes `__init__` for, or that have a `__new__`."""

from __future__ import annotations

from typing import Any

from griffe import Class, Extension, Function, Parameter, ParameterKind, Parameters

_HAVE_FIELDS = {"msgspec.Struct", "typing.NamedTuple"}


class Signatures(Extension):
    """Give Structs, named tuples and classes with `__new__` the `__init__` that their callers see."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Add `__init__` to the class, if it has none and one can be told."""
        if "__init__" in cls.members:
            return
        if "__new__" in cls.members:
            called = cls.members["__new__"].parameters
        elif _has_fields(cls):
            called = Parameters(Parameter("self", kind=ParameterKind.positional_or_keyword), *_fields(cls))
        else:
            return
        cls.set_member("__init__", Function("__init__", parameters=called))


def _has_fields(cls: Class) -> bool:
    bases = {base if isinstance(base, str) else base.canonical_path for base in cls.bases}
    return bool(bases & _HAVE_FIELDS) or any(_has_fields(base) for base in cls.resolved_bases)


def _fields(cls: Class) -> list[Parameter]:
    inherited = [field for base in cls.resolved_bases if _has_fields(base) for field in _fields(base)]
    kind = ParameterKind.keyword_only if cls.keywords.get("kw_only") else ParameterKind.positional_or_keyword
    own = [
        Parameter(name, annotation=member.annotation, kind=kind, default=member.value)
        for name, member in cls.members.items()
        if member.is_attribute and member.annotation is not None and "property" not in member.labels
    ]
    return inherited + own
