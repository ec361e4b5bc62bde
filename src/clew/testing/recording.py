"""What was asked of models and what they answered, kept in a file of JSON that people can read and compare.

An answer is given once, to the request that it was recorded for. It knows neither HTTP servers nor pytest.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from clew.errors import InvalidOption

_SECRET = frozenset({"access_token", "api_key", "api-key", "apikey", "key", "sig", "token"})
_MOST_LINES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, without what tells who asks: its headers, and keys in its address.

    Args:
        to: the provider's name.
        method: of HTTP.
        path: below that address, with the query.
        body: as JSON, or as text where it is none.
    """

    to: str
    method: str
    path: str
    body: Any

    @classmethod
    def of(cls, to: str, method: str, path: str, body: bytes) -> Asked:
        """Make it of what was sent."""
        parts = urlsplit(path)
        query = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in _SECRET]
        shown = parts.path + (f"?{urlencode(query)}" if query else "")
        return cls(to=to, method=method, path=shown, body=_readable(body))

    @property
    def text(self) -> str:
        """All of it, for people and for comparing."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer: its body as it came, also where it was streamed."""

    status: int
    content_type: str
    body: str


class Recording:
    """The requests of one test with their answers.

    Args:
        path: the file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = _read(path) if path.exists() else []
        self._left = list(self._kept)
        self._new: list[tuple[Asked, Answered]] = []

    def answer(self, asked: Asked) -> Answered | None:
        """Give the next answer that was recorded for a request; None if there is none, or none any more."""
        for place, (recorded, answered) in enumerate(self._left):
            if recorded.text == asked.text:
                del self._left[place]
                return answered
        return None

    def add(self, asked: Asked, answered: Answered) -> None:
        """Take in what a model has answered."""
        self._new.append((asked, answered))

    def save(self) -> None:
        """Write what was recorded now, in place of the file's earlier contents; nothing if nothing was."""
        if not self._new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entries = [{"asked": asdict(asked), "answered": asdict(answered)} for asked, answered in self._new]
        self.path.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def why_unknown(self, asked: Asked) -> str:
        """Say how a request that has no answer differs from what was recorded."""
        if not self._kept:
            return f"nothing is recorded in {self.path}; record it once: pytest --clew-record"
        if any(recorded.text == asked.text for recorded, _ in self._kept):
            return f"this request was made more often than it is recorded in {self.path}; record anew: --clew-record"
        recorded = [each.text for each, _ in self._left or self._kept]
        (nearest,) = difflib.get_close_matches(asked.text, recorded, n=1, cutoff=0.0)
        return (
            f"this request is not recorded in {self.path}. The nearest differs so:\n"
            f"{_difference(nearest, asked.text)}\n"
            "If the change is meant, record anew: pytest --clew-record"
        )


def _readable(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> list[tuple[Asked, Answered]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [(Asked(**entry["asked"]), Answered(**entry["answered"])) for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidOption(f"{path} is no recording of a model ({error!r}); delete it, and record it anew") from error


def _difference(recorded: str, now: str) -> str:
    lines: Sequence[str] = list(
        difflib.unified_diff(recorded.splitlines(), now.splitlines(), "recorded", "asked now", lineterm="", n=2)
    )
    more = [f"... and {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *more])
