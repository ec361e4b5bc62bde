"""What every store must do, on every engine and in both colours: one suite.

An engine's tests derive from StoreContract and give `open_store`, which makes an empty store from an index, a ttl,
a search mode and a clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import (
    Conflict,
    EmbeddingError,
    InvalidFilter,
    InvalidNamespaceError,
    InvalidValue,
    UsageError,
    VersionConflict,
)
from clew.store.base import BaseStore
from clew.store.filters import matches, parse_filter
from clew.store.operations import GetOp, Item, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from clew.store.settings import check_settings
from contracts.store_history_contract import HistoryContract

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

OpenStore = Callable[..., AbstractContextManager[BaseStore]]


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
    return sum(x * y for x, y in zip(u, v, strict=True)) / (sum(x * x for x in u) * sum(y * y for y in v)) ** 0.5


class Caller:
    """Calls a store's verbs in one colour."""

    def __init__(self, store: BaseStore, colour: str) -> None:
        self.store = store
        self.colour = colour

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if self.colour == "sync":
            return getattr(self.store, verb)  # type: ignore[no-any-return]

        def call(*args: Any, **kwargs: Any) -> Any:
            async def wait() -> Any:
                return await getattr(self.store, f"a{verb}")(*args, **kwargs)

            return asyncio.run(wait())

        return call


class StoreContract(HistoryContract):
    """The promises of a store."""

    #: What is kept of "ConnectionError: no network".
    kept_reason = "ConnectionError: no network"

    open_store: OpenStore

    @pytest.fixture(params=["sync", "async"])
    def colour(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, open_store: OpenStore, colour: str, clock: Clock) -> Iterator[Caller]:
        with open_store(clock=clock) as store:
            yield Caller(store, colour)

    @pytest.fixture
    def embedder(self) -> Letters:
        return Letters()

    @pytest.fixture
    def semantic(self, open_store: OpenStore, colour: str, embedder: Letters, clock: Clock) -> Iterator[Caller]:
        index = {"dims": 26, "embed": embedder, "fields": ["text"]}
        with open_store(index=index, clock=clock) as store:
            yield Caller(store, colour)

    @pytest.fixture
    def hybrid(self, open_store: OpenStore, colour: str, embedder: Letters, clock: Clock) -> Iterator[Caller]:
        with open_store(index={"dims": 26, "embed": embedder}, search_mode="hybrid", clock=clock) as store:
            yield Caller(store, colour)

    # Items

    def test_what_is_put_is_got(self, store: Caller, clock: Clock) -> None:
        value = {"a": 1, "b": [True, None, 1.5, "ü"], "c": {"d": {}}}
        store.put(("m", "1"), "k", value)
        assert store.get(("m", "1"), "k") == Item(
            value=value, key="k", namespace=("m", "1"), created_at=clock.now, updated_at=clock.now
        )

    def test_what_was_never_put_is_none(self, store: Caller) -> None:
        store.put(("m", "1"), "k", {})
        assert store.get(("m", "1"), "other") is None
        assert store.get(("m",), "k") is None

    def test_a_put_replaces_and_keeps_when_it_was_created(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {"a": 1})
        created = clock.now
        clock.move(minutes=1)
        store.put(("m",), "k", {"a": 2})
        item = store.get(("m",), "k")
        assert (item.value, item.created_at, item.updated_at, item.version) == ({"a": 2}, created, clock.now, 2)

    def test_an_update_is_later_even_when_the_clock_stands_still(self, store: Caller) -> None:
        store.put(("m",), "k", {"a": 1})
        before = store.get(("m",), "k").updated_at
        store.put(("m",), "k", {"a": 2})
        assert store.get(("m",), "k").updated_at > before

    def test_times_are_utc_with_microseconds(self, store: Caller, clock: Clock) -> None:
        clock.move(microseconds=1)
        store.put(("m",), "k", {})
        item = store.get(("m",), "k")
        assert item.created_at.utcoffset() == timedelta(0)
        assert item.created_at.microsecond == 1

    def test_values_are_copied_in_and_out(self, store: Caller) -> None:
        value = {"list": [1]}
        store.put(("m",), "k", value)
        value["list"].append(2)
        store.get(("m",), "k").value["list"].append(3)
        store.search(("m",))[0].value["list"].append(4)
        assert store.get(("m",), "k").value == {"list": [1]}

    def test_deleted_items_are_gone(self, store: Caller) -> None:
        for key in "abc":
            store.put(("m",), key, {})
        store.delete(("m",), "a")
        store.put(("m",), "b", None)
        store.batch([PutOp(("m",), "c", None)])
        store.delete(("m",), "never there")
        assert store.search(("m",)) == []
        assert store.list_namespaces() == []

    def test_an_item_put_again_after_its_deletion_is_new(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {})
        store.delete(("m",), "k")
        clock.move(seconds=1)
        store.put(("m",), "k", {})
        item = store.get(("m",), "k")
        assert (item.created_at, item.version) == (clock.now, 2)

    def test_a_lost_update_is_a_conflict(self, store: Caller) -> None:
        store.put(("m",), "k", {"n": 1}, if_version=0)
        store.put(("m",), "k", {"n": 2}, if_version=1)
        with pytest.raises(Conflict, match="version 2, not 1"):
            store.put(("m",), "k", {"n": 3}, if_version=1)
        with pytest.raises(Conflict):
            store.put(("m",), "k", {"n": 3}, if_version=0)
        assert store.get(("m",), "k").value == {"n": 2}

    def test_a_conflict_takes_back_the_whole_transaction(self, store: Caller) -> None:
        store.put(("m",), "k", {"n": 1})
        with pytest.raises(Conflict):
            store.batch([PutOp(("m",), "new", {}), PutOp(("m",), "k", None), PutOp(("m",), "k", {}, if_version=9)])
        assert store.get(("m",), "new") is None
        assert store.get(("m",), "k").version == 1

    @pytest.mark.parametrize(
        "label",
        [
            "_",
            "%",
            "a%b",
            "*",
            "?",
            "[x]",
            "a\nb",
            "日本",
            "🙂",
            "A",
            "a",
            "a ",
            "x\x00y",
            "\x00",
            "'; DROP TABLE x--",
            "\\",
        ],
    )
    def test_keys_and_labels_hold_any_characters(self, store: Caller, label: str) -> None:
        others = ["_", "%", "a", "A", "ab", "a%b", "x", "x\x00y", "\x00", "*", label + "b"]
        for other in others:
            store.put((other,), other, {"mine": False})
        store.put((label,), label, {"mine": True})
        assert [item.key for item in store.search((label,))] == [label]
        assert store.get((label,), label).value == {"mine": True}
        assert (label,) in store.list_namespaces()

    def test_many_long_keys_and_values_are_kept(self, store: Caller) -> None:
        store.put(("n" * 5000,), "k" * 5000, {"v": "x" * 100_000})
        assert store.get(("n" * 5000,), "k" * 5000).value == {"v": "x" * 100_000}

    # Values

    @pytest.mark.parametrize(
        ("value", "place"),
        [
            ({"a": [1, float("nan")]}, r"value\['a'\]\[1\]"),
            ({"a": float("inf")}, r"value\['a'\]"),
            ({"a": 2**63}, "64 bits"),
            ({"a": {1: 2}}, r"value\['a'\] has a key that is not text"),
            ({"a": "x\x00"}, "NUL"),
            ({"a\x00": 1}, "NUL"),
            ({"a": "\ud800"}, "UTF-8"),
            ({"a": datetime.now(UTC)}, "datetime"),
            ({"a": {1, 2}}, "set"),
            ({"a": b"x"}, "bytes"),
            (["a"], "dictionary"),
            ("text", "dictionary"),
        ],
    )
    def test_what_is_no_json_is_refused_and_named(self, store: Caller, value: Any, place: str) -> None:
        with pytest.raises(InvalidValue, match=place):
            store.put(("m",), "k", value)
        with pytest.raises(InvalidValue, match=place):
            store.batch([PutOp(("m",), "good", {}), PutOp(("m",), "k", value)])
        assert store.search(()) == []

    def test_a_value_inside_itself_is_refused(self, store: Caller) -> None:
        value: dict[str, Any] = {}
        value["self"] = value
        with pytest.raises(InvalidValue, match="nested"):
            store.put(("m",), "k", value)

    def test_numbers_come_back_as_they_were(self, store: Caller) -> None:
        value = {"a": 2**63 - 1, "b": -(2**63), "c": 1.0, "d": 1, "e": 1e300, "f": 5e-324, "g": -0.0, "h": True}
        store.put(("m",), "k", value)
        got = store.get(("m",), "k").value
        assert [(k, type(v), repr(v)) for k, v in got.items()] == [(k, type(v), repr(v)) for k, v in value.items()]

    # Namespaces

    @pytest.mark.parametrize("namespace", [(), ("",), ("a", ""), ("a.b",), ("langgraph",), ("a", 1), "ab", None, {"a"}])
    def test_bad_namespaces_are_refused(self, store: Caller, namespace: Any) -> None:
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {})

    def test_bad_namespaces_are_refused_by_every_verb(self, store: Caller) -> None:
        for bad in ("ab", ("",), ("a.b",), (1,)):
            for call in (
                lambda bad=bad: store.get(bad, "k"),
                lambda bad=bad: store.delete(bad, "k"),
                lambda bad=bad: store.search(bad),
                lambda bad=bad: store.delete_namespace(bad),
                lambda bad=bad: store.batch([PutOp(bad, "k", {})]),
            ):
                with pytest.raises(InvalidNamespaceError):
                    call()

    def test_the_reserved_label_is_fine_elsewhere_and_in_batches(self, store: Caller) -> None:
        store.put(("a", "langgraph"), "k", {})
        store.batch([PutOp(("langgraph", "a"), "k", {"v": 1})])
        assert store.batch([GetOp(("langgraph", "a"), "k")])[0].value == {"v": 1}

    def test_a_namespace_may_be_a_list(self, store: Caller) -> None:
        store.put(["m", "1"], "k", {"v": 1})
        assert store.get(("m", "1"), "k").namespace == ("m", "1")
        assert len(store.search(["m"])) == 1

    @pytest.mark.parametrize("key", [1, None, b"k", "\ud800"])
    def test_keys_are_text(self, store: Caller, key: Any) -> None:
        with pytest.raises(InvalidValue, match="key"):
            store.put(("m",), key, {})

    def test_a_search_never_crosses_a_label(self, store: Caller) -> None:
        for namespace in [("users", "1"), ("users", "10"), ("users", "1", "x"), ("users",), ("users1",)]:
            store.put(namespace, "k", {"n": list(namespace)})
        found = {item.namespace for item in store.search(("users", "1"))}
        assert found == {("users", "1"), ("users", "1", "x")}
        assert len(store.search(())) == 5

    def test_a_star_is_an_ordinary_label_of_a_search(self, store: Caller) -> None:
        store.put(("a", "b"), "k", {})
        assert store.search(("*",)) == []

    def test_namespaces_are_listed_sorted_and_paged(self, store: Caller) -> None:
        for namespace in [("b",), ("a", "y", "z"), ("a", "x"), ("a", "y", "w"), ("c", "x")]:
            store.put(namespace, "k1", {})
            store.put(namespace, "k2", {})
        everything = [("a", "x"), ("a", "y", "w"), ("a", "y", "z"), ("b",), ("c", "x")]
        assert store.list_namespaces() == everything
        assert store.list_namespaces(limit=2, offset=1) == everything[1:3]
        assert store.list_namespaces(prefix=["a"]) == everything[:3]
        assert store.list_namespaces(prefix=("a", "*", "w")) == [("a", "y", "w")]
        assert store.list_namespaces(suffix=["x"]) == [("a", "x"), ("c", "x")]
        assert store.list_namespaces(suffix=["*", "z"]) == [("a", "y", "z")]
        assert store.list_namespaces(prefix=["a"], suffix=["z"]) == [("a", "y", "z")]
        assert store.list_namespaces(max_depth=2, prefix=["a"]) == [("a", "x"), ("a", "y")]
        assert store.list_namespaces(max_depth=1, limit=2) == [("a",), ("b",)]
        assert store.list_namespaces(prefix=["nothing"]) == []
        assert store.list_namespaces(prefix=["a", "x", "too long"]) == []

    def test_listing_takes_conditions_as_lists_and_single_text(self, store: Caller) -> None:
        store.put(("ab", "c"), "k", {})
        for path in (["ab"], ("ab",), "ab"):
            op = ListNamespacesOp([MatchCondition("prefix", path)])
            assert store.batch([op]) == [[("ab", "c")]]
        with pytest.raises(UsageError):
            store.batch([ListNamespacesOp([MatchCondition("middle", ("a",))])])  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="max_depth"):
            store.list_namespaces(max_depth=0)

    def test_a_namespace_is_deleted_with_all_below_it(self, store: Caller) -> None:
        for namespace in [("u", "1"), ("u", "1", "x"), ("u", "10"), ("v",)]:
            store.put(namespace, "a", {"text": "hello"})
            store.put(namespace, "b", {"text": "hello"})
        assert store.delete_namespace(("u", "1")) == 4
        assert store.delete_namespace(("u", "1")) == 0
        assert store.list_namespaces() == [("u", "10"), ("v",)]
        assert len(store.search((), query="hello", mode="keyword")) == 4
        assert store.delete_namespace(()) == 4

    # Search without a query

    def test_newest_come_first_and_pages_do_not_overlap(self, store: Caller) -> None:
        for n in range(25):
            store.put(("m", str(n % 3)), f"k{n}", {"n": n})
        pages = [store.search(("m",), limit=10, offset=offset) for offset in (0, 10, 20, 30)]
        keys = [item.key for page in pages for item in page]
        assert sorted(keys) == sorted(f"k{n}" for n in range(25))
        assert [len(page) for page in pages] == [10, 10, 5, 0]
        one = [item.value["n"] for item in store.search(("m", "0"))]
        assert one == sorted(one, reverse=True)

    def test_an_updated_item_is_the_newest(self, store: Caller, clock: Clock) -> None:
        for key in "abc":
            clock.move(seconds=1)
            store.put(("m",), key, {})
        clock.move(seconds=1)
        store.put(("m",), "a", {})
        assert [item.key for item in store.search(("m",))] == ["a", "c", "b"]

    def test_items_of_one_batch_are_listed_newest_first(self, store: Caller) -> None:
        store.batch([PutOp(("m", str(n % 2)), str(n), {}) for n in range(6)])
        assert [item.key for item in store.search(("m",))] == ["5", "4", "3", "2", "1", "0"]

    @pytest.mark.parametrize("bad", [{"limit": -1}, {"offset": -1}, {"limit": 1.5}, {"limit": True}, {"query": 5}])
    def test_bad_pages_are_refused(self, store: Caller, bad: dict[str, Any]) -> None:
        with pytest.raises(InvalidValue):
            store.search(("m",), **bad)

    def test_a_limit_of_zero_gives_nothing(self, store: Caller) -> None:
        store.put(("m",), "k", {})
        assert store.search(("m",), limit=0) == []

    def test_a_filter_goes_before_the_page(self, store: Caller) -> None:
        for n in range(30):
            store.put(("m",), str(n), {"even": n % 2 == 0, "n": n})
        found = store.search(("m",), filter={"even": True, "n": {"$gte": 10}}, limit=3, offset=2)
        assert [item.value["n"] for item in found] == [24, 22, 20]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values=st.lists(memories, min_size=1, max_size=8), source=filters)
    def test_filters_mean_the_same_everywhere(
        self, open_store: OpenStore, values: list[dict[str, Any]], source: dict[str, Any]
    ) -> None:
        condition = parse_filter(source)
        with open_store(search_mode="keyword") as store:
            store.batch([PutOp(("m",), str(n), {**value, "all": "all"}) for n, value in enumerate(values)])
            found = store.search(("m",), filter=source, limit=100)
            by_words = store.search(("m",), filter=source, query="all", limit=100)
        expected = {str(n) for n, value in enumerate(values) if matches(condition, {**value, "all": "all"})}
        assert {item.key for item in found} == expected
        assert {item.key for item in by_words} == expected

    def test_very_long_filters_work(self, store: Caller) -> None:
        store.put(("m",), "k", {"a": 7})
        for source in (
            {"a": {"$in": list(range(50_000))}},
            {"$or": [{"a": n} for n in range(3000)]},
            {"$and": [{"a": {"$ne": n}} for n in range(8, 3000)]},
        ):
            assert len(store.search(("m",), filter=source)) == 1

    def test_bad_filters_are_refused(self, store: Caller) -> None:
        for bad in ({"a": {"$what": 1}}, {"a'b": 1}, {"a": {1, 2}}, ["a"], {"$or": []}):
            with pytest.raises(InvalidFilter):
                store.search(("m",), filter=bad)

    def test_without_an_index_a_query_is_ignored(self, store: Caller) -> None:
        store.put(("m",), "a", {"text": "cats"})
        store.put(("m",), "b", {"text": "dogs"})
        assert [(i.key, i.score) for i in store.search(("m",), query="cats")] == [("b", None), ("a", None)]

    def test_without_an_index_meaning_cannot_be_asked_for(self, store: Caller) -> None:
        with pytest.raises(UsageError, match="embedder"):
            store.search(("m",), query="cats", mode="semantic")
        with pytest.raises(UsageError, match="unknown"):
            store.search(("m",), query="cats", mode="fuzzy")

    # Batches

    def test_a_batch_reads_before_it_writes(self, store: Caller) -> None:
        store.put(("m",), "k", {"n": 1})
        results = store.batch(
            [
                PutOp(("m",), "k", {"n": 2}),
                GetOp(("m",), "k"),
                SearchOp(("m",)),
                ListNamespacesOp(),
                PutOp(("n",), "x", {}),
                GetOp(("n",), "x"),
            ]
        )
        assert results[0] is None
        assert results[1].value == {"n": 1}
        assert [item.value for item in results[2]] == [{"n": 1}]
        assert results[3:] == [[("m",)], None, None]
        assert store.get(("m",), "k").value == {"n": 2}

    def test_the_last_put_of_a_key_counts(self, store: Caller) -> None:
        store.batch([PutOp(("m",), "a", {"n": 1}), PutOp(("m",), "a", {"n": 2}), PutOp(("m",), "b", {})])
        store.batch([PutOp(("m",), "b", {"n": 3}), PutOp(("m",), "b", None)])
        assert store.get(("m",), "a").value == {"n": 2}
        assert store.get(("m",), "b") is None

    def test_the_errors_of_a_batch_can_be_given_back(self, store: Caller) -> None:
        store.put(("m",), "k", {"n": 1})
        ops = [
            PutOp(("m",), "k", {"n": 2}),
            PutOp(("m",), "new", {"n": float("nan")}),
            GetOp("m", "k"),  # type: ignore[arg-type]
            GetOp(("m",), "k"),
            PutOp(("m",), "k", {}, if_version=7),
        ]
        with pytest.raises(UsageError):
            store.batch(ops)
        assert store.get(("m",), "k").value == {"n": 1}
        results = store.batch(ops, return_exceptions=True)
        assert [type(result) for result in results] == [
            type(None), InvalidValue, InvalidNamespaceError, Item, VersionConflict,
        ]  # fmt: skip
        assert results[3].value == {"n": 1}
        assert store.get(("m",), "k").value == {"n": 2}

    def test_an_empty_batch_gives_nothing(self, store: Caller) -> None:
        assert store.batch([]) == []

    def test_thousands_of_operations_at_once_finish(self, open_store: OpenStore) -> None:
        async def all_at_once(store: BaseStore) -> list[Any]:
            await asyncio.gather(*(store.aput(("m", str(n % 7)), str(n), {"n": n}) for n in range(3000)))
            return await asyncio.gather(*(store.aget(("m", str(n % 7)), str(n)) for n in range(3000)))

        with open_store() as store:
            found = asyncio.run(all_at_once(store))
        assert [item.value["n"] for item in found] == list(range(3000))

    # Waiting writes

    def test_reads_see_waiting_writes_and_nothing_of_them_remains(self, hybrid: Caller) -> None:
        hybrid.put(("m",), "old", {"text": "zebra"})
        hybrid.put(("m",), "gone", {"text": "zebra crossing"})
        before = hybrid.search(("m",), query="zebra")
        pending = [
            PutOp(("m",), "new", {"text": "zebra herd"}),
            PutOp(("m",), "gone", None),
            PutOp(("n",), "x", {"a": 1}),
        ]
        reads = [GetOp(("m",), "new"), GetOp(("m",), "gone"), SearchOp(("m",), query="zebra"), ListNamespacesOp()]
        for _ in range(2):
            new, gone, found, namespaces = hybrid.execute(reads, pending=pending)
            assert (new.value, gone) == ({"text": "zebra herd"}, None)
            assert {item.key for item in found} == {"old", "new"}
            assert namespaces == [("m",), ("n",)]
        assert hybrid.get(("m",), "new") is None
        assert hybrid.search(("m",), query="zebra") == before
        assert hybrid.list_namespaces() == [("m",)]

    def test_a_write_after_a_look_ahead_is_found(self, hybrid: Caller) -> None:
        """What was seen ahead must not be taken for what was committed in its place."""
        hybrid.put(("m",), "a", {"text": "first"})
        hybrid.execute([SearchOp(("m",), query="second")], pending=[PutOp(("m",), "b", {"text": "second"})])
        hybrid.put(("m",), "b", {"text": "third"})
        assert hybrid.search(("m",), query="third", mode="keyword")[0].key == "b"
        assert hybrid.search(("m",), query="second", mode="keyword") == []

    def test_prepared_writes_may_wait_too(self, hybrid: Caller, embedder: Letters) -> None:
        prepared = hybrid.prepare([PutOp(("m",), "k", {"text": "hello"})])
        embedder.asked.clear()
        assert hybrid.execute([GetOp(("m",), "k")], pending=prepared)[0].value == {"text": "hello"}
        assert embedder.asked == []

    # Expiry

    @pytest.fixture
    def ending(self, open_store: OpenStore, colour: str, clock: Clock) -> Iterator[Caller]:
        with open_store(ttl={"default_ttl": 10, "refresh_on_read": False}, clock=clock) as store:
            yield Caller(store, colour)

    def test_expired_items_are_never_seen(self, ending: Caller, clock: Clock) -> None:
        ending.put(("m",), "default", {"text": "hi"})
        ending.put(("m", "x"), "short", {"text": "hi"}, ttl=0.001)
        ending.put(("m",), "never", {"text": "hi"}, ttl=None)
        clock.move(milliseconds=59.999)
        assert ending.get(("m", "x"), "short") is not None
        clock.move(milliseconds=0.001)
        assert ending.get(("m", "x"), "short") is None
        assert ending.list_namespaces() == [("m",)]
        assert {i.key for i in ending.search(("m",))} == {"default", "never"}
        assert {i.key for i in ending.search(("m",), query="hi", mode="keyword")} == {"default", "never"}
        assert ending.search(("m",), filter={"text": "hi"}, limit=1)[0].key == "never"
        clock.move(minutes=10)
        assert [i.key for i in ending.search(("m",))] == ["never"]

    def test_a_sweep_deletes_what_has_expired(self, ending: Caller, clock: Clock) -> None:
        ending.put(("m",), "a", {})
        ending.put(("m",), "b", {}, ttl=30)
        assert ending.store.sweep_ttl() == 0
        clock.move(minutes=10)
        assert ending.store.sweep_ttl() == 1
        clock.move(minutes=20)

        async def wait() -> Any:
            return await ending.store.sweep_ttl()

        assert asyncio.run(wait()) == 1
        assert ending.store.index_status().items == 0

    def test_a_read_refreshes_by_option(self, ending: Caller, clock: Clock) -> None:
        for key in ("read", "searched", "asked", "left"):
            ending.put(("m", key), key, {})
        clock.move(minutes=6)
        ending.get(("m", "read"), "read", refresh_ttl=True)
        ending.search(("m", "searched"), refresh_ttl=True)
        ending.get(("m", "asked"), "asked")
        clock.move(minutes=6)
        assert {item.key for item in ending.search(("m",))} == {"read", "searched"}

    def test_reads_refresh_by_default(self, open_store: OpenStore, clock: Clock) -> None:
        with open_store(ttl={"default_ttl": 10}, clock=clock) as store:
            store.put(("m",), "a", {})
            store.put(("m",), "b", {})
            clock.move(minutes=6)
            store.get(("m",), "a")
            store.get(("m",), "b", refresh_ttl=False)
            clock.move(minutes=6)
            assert [item.key for item in store.search(("m",), refresh_ttl=False)] == ["a"]

    def test_a_search_refreshes_only_what_it_returns(self, open_store: OpenStore, clock: Clock) -> None:
        with open_store(ttl={"default_ttl": 10}, clock=clock) as store:
            for key in "abc":
                store.put(("m",), key, {})
            clock.move(minutes=6)
            assert [item.key for item in store.search(("m",), limit=1)] == ["c"]
            clock.move(minutes=6)
            assert [item.key for item in store.search(("m",))] == ["c"]

    def test_an_expired_item_put_again_is_new(self, ending: Caller, clock: Clock) -> None:
        ending.put(("m",), "k", {"n": 1})
        clock.move(minutes=11)
        ending.put(("m",), "k", {"n": 2}, if_version=0)
        item = ending.get(("m",), "k")
        assert (item.created_at, item.version) == (clock.now, 2)

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "5", True])
    def test_a_ttl_is_a_number_of_minutes(self, store: Caller, ttl: Any) -> None:
        with pytest.raises(InvalidValue, match="minutes"):
            store.put(("m",), "k", {}, ttl=ttl)

    def test_the_sweeper_starts_and_stops(self, open_store: OpenStore) -> None:
        async def awaited(store: BaseStore) -> None:
            await store.start_ttl_sweeper()  # type: ignore[attr-defined]
            await store.stop_ttl_sweeper()  # type: ignore[attr-defined]

        with open_store(ttl={"default_ttl": 1, "sweep_interval_minutes": 60}) as store:
            assert store.supports_ttl
            store.start_ttl_sweeper()  # type: ignore[attr-defined]
            store.stop_ttl_sweeper()  # type: ignore[attr-defined]
            asyncio.run(awaited(store))

    # Search by meaning

    def test_scores_are_cosine_similarities(self, semantic: Caller) -> None:
        texts = ["apple pie", "banana bread", "cherry cake"]
        for text in texts:
            semantic.put(("m",), text, {"text": text})
        found = semantic.search(("m",), query="apple cake")
        expected = {text: similarity(text, "apple cake") for text in texts}
        assert {item.key: item.score for item in found} == pytest.approx(expected, abs=1e-3)
        assert [item.key for item in found] == sorted(texts, key=lambda t: -expected[t])

    def test_the_index_is_shown_as_it_was_given(self, semantic: Caller, embedder: Letters) -> None:
        assert semantic.store.index_config["embed"] is embedder
        assert semantic.store.index_config["dims"] == 26

    def test_a_page_is_filled_with_items_that_have_no_vector(self, semantic: Caller) -> None:
        semantic.put(("m",), "a", {"text": "abc"})
        semantic.put(("m",), "b", {"text": "abc"}, index=False)
        semantic.put(("m",), "c", {"other": "abc"})
        found = semantic.search(("m",), query="abc")
        assert [(item.key, item.score) for item in found] == [("a", pytest.approx(1.0)), ("c", None), ("b", None)]
        assert [item.key for item in semantic.search(("m",), query="abc", min_score=0.5)] == ["a"]

    def test_the_best_of_an_items_vectors_counts_and_pages_are_full(self, open_store: OpenStore, colour: str) -> None:
        index = {"dims": 26, "embed": Letters(), "fields": ["parts[*].text"]}
        with open_store(index=index) as opened:
            store = Caller(opened, colour)
            store.put(("m",), "many", {"parts": [{"text": "abc"}, {"text": "abd"}, {"text": "xyz"}]})
            store.put(("m",), "one", {"parts": [{"text": "xyz"}]})
            store.put(("m",), "none", {"parts": []})
            found = store.search(("m",), query="xyz", limit=2)
            assert [(item.key, item.score) for item in found] == [("one", pytest.approx(1)), ("many", pytest.approx(1))]

    def test_equal_texts_are_embedded_once(self, semantic: Caller, embedder: Letters) -> None:
        semantic.batch([PutOp(("m",), str(n), {"text": "same"}, index=["text", "text"]) for n in range(5)])
        assert embedder.asked == ["same"]
        assert len(semantic.search(("m",), query="same", min_score=0.99)) == 5

    def test_a_replaced_value_leaves_nothing_behind(self, semantic: Caller) -> None:
        semantic.put(("m",), "k", {"text": "aaa"})
        semantic.put(("m",), "k", {"text": "zzz"})
        assert semantic.search(("m",), query="aaa")[0].score == pytest.approx(0)
        assert semantic.search(("m",), query="zzz")[0].score == pytest.approx(1)
        assert semantic.search(("m",), query="aaa", mode="keyword") == []
        semantic.put(("m",), "k", {"text": "zzz"}, index=False)
        assert semantic.search(("m",), query="zzz")[0].score is None
        assert semantic.search(("m",), query="zzz", mode="keyword") == []

    def test_paths_given_with_an_item_replace_the_stores(self, semantic: Caller) -> None:
        semantic.put(("m",), "k", {"text": "aaa", "title": "zzz"}, index=["title"])
        assert semantic.search(("m",), query="zzz")[0].score == pytest.approx(1)
        assert semantic.search(("m",), query="aaa")[0].score == pytest.approx(0)
        semantic.put(("m",), "empty", {"text": "aaa"}, index=[])
        assert {i.key: i.score for i in semantic.search(("m",), query="aaa")}["empty"] is None
        for bad in ("text", True, [1]):
            with pytest.raises(UsageError, match="index fields"):
                semantic.put(("m",), "k", {"text": "x"}, index=bad)

    def test_the_whole_value_is_indexed_by_default(self, open_store: OpenStore, colour: str) -> None:
        embedder = Letters()
        with open_store(index={"dims": 26, "embed": embedder}) as opened:
            Caller(opened, colour).put(("m",), "k", {"b": "ü", "a": [1, True]})
        assert embedder.asked == ['{"a": [1, true], "b": "ü"}']

    def test_an_empty_query_is_none(self, semantic: Caller) -> None:
        semantic.put(("m",), "k", {"text": "a"})
        assert semantic.search(("m",), query="")[0].score is None
        assert len(semantic.search(("m",), query="word " * 20_000)) == 1

    def test_a_zero_vector_scores_zero(self, semantic: Caller) -> None:
        semantic.put(("m",), "k", {"text": "123"})
        assert semantic.search(("m",), query="abc")[0].score == 0
        assert semantic.search(("m",), query="123")[0].score == 0

    def test_filter_limit_and_offset_go_with_a_query(self, semantic: Caller) -> None:
        for n in range(20):
            semantic.put(("m",), str(n), {"text": "a" * (n + 1) + "b" * 10, "even": n % 2 == 0})
        ranked = [i.key for i in semantic.search(("m",), query="aaa", filter={"even": True}, limit=20)]
        assert ranked == [str(n) for n in range(18, -1, -2)]
        page = semantic.search(("m",), query="aaa", filter={"even": True}, limit=3, offset=4)
        assert [i.key for i in page] == ranked[4:7]

    def test_an_embedder_may_be_a_function_of_either_colour(self, open_store: OpenStore, colour: str) -> None:
        async def waiting(texts: list[str]) -> list[list[float]]:
            await asyncio.sleep(0)
            return [letters(text) for text in texts]

        def at_once(texts: list[str]) -> list[list[float]]:
            return [letters(text) for text in texts]

        for embed in (waiting, at_once):
            with open_store(index={"embed": embed, "fields": ["text"]}) as opened:
                store = Caller(opened, colour)
                store.put(("m",), "k", {"text": "abc"})
                assert store.search(("m",), query="abc")[0].score == pytest.approx(1)

    # Search by words and by both

    @pytest.fixture
    def worded(self, open_store: OpenStore, colour: str) -> Iterator[Caller]:
        with open_store(search_mode="keyword") as store:
            yield Caller(store, colour)

    def test_words_find_only_what_has_them(self, worded: Caller) -> None:
        worded.put(("m",), "a", {"text": "Bob likes pizza", "n": 7})
        worded.put(("m",), "b", {"text": "Ann likes cats"})
        worded.put(("m",), "c", {"text": "nothing to see"})
        found = worded.search(("m",), query="Who likes PIZZA?")
        assert [item.key for item in found] == ["a", "b"]
        assert found[0].score > found[1].score > 0
        assert [item.key for item in worded.search(("m",), query="7")] == ["a"]
        assert worded.search(("m",), query="elephant") == []
        assert worded.search(("m",), query="?!") == []

    def test_without_an_embedder_the_others_follow_those_found_by_words_newest_first(
        self, open_store: OpenStore, colour: str, clock: Clock
    ) -> None:
        with open_store(search_mode="hybrid", clock=clock) as opened:
            store = Caller(opened, colour)
            for key, text in [("a", "Bob likes pizza"), ("b", "Username is Bob"), ("c", "Ann likes cats")]:
                clock.move(seconds=1)
                store.put(("m",), key, {"text": text})
            assert [item.key for item in store.search(("m",), query="Who likes pizza?")] == ["a", "c", "b"]
            assert [(item.key, item.score) for item in store.search(("m",), query="What is my name?")] == [
                ("c", None), ("b", None), ("a", None),
            ]  # fmt: skip
            assert [item.key for item in store.search(("m",), query="pizza", min_score=0.01)] == ["a"]

    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("我昨天在公园里看到一只猫", "猫"),
            ("我昨天在公园里看到一只猫", "公园"),
            ("私は東京で寿司を食べました", "寿司"),
            ("コーヒーが好きです", "コーヒー"),
            ("ฉันชอบกินข้าวผัด", "ข้าวผัด"),
            ("저는 서울에서 커피를 마셨어요", "커피"),
            ("मुझे हिंदी पसंद है", "हिंदी"),
            ("Das Café in der Straße", "cafe"),
            ("Crème brûlée", "creme brulee"),
            ("Привет, Мир", "мир"),
        ],
    )
    def test_words_are_found_in_any_script(self, worded: Caller, text: str, query: str) -> None:
        worded.put(("m",), "other", {"text": "something else 别的 แตกต่าง"})
        worded.put(("m",), "k", {"text": text})
        assert [item.key for item in worded.search(("m",), query=query)][:1] == ["k"]

    def test_both_ways_together_explain_themselves(self, hybrid: Caller) -> None:
        hybrid.put(("m",), "a", {"text": "the zebra"})
        hybrid.put(("m",), "b", {"text": "a lion"})
        found = hybrid.search(("m",), query="zebra", explain=True)
        assert [item.key for item in found] == ["a", "b"]
        assert found[0].score > found[1].score
        assert found[0].why.words > 0
        assert found[0].why.meaning == pytest.approx(similarity("the zebra", "zebra"), abs=1e-3)
        assert hybrid.search(("m",), query="zebra")[0].why is None

    # A failing embedder

    def test_a_failing_embedder_loses_no_memory(self, hybrid: Caller, embedder: Letters, caplog: Any) -> None:
        hybrid.put(("m",), "old", {"text": "about lions"})
        embedder.error = ConnectionError("no network")
        hybrid.put(("m",), "new", {"text": "about zebras"})
        assert "wait for their vectors" in caplog.text
        assert hybrid.get(("m",), "new").value == {"text": "about zebras"}
        assert hybrid.search(("m",), query="zebra")[0].key == "new"
        assert "by words alone" in caplog.text
        status = hybrid.index_status()
        assert (status.items, status.embedded, status.waiting) == (2, 1, 1)
        assert status.reasons == {self.kept_reason: 1}

    def test_what_waits_is_worked_off_by_the_next_put(self, hybrid: Caller, embedder: Letters) -> None:
        embedder.error = ConnectionError("no network")
        hybrid.put(("m",), "a", {"text": "about zebras"})
        embedder.error = None
        hybrid.put(("m",), "b", {"text": "about lions"})
        assert hybrid.index_status().waiting == 0
        assert hybrid.search(("m",), query="zebra", mode="semantic", explain=True)[0].why.meaning is not None

    def test_what_waits_is_worked_off_by_a_sweep(self, hybrid: Caller, embedder: Letters) -> None:
        embedder.error = ConnectionError("no network")
        hybrid.put(("m",), "a", {"text": "about zebras"})
        hybrid.put(("m",), "gone", {"text": "about lions"})
        hybrid.delete(("m",), "gone")
        hybrid.store.sweep_ttl()
        assert hybrid.index_status().waiting == 1
        embedder.error = None
        assert hybrid.embed_waiting() == 1
        assert hybrid.index_status().waiting == 0

    @pytest.mark.parametrize("length", [1, 25])
    def test_vectors_of_another_length_are_a_failure(self, hybrid: Caller, embedder: Letters, length: int) -> None:
        embedder.length = length
        hybrid.put(("m",), "k", {"text": "about zebras"})
        assert hybrid.index_status().waiting == 1
        assert "length" in next(iter(hybrid.index_status().reasons))
        assert hybrid.search(("m",), query="zebra")[0].key == "k"

    def test_a_search_by_meaning_says_when_the_embedder_fails(self, semantic: Caller, embedder: Letters) -> None:
        embedder.error = ConnectionError("no network")
        with pytest.raises(EmbeddingError, match="no network"):
            semantic.search(("m",), query="zebra")

    # Indexing anew

    def test_a_changed_embedder_is_noticed_and_reindexed(self, open_store: OpenStore, colour: str, caplog: Any) -> None:
        class Mirrored(Letters):
            model = "mirrored"

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [vector[::-1] for vector in super().embed_documents(texts)]

            def embed_query(self, text: str) -> list[float]:
                return super().embed_query(text)[::-1]

        first, second, seen = Letters(), Mirrored(), list[tuple[int, int]]()
        with open_store(index={"embed": first, "fields": ["text"]}) as opened:
            store = Caller(opened, colour)
            for n in range(300):
                store.put(("m", str(n % 3)), str(n), {"text": f"zebra {chr(97 + n % 26)}"})
            store.put(("m",), "none", {"other": "x"})
            opened.settings = check_settings({"embed": second, "fields": ["text"]}, None, None)  # type: ignore[attr-defined]
            assert {item.score for item in store.search(("m",), query="zebra")} == {None}
            assert "call reindex()" in caplog.text
            assert store.index_status().other_models == {"Letters": 300}
            assert store.reindex(lambda done, of: seen.append((done, of))) == 300
            assert sorted(second.asked) == sorted({f"zebra {chr(97 + n)}" for n in range(26)})
            assert seen[-1] == (301, 301)
            status = store.index_status()
            assert (status.embedded, status.other_models) == (300, {})
            assert store.search(("m",), query="zebra a", limit=1)[0].score == pytest.approx(1)
            assert store.reindex() == 0

    def test_what_cannot_be_embedded_while_reindexing_waits(self, hybrid: Caller, embedder: Letters) -> None:
        hybrid.put(("m",), "k", {"text": "zebra"})
        changed = Letters()
        changed.error = ConnectionError("down")
        index = {"embed": changed, "model": "new"}
        hybrid.store.settings = check_settings(index, None, "hybrid")  # type: ignore[attr-defined]
        hybrid.reindex()
        assert hybrid.index_status().waiting == 1
        assert hybrid.search(("m",), query="zebra")[0].key == "k"
        changed.error = None
        assert hybrid.embed_waiting() == 1

    # The scoped view

    def test_a_scoped_store_cannot_reach_outside(self, store: Caller, colour: str) -> None:
        store.put(("tenant-8", "m"), "k", {"n": 8})
        inner = store.store.scoped("tenant-7")
        scoped = Caller(inner, colour)
        scoped.put(("m",), "k", {"n": 7})
        scoped.put(("m", "x"), "k2", {"n": 7})
        assert scoped.get(("m",), "k").namespace == ("m",)
        assert {item.namespace for item in scoped.search(())} == {("m",), ("m", "x")}
        assert scoped.list_namespaces() == [("m",), ("m", "x")]
        assert scoped.list_namespaces(suffix=["tenant-7", "m"]) == []
        assert scoped.list_namespaces(max_depth=1) == [("m",)]
        assert scoped.search(("tenant-8",)) == []
        assert store.get(("tenant-7", "m"), "k").value == {"n": 7}
        assert Caller(inner.scoped("m"), colour).get(("x",), "k2").value == {"n": 7}
        assert scoped.delete_namespace(()) == 2
        assert store.get(("tenant-8", "m"), "k").value == {"n": 8}
