"""What a store must do with items, namespaces, and searches without a query. Part of StoreContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import (
    Conflict,
    InvalidFilter,
    InvalidNamespaceError,
    InvalidValue,
    UsageError,
)
from clew.store.filters import matches, parse_filter
from clew.store.operations import GetOp, Item, ListNamespacesOp, MatchCondition, PutOp
from clew.testing.contracts.given import Caller, Clock, OpenStore, filters, memories


class Items:
    """The promises about items."""

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
            ({"a": 10**5000}, "64 bits"),
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

    def test_a_number_of_a_class_of_its_own_is_kept_as_a_number(self, store: Caller) -> None:
        store.put(("m",), "k", {"status": HTTPStatus.OK})
        got = store.get(("m",), "k").value["status"]
        assert (type(got), got) == (int, 200)
        assert [item.key for item in store.search(("m",), filter={"status": HTTPStatus.OK})] == ["k"]
        assert store.search(("m",), filter={"status": {"$gt": HTTPStatus.OK}}) == []

    @pytest.mark.parametrize(
        ("operator", "fits"), [("$lt", True), ("$lte", True), ("$ne", True), ("$gt", False), ("$eq", False)]
    )
    def test_numbers_are_compared_with_ones_beyond_all_bounds(self, store: Caller, operator: str, fits: bool) -> None:
        store.put(("m",), "whole", {"n": 1})
        store.put(("m",), "half", {"n": 0.5})
        found = store.search(("m",), filter={"n": {operator: 10**400}})
        assert [item.key for item in found] == (["half", "whole"] if fits else [])

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
                    call()  # type: ignore[no-untyped-call]

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
        several: tuple[Any, ...] = ({"a": {"$what": 1}}, {"a'b": 1}, {"a": {1, 2}}, ["a"], {"$or": []})
        for bad in several:
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
