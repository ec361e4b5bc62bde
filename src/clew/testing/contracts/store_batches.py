"""What a store must do with batches, waiting writes, expiry and views of a part. Part of StoreContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from clew.errors import (
    InvalidNamespaceError,
    InvalidValue,
    UsageError,
    VersionConflict,
)
from clew.store.base import BaseStore
from clew.store.operations import GetOp, Item, ListNamespacesOp, PutOp, SearchOp
from clew.testing.contracts.given import Caller, Clock, Letters, OpenStore


class Batches:
    """The promises about many operations at once, and about time."""

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

    @pytest.mark.parametrize("minutes", [0, -1, float("nan"), "5"])
    def test_a_sweeper_that_would_never_rest_is_refused(self, open_store: OpenStore, minutes: Any) -> None:
        with open_store() as store, pytest.raises(InvalidValue, match="minutes"):
            store.start_ttl_sweeper(minutes)

    def test_the_sweeper_starts_and_stops(self, open_store: OpenStore) -> None:
        async def awaited(store: BaseStore) -> None:
            await store.start_ttl_sweeper()  # type: ignore[attr-defined]
            await store.stop_ttl_sweeper()  # type: ignore[attr-defined]

        with open_store(ttl={"default_ttl": 1, "sweep_interval_minutes": 60}) as store:
            assert store.supports_ttl
            store.start_ttl_sweeper()
            store.stop_ttl_sweeper()
            asyncio.run(awaited(store))

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
