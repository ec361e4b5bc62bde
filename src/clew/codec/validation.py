"""How pydantic's ValidationError is kept and made again: its class has no constructor, but a list of what is wrong.

Pydantic is never imported for it. The order of the parts is kept in users' databases: add at the end, never reorder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from clew.codec.parts import exactly

NAME = "pydantic_core._pydantic_core:ValidationError"
_PARTS_OF_A_LINE = 5


def find_class() -> type[BaseException] | None:
    """Return the class, if the application has imported pydantic."""
    loaded = sys.modules.get("pydantic_core")
    cls: type[BaseException] | None = getattr(loaded, "ValidationError", None)
    return cls


def parts_of(error: Any) -> tuple[Any, ...]:
    """Return the title, whether input is hidden, and of each thing that is wrong: type, place, text, input, context."""
    hides = "input_value=" not in str(error)
    lines = error.errors(include_url=False, include_input=not hides)
    each = (part for line in lines for part in map(line.get, ("type", "loc", "msg", "input", "ctx")))
    return (error.title, hides, *each)


def rebuilt(cls: Any, parts: Sequence[Any]) -> BaseException:
    """Make the error again from its parts.

    Raises:
        Exception: the parts do not make one.
    """
    title, hides, *rest = parts
    lines = [_line(*rest[at : at + _PARTS_OF_A_LINE]) for at in range(0, len(rest), _PARTS_OF_A_LINE)]
    error: BaseException = cls.from_exception_data(title, lines, hide_input=hides)
    return error


def _line(kind: str, place: Any, text: str, input: Any, about: Any) -> dict[str, Any]:
    core: Any = sys.modules["pydantic_core"]
    context = about if isinstance(about, dict) else None
    line: dict[str, Any] = {"loc": exactly(tuple, place), "input": input}
    try:
        is_known = core.PydanticKnownError(kind, context).message() == text
    except Exception:
        is_known = False
    if is_known:
        return {**line, "type": kind, "ctx": context} if context else {**line, "type": kind}
    # A validator's own kind of error, or one with another text, as for JSON: kept with the text that it had.
    return {**line, "type": core.PydanticCustomError(kind, text, context)}
