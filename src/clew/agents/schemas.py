"""What a function takes, as a JSON schema, and checked: by pydantic, which is imported inside these functions alone."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Any

from clew.agents.forms import Json
from clew.errors import InvalidOption, MissingDependency


class Schema:
    """A type, or the parameters of a function, as JSON.

    Args:
        kind: a pydantic model, a dataclass, a TypedDict; or a function.
        what: named where there is no such schema.

    Raises:
        InvalidOption: it has no schema that is an object.
        MissingDependency: pydantic is not installed.
    """

    def __init__(self, kind: Any, what: str) -> None:
        try:
            from pydantic import TypeAdapter
        except ModuleNotFoundError as error:
            raise MissingDependency("tools and outputs of agents need pydantic: pip install 'clew[agents]'") from error
        try:
            self._adapter: Any = TypeAdapter(kind)
            self.json: Json = self._adapter.json_schema()
        except Exception as error:
            raise InvalidOption(f"{what} cannot be told to a model: {error}") from error
        if self.json.get("type") != "object" and "$ref" not in self.json:
            raise InvalidOption(f"{what} must be an object with named parts, such as a dataclass or a pydantic model")

    def read(self, given: Json | str) -> Any:
        """Return the value of a JSON object, or of its text.

        Raises:
            ValueError: it does not fit; says where.
        """
        from pydantic import ValidationError
        from pydantic_core import to_json

        try:
            return self._adapter.validate_json(given if isinstance(given, str) else to_json(given))
        except ValidationError as error:
            raise ValueError(_told(error)) from error


def schema_of_parameters(function: Callable[..., Any], name: str, without: Collection[str]) -> Schema:
    """Return the schema of a function's parameters. Reading gives them by name, with the defaults."""
    try:
        hints = typing.get_type_hints(hinted(function), include_extras=True)
    except NameError as error:
        raise InvalidOption(f"tool {name!r} has a hint that means nothing in its module: {error}") from error
    shown = [
        parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in without
    ]

    def taken(**parameters: Any) -> Json:
        return parameters

    taken.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    taken.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return Schema(taken, f"tool {name!r}")


def hinted(function: Callable[..., Any]) -> Any:
    """Return the function that bears the hints: under decorators and partials, or of a callable object."""
    function = inspect.unwrap(function)
    if isinstance(function, functools.partial):
        return hinted(function.func)
    return function if inspect.isroutine(function) else type(function).__call__


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether a function is async, under decorators and partials, too."""
    return inspect.iscoroutinefunction(hinted(function))


def _told(error: Any) -> str:
    """Say what is wrong and where, without pydantic's links and without the input, which may be long."""
    wrong = [(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors(include_url=False)]
    return "; ".join(f"{place}: {what}" if place else what for place, what in wrong)


def as_text(value: Any) -> str:
    """Return what a tool gave as the text that a model reads: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    from pydantic_core import to_json

    return to_json(value, fallback=str).decode()
