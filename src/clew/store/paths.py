"""Which texts of a value are indexed: paths into it, and the texts found there. Nothing of vectors or words.

`$` and `""` are the whole value; `a.b` a key of a key; `a[0]`, `a[-1]` an element; `a[*].b` one text for each
element; `a.*` each value; `{a,b.c}` both; `a[*].{b,c}` both of each element. What is not there gives no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

WHOLE = "$"
_STEP = re.compile(r"\[(?P<index>-?\d{1,9}|\*)\]|\{(?P<choice>[^{}\[\]]*)\}|(?P<name>[^.\[\]{}]+)")


def texts_at(value: dict[str, Any], paths: Sequence[str]) -> list[str]:
    """Give the texts found at the paths, in order, possibly with repetitions."""
    return [text for path in paths for found in _follow(value, _steps(path)) if (text := _as_text(found)) is not None]


def leaf_texts(value: object) -> list[str]:
    """Give every text and number inside a value, in order, without the names of its keys."""
    texts: list[str] = []
    _collect(value, texts)
    return texts


def _collect(value: object, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _collect(inner, texts)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        texts.append(str(value))


def found_at(value: dict[str, Any], paths: Sequence[str]) -> list[Any]:
    """Give the values found at the paths, in order."""
    return [found for path in paths for found in _follow(value, _steps(path))]


def _steps(path: str) -> list[re.Match[str]] | None:
    """Cut a path into its steps; None when it is malformed."""
    if path in ("", WHOLE):
        return []
    steps: list[re.Match[str]] = []
    at = 0
    while at < len(path):
        if path[at] == "." and steps:
            at += 1
        step = _STEP.match(path, at)
        if step is None:
            return None
        steps.append(step)
        at = step.end()
    return steps


def _follow(value: Any, steps: list[re.Match[str]] | None) -> Iterator[Any]:
    if steps is None:
        return
    if not steps:
        yield value
        return
    for found in _step(value, steps[0]):
        yield from _follow(found, steps[1:])


def _step(value: Any, step: re.Match[str]) -> Iterator[Any]:
    index, choice, name = step["index"], step["choice"], step["name"]
    if choice is not None:
        for path in choice.split(","):
            yield from _follow(value, _steps(path.strip()) or None)
    elif index is not None and isinstance(value, list):
        if index == "*":
            yield from value
        elif -len(value) <= int(index) < len(value):
            yield value[int(index)]
    elif name == "*" and isinstance(value, (dict, list)):
        yield from value.values() if isinstance(value, dict) else value
    elif name is not None and isinstance(value, dict) and name in value:
        yield value[name]


def _as_text(found: Any) -> str | None:
    if found is None:
        return None
    if isinstance(found, (dict, list)):
        return json.dumps(found, sort_keys=True, ensure_ascii=False)
    return str(found)
