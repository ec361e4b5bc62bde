"""What every store must remember of old values, on every engine and in both colours. Part of StoreContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import Forgotten, InvalidValue, UsageError
from clew.store.base import BaseStore
from clew.store.history import check_history
from clew.store.operations import GetOp, HistoryOp, ItemVersion, PutOp, SearchOp
from clew.testing.contracts.given import Caller, Clock, Letters, OpenStore


def told(versions: list[ItemVersion]) -> list[tuple[int, Any, str | None]]:
    """Return of each version its number, what it held, and how it ended."""
    return [(v.version, v.value.get("n"), v.ended) for v in versions]


PLACES = [(("m",), "a"), (("m",), "b"), (("m", "x"), "a"), (("mm",), "a")]
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put for a while", "delete", "delete all", "sweep"]), st.sampled_from(PLACES)
    ),
    max_size=20,
)


def seen(store: BaseStore, **how: Any) -> set[tuple[Any, ...]]:
    """Return what a store shows, of everything and one by one."""
    found = {(*i.namespace, i.key, i.value["n"], i.version, i.updated_at) for i in store.search((), limit=99, **how)}
    one_by_one = [store.get(namespace, key, **how) for namespace, key in PLACES]
    assert found == {(*i.namespace, i.key, i.value["n"], i.version, i.updated_at) for i in one_by_one if i}
    return found


class Ticking:
    """A clock for one example."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class History:
    """The promises about old values."""

    def test_every_version_is_kept_newest_first(self, store: Caller, clock: Clock) -> None:
        times = [clock.now + timedelta(seconds=n) for n in range(3)]
        for n in range(3):
            store.put(("m",), "k", {"n": n})
            clock.move(seconds=1)
        versions = store.history(("m",), "k")
        assert told(versions) == [(3, 2, None), (2, 1, "replaced"), (1, 0, "replaced")]
        assert [v.updated_at for v in versions] == times[::-1]
        assert [v.ended_at for v in versions] == [None, times[2], times[1]]
        assert {v.created_at for v in versions} == {times[0]}
        assert store.history(("m",), "other") == store.history(("other",), "k") == []

    def test_a_deletion_is_seen_and_numbers_go_on(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {"n": 0})
        clock.move(seconds=1)
        store.delete(("m",), "k")
        deleted_at = clock.now
        assert told(store.history(("m",), "k")) == [(1, 0, "deleted")]
        clock.move(seconds=1)
        store.put(("m",), "k", {"n": 1})
        versions = store.history(("m",), "k")
        assert told(versions) == [(2, 1, None), (1, 0, "deleted")]
        assert (versions[1].ended_at, versions[0].created_at) == (deleted_at, clock.now)
        assert store.get(("m",), "k").version == 2

    def test_an_expiry_is_seen(self, store: Caller, clock: Clock) -> None:
        ends = clock.now + timedelta(minutes=1)
        store.put(("m",), "swept", {"n": 0}, ttl=1)
        store.put(("m",), "left", {"n": 0}, ttl=1)
        store.put(("m",), "replaced", {"n": 0}, ttl=1)
        assert store.history(("m",), "left")[0].ended_at is None
        clock.move(minutes=2)
        store.put(("m",), "replaced", {"n": 1})
        assert [(v.ended, v.ended_at) for v in store.history(("m",), "left")] == [("expired", ends)]
        assert store.store.sweep_ttl() == 2
        for key in ("swept", "left", "replaced"):
            assert (store.history(("m",), key)[-1].ended, store.history(("m",), key)[-1].ended_at) == ("expired", ends)

    def test_a_deleted_namespace_is_remembered(self, store: Caller, clock: Clock) -> None:
        store.put(("m", "x"), "k", {"n": 0})
        before = clock.now
        clock.move(seconds=1)
        assert store.delete_namespace(("m",)) == 1
        assert store.list_namespaces() == []
        assert told(store.history(("m", "x"), "k")) == [(1, 0, "deleted")]
        assert store.get(("m", "x"), "k", as_of=before).value == {"n": 0}
        assert [i.key for i in store.search((), as_of=before)] == ["k"]

    def test_an_item_is_got_as_it_was(self, store: Caller, clock: Clock) -> None:
        start = clock.now
        clock.move(seconds=1)
        for n in range(3):
            store.put(("m",), "k", {"n": n})
            clock.move(seconds=10)
        store.delete(("m",), "k")
        clock.move(seconds=10)

        def at(seconds: float) -> Any:
            item = store.get(("m",), "k", as_of=start + timedelta(seconds=seconds))
            return None if item is None else (item.value["n"], item.version)

        assert [at(s) for s in (0, 1, 10.999999, 11, 30, 31, 99)] == [None, (0, 1), (0, 1), (1, 2), (2, 3), None, None]

    def test_a_refreshed_item_was_there_until_it_expired(self, store: Caller, clock: Clock) -> None:
        start = clock.now
        store.put(("m",), "k", {}, ttl=10)
        clock.move(minutes=8)
        store.get(("m",), "k")
        clock.move(minutes=20)
        for _ in range(2):
            assert store.get(("m",), "k", as_of=start + timedelta(minutes=17)) is not None
            assert store.get(("m",), "k", as_of=start + timedelta(minutes=18)) is None
            store.store.sweep_ttl()

    def test_looking_back_refreshes_nothing(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {}, ttl=10)
        clock.move(minutes=8)
        assert store.get(("m",), "k", as_of=clock.now, refresh_ttl=True) is not None
        assert len(store.search(("m",), as_of=clock.now, refresh_ttl=True)) == 1
        clock.move(minutes=3)
        assert store.get(("m",), "k") is None

    def test_a_search_looks_back_too(self, store: Caller, clock: Clock) -> None:
        for key, kind in (("a", "x"), ("b", "y"), ("c", "x")):
            store.put(("m", key), key, {"kind": kind})
            clock.move(seconds=1)
        then = clock.now
        clock.move(seconds=1)
        store.put(("m", "b"), "b", {"kind": "x"})
        store.put(("m", "d"), "d", {"kind": "x"})
        store.delete(("m", "a"), "a")
        assert [i.key for i in store.search(("m",), as_of=then)] == ["c", "b", "a"]
        assert [i.key for i in store.search(("m",), filter={"kind": "x"}, as_of=then)] == ["c", "a"]
        assert [i.key for i in store.search(("m",), as_of=then, limit=1, offset=1)] == ["b"]
        assert [i.key for i in store.search(("m", "a"), as_of=then)] == ["a"]
        assert store.search(("m",), as_of=then)[1].value == {"kind": "y"}
        assert store.search(("m",), as_of=then - timedelta(hours=1)) == []

    def test_a_query_is_answered_from_the_old_values(self, hybrid: Caller, clock: Clock, embedder: Letters) -> None:
        hybrid.put(("m",), "a", {"text": "zebra"})
        hybrid.put(("m",), "b", {"text": "quokka"})
        hybrid.put(("m",), "hidden", {"text": "zebra"}, index=False)
        then = clock.now + timedelta(seconds=1)
        clock.move(seconds=2)
        hybrid.put(("m",), "a", {"text": "quokka"})
        hybrid.delete(("m",), "b")
        for mode in ("hybrid", "keyword", "semantic"):
            found = hybrid.search(("m",), query="zebra", mode=mode, as_of=then, limit=1, explain=True)
            assert [(i.key, i.value["text"]) for i in found] == [("a", "zebra")], mode
            assert found[0].score > 0.5 or mode == "keyword"
        assert [i.key for i in hybrid.search(("m",), query="quokka", mode="keyword", as_of=then)] == ["b"]
        embedder.error = RuntimeError("down")
        assert [i.key for i in hybrid.search(("m",), query="zebra", as_of=then, limit=1)] == ["a"]

    def test_only_so_many_versions_are_kept(self, open_store: OpenStore, clock: Clock) -> None:
        start = clock.now
        with open_store(clock=clock, history={"versions": 2}) as store:
            for n in range(6):
                store.put(("m",), "k", {"n": n})
                clock.move(seconds=1)
            assert told(store.history(("m",), "k")) == [(6, 5, None), (5, 4, "replaced"), (4, 3, "replaced")]
            then = store.get(("m",), "k", as_of=start + timedelta(seconds=3))
            assert then is not None
            assert then.value == {"n": 3}
            for seconds in (0, 1, 2.9):
                with pytest.raises(Forgotten, match=r"history=\{'versions'"):
                    store.get(("m",), "k", as_of=start + timedelta(seconds=seconds))
                with pytest.raises(Forgotten):
                    store.search((), as_of=start + timedelta(seconds=seconds))
            assert store.search(("other",), as_of=start) == []

    def test_versions_are_kept_for_so_many_days(self, open_store: OpenStore, clock: Clock) -> None:
        with open_store(clock=clock, history={"days": 2}) as store:
            store.put(("m",), "k", {"n": 0})
            store.put(("gone",), "k", {"n": 0})
            clock.move(days=1)
            store.put(("m",), "k", {"n": 1})
            store.delete(("gone",), "k")
            ended = clock.now
            clock.move(days=2, microseconds=-1)
            assert len(store.history(("m",), "k")) == 2
            assert store.get(("m",), "k", as_of=ended - timedelta(microseconds=1)).value == {"n": 0}
            clock.move(microseconds=1)
            for _ in range(2):
                assert told(store.history(("m",), "k")) == [(2, 1, None)]
                assert store.history(("gone",), "k") == []
                with pytest.raises(Forgotten, match="2 days"):
                    store.get(("m",), "k", as_of=ended - timedelta(microseconds=1))
                store.sweep_ttl()

    @pytest.mark.parametrize("verb", ["delete", "delete_namespace", "expire"])
    def test_so_many_versions_are_kept_however_items_end(self, open_store: OpenStore, clock: Clock, verb: str) -> None:
        with open_store(clock=clock, history={"versions": 3}) as store:
            for n in range(8):
                store.put(("m",), "k", {"n": n}, ttl=1)
                if verb == "delete":
                    store.delete(("m",), "k")
                elif verb == "delete_namespace":
                    store.delete_namespace(("m",))
                else:
                    clock.move(minutes=1)
                    store.sweep_ttl()
                clock.move(seconds=1)
            found = told(store.history(("m",), "k"))
            assert [value for _, value, _ in found if value is not None] == [7, 6, 5]

    def test_a_store_may_keep_no_old_values(self, open_store: OpenStore, clock: Clock) -> None:
        with open_store(clock=clock, history=False) as store:
            store.put(("m",), "k", {"n": 0})
            store.put(("m",), "k", {"n": 1})
            assert told(store.history(("m",), "k")) == [(2, 1, None)]
            store.delete(("m",), "k")
            store.put(("m",), "k", {"n": 2})
            assert told(store.history(("m",), "k")) == [(1, 2, None)]
            with pytest.raises(UsageError, match="keeps no old versions"):
                store.get(("m",), "k", as_of=clock.now)

    def test_what_was_replaced_without_being_kept_is_not_denied(self, open_store: OpenStore, clock: Clock) -> None:
        with open_store(clock=clock, history=False) as store:
            store.put(("m",), "k", {"n": 0})
            then = clock.now
            clock.move(seconds=1)
            store.put(("m",), "k", {"n": 1})
            store.settings = type(store.settings)()
            with pytest.raises(Forgotten):
                store.get(("m",), "k", as_of=then)
            assert store.get(("m",), "k", as_of=clock.now) is not None

    def test_erased_items_leave_nothing(self, hybrid: Caller, clock: Clock) -> None:
        for n in range(3):
            hybrid.put(("m", "x"), "k", {"text": "zebra", "n": n})
        hybrid.put(("m", "x"), "plain", {"n": 1}, index=False)
        hybrid.put(("m", "y"), "deleted", {"text": "yak"})
        hybrid.delete(("m", "y"), "deleted")
        hybrid.put(("mm",), "other", {"text": "yak", "n": 0})
        hybrid.put(("mm",), "other", {"text": "yak", "n": 1})
        assert hybrid.erase_namespace(("m",)) == (2, 3, 1)
        assert hybrid.history(("m", "x"), "k") == hybrid.history(("m", "y"), "deleted") == []
        assert hybrid.search(("m",), as_of=clock.now) == hybrid.search(("m",)) == []
        assert hybrid.search((), query="zebra", mode="keyword") == []
        assert told(hybrid.history(("mm",), "other")) == [(2, 1, None), (1, 0, "replaced")]
        hybrid.put(("m", "x"), "k", {"n": 9})
        assert hybrid.get(("m", "x"), "k").version == 1
        assert hybrid.erase_namespace(("nowhere",)) == (0, 0, 0)

    def test_looking_back_is_part_of_a_batch(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {"n": 0})
        then = clock.now
        clock.move(seconds=1)
        store.put(("m",), "k", {"n": 1})
        old, found, versions, _ = store.batch(
            [
                GetOp(("m",), "k", as_of=then),
                SearchOp(("m",), as_of=then),
                HistoryOp(("m",), "k"),
                PutOp(("m",), "k", {"n": 2}),
            ]
        )
        assert (old.value, found[0].value, len(versions)) == ({"n": 0}, {"n": 0}, 2)

    def test_waiting_writes_are_versions_and_nothing_of_them_remains(self, store: Caller, clock: Clock) -> None:
        store.put(("m",), "k", {"n": 0})
        clock.move(seconds=1)
        waiting = store.prepare([PutOp(("m",), "k", {"n": 1}), PutOp(("m",), "new", {"n": 2})])
        seen, new = store.execute([HistoryOp(("m",), "k"), HistoryOp(("m",), "new")], pending=waiting)
        assert told(seen) == [(2, 1, None), (1, 0, "replaced")]
        assert told(new) == [(1, 2, None)]
        assert told(store.history(("m",), "k")) == [(1, 0, None)]
        assert store.history(("m",), "new") == []

    def test_a_scoped_store_looks_back_inside_its_prefix(self, store: Caller, clock: Clock) -> None:
        inside = type(store)(store.store.scoped("t7"), store.colour)
        inside.put(("m",), "k", {"n": 0})
        then = clock.now
        clock.move(seconds=1)
        inside.put(("m",), "k", {"n": 1})
        store.put(("m",), "k", {"n": 7})
        assert inside.get(("m",), "k", as_of=then).value == {"n": 0}
        assert [(i.namespace, i.value) for i in inside.search((), as_of=then)] == [(("m",), {"n": 0})]
        assert [(v.namespace, v.version) for v in inside.history(("m",), "k")] == [(("m",), 2), (("m",), 1)]

    @pytest.mark.parametrize(
        "as_of", [datetime(2030, 1, 1), 5, "", {}, {"configurable": {}}, {"configurable": {"checkpoint_id": 3}}]
    )
    def test_only_moments_and_checkpoints_are_looked_back_to(self, store: Caller, as_of: Any) -> None:
        with pytest.raises(InvalidValue, match="aware datetime"):
            store.get(("m",), "k", as_of=as_of)
        with pytest.raises(InvalidValue, match="aware datetime"):
            store.search(("m",), as_of=as_of)

    def test_an_unknown_checkpoint_is_named(self, store: Caller) -> None:
        for checkpoint in ("no-such", "0" * 32 + "-1", "x"):
            with pytest.raises(UsageError, match=f"no checkpoint '{checkpoint}'"):
                store.get(("m",), "k", as_of=checkpoint)

    @given(steps=steps, bound=st.sampled_from([2, 50]))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def test_what_was_seen_at_a_moment_is_seen_of_it_ever_after(
        self, open_store: OpenStore, steps: list[tuple[str, Any]], bound: int
    ) -> None:
        clock = Ticking()
        with open_store(clock=clock, history={"versions": bound}, ttl={"refresh_on_read": False}) as store:
            moments = []
            for number, (act, (namespace, key)) in enumerate(steps):
                clock.now += timedelta(seconds=10)
                if act == "delete":
                    store.delete(namespace, key)
                elif act == "delete all":
                    store.delete_namespace(namespace)
                elif act == "sweep":
                    store.sweep_ttl()
                else:
                    store.put(namespace, key, {"n": number}, ttl=0.5 if act == "put for a while" else None)
                moments.append((clock.now, seen(store)))
            for moment, then in moments:
                try:
                    assert seen(store, as_of=moment) == then
                except Forgotten:
                    assert bound == 2
            assert {(v.namespace, v.key) for place in PLACES for v in store.history(*place)} <= set(PLACES)
            for place in PLACES:
                numbers = [v.version for v in store.history(*place)]
                assert numbers == sorted(set(numbers), reverse=True)

    def test_versions_show_as_json(self, store: Caller) -> None:
        store.put(("m",), "k", {"n": 0})
        store.delete(("m",), "k")
        shown = store.history(("m",), "k")[0].dict()
        assert shown["value"] == {"n": 0}
        assert (shown["ended"], shown["written_by"], shown["ended_by"]) == ("deleted", None, None)
        assert datetime.fromisoformat(shown["ended_at"]) > datetime.fromisoformat(shown["updated_at"])

    @pytest.mark.parametrize(
        "history", [5, "x", {"version": 3}, {"versions": -1}, {"versions": True}, {"days": 0}, {"days": "3"}, []]
    )
    def test_bad_settings_of_history_are_refused(self, history: Any) -> None:
        with pytest.raises(UsageError, match="history"):
            check_history(history)
