"""What the suite of a store works with: a clock, an embedder that counts letters, any values and filters."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from clew.store.base import BaseStore

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 0.5, 1.0, 1e300, 5e-324])
    | st.sampled_from(
        ["", "a", "A", "ab", "1", "1.0", "true", "null", "é", "e\u0301", "'", '"', "%", "_", "日本", "🙂"]
    )
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
)
memories = st.dictionaries(st.sampled_from(["a", "b", "c-d", "0"]), json_values, max_size=3)
operands = json_values | st.sampled_from([float("nan"), float("inf"), -float("inf"), 10**30, "a\x00"])
places = st.sampled_from(["a", "b", "c-d", "0", "a.a", "a.b", "a.0", "b.1.a", "missing"])
conditions = (
    st.dictionaries(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"]), operands, min_size=1)
    | st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(operands, max_size=3), min_size=1)
    | st.booleans().map(lambda yes: {"$exists": yes})
)
filters = st.recursive(
    st.dictionaries(places, operands | conditions | conditions.map(lambda c: {"$not": c}), max_size=2),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts})
        | inner.map(lambda part: {"$not": part})
    ),
    max_leaves=4,
)

OpenStore = Callable[..., AbstractContextManager[Any]]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class Letters:
    """An embedder that counts letters, and can be made to fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.length = 26

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.error:
            raise self.error
        self.asked.extend(texts)
        return [letters(text)[: self.length] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        if self.error:
            raise self.error
        return letters(text)[: self.length]


def letters(text: str) -> list[float]:
    return [float(text.lower().count(chr(97 + i))) for i in range(26)]


def similarity(a: str, b: str) -> float:
    u, v = letters(a), letters(b)
    lengths = math.sqrt(sum(x * x for x in u) * sum(y * y for y in v))
    return sum(x * y for x, y in zip(u, v, strict=True)) / lengths


class Caller:
    """Calls a store's verbs in one colour."""

    def __init__(self, store: BaseStore, colour: str) -> None:
        self.store: Any = store
        self.colour = colour

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if self.colour == "sync":
            return getattr(self.store, verb)  # type: ignore[no-any-return]

        def call(*args: Any, **kwargs: Any) -> Any:
            async def wait() -> Any:
                return await getattr(self.store, f"a{verb}")(*args, **kwargs)

            return asyncio.run(wait())

        return call
