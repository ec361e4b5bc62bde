"""One memory for both: Clew's stores in a LangGraph graph, and LangGraph's stores in a Clew workflow."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime as GraphRuntime
from langgraph.store import base as langgraph
from langgraph.store.memory import InMemoryStore as GraphInMemoryStore

from clew import (
    BaseStore,
    Database,
    GetOp,
    InMemoryStore,
    Item,
    ListNamespacesOp,
    PutOp,
    SearchOp,
    entrypoint,
    get_store,
    task,
)
from clew.errors import InvalidFilter, InvalidNamespaceError, InvalidValue, UsageError
from clew.integrations.langgraph import as_langgraph_store, from_langgraph_store

NOTES = ("notes", "1")


def letters(texts: list[str]) -> list[list[float]]:
    """Embed texts by the letters a, b and c in them."""
    return [[1e-3 + text.count(letter) for letter in "abc"] for text in texts]


@pytest.fixture
def theirs(store: BaseStore) -> langgraph.BaseStore:
    """A store of Clew's on every engine, as LangGraph sees it."""
    return as_langgraph_store(store)


@pytest.fixture
def ours() -> BaseStore:
    """A store of LangGraph's, as Clew sees it."""
    return from_langgraph_store(GraphInMemoryStore())


class Question(TypedDict):
    text: str
    known: list[str]


def graph_on(store: langgraph.BaseStore) -> Any:
    """A graph whose nodes write and read memory, one blocking and one async."""

    def remember(question: Question, runtime: GraphRuntime[None]) -> dict[str, Any]:
        assert runtime.store is not None
        runtime.store.put(NOTES, question["text"], {"text": question["text"]})
        return {}

    async def recall(question: Question, runtime: GraphRuntime[None]) -> dict[str, Any]:
        assert runtime.store is not None
        return {"known": sorted(item.value["text"] for item in await runtime.store.asearch(NOTES))}

    builder = StateGraph(Question)
    builder.add_node("remember", remember)
    builder.add_node("recall", recall)
    builder.add_edge(START, "remember")
    builder.add_edge("remember", "recall")
    builder.add_edge("recall", END)
    return builder.compile(store=store)


class TestClewInLangGraph:
    def test_a_graph_remembers_in_a_clew_store(self, store: BaseStore, theirs: langgraph.BaseStore) -> None:
        graph = graph_on(theirs)
        asyncio.run(graph.ainvoke({"text": "tea", "known": []}))
        known = asyncio.run(graph.ainvoke({"text": "coffee", "known": []}))["known"]
        assert known == ["coffee", "tea"]
        assert store.search(NOTES, filter={"text": "tea"})[0].key == "tea"

    def test_every_verb_gives_what_langgraph_people_know(self, theirs: langgraph.BaseStore) -> None:
        theirs.put(NOTES, "a", {"text": "tea", "n": 1})
        theirs.put(("notes", "2"), "b", {"text": "coffee", "n": 2})
        item = theirs.get(NOTES, "a")
        assert isinstance(item, langgraph.Item)
        assert (item.value, item.key, item.namespace) == ({"text": "tea", "n": 1}, "a", NOTES)
        assert item.created_at.tzinfo is not None
        found = theirs.search(("notes",), filter={"n": {"$gt": 1}})
        assert [(type(one), one.key) for one in found] == [(langgraph.SearchItem, "b")]
        assert theirs.list_namespaces(prefix=("notes",), suffix=("2",)) == [("notes", "2")]
        assert theirs.list_namespaces(max_depth=1) == [("notes",)]
        theirs.delete(NOTES, "a")
        assert theirs.get(NOTES, "a") is None

    def test_the_same_holds_off_the_event_loop(self, theirs: langgraph.BaseStore) -> None:
        async def use() -> None:
            await theirs.aput(NOTES, "a", {"text": "tea"})
            item = await theirs.aget(NOTES, "a")
            assert item is not None
            assert item.value == {"text": "tea"}
            assert await theirs.alist_namespaces() == [NOTES]
            await theirs.adelete(NOTES, "a")
            assert await theirs.asearch(NOTES) == []

        asyncio.run(use())

    def test_a_batch_reads_before_it_writes_and_is_one_transaction(self, theirs: langgraph.BaseStore) -> None:
        put, get = langgraph.PutOp(NOTES, "a", {"n": 1}), langgraph.GetOp(NOTES, "a")
        assert theirs.batch([put, get]) == [None, None]
        with pytest.raises(InvalidValue):
            theirs.batch([langgraph.PutOp(NOTES, "b", {"n": 2}), langgraph.PutOp(NOTES, "c", {"n": float("nan")})])
        assert theirs.get(NOTES, "b") is None

    def test_a_query_ranks_and_gives_scores(self) -> None:
        theirs = as_langgraph_store(InMemoryStore(index={"embed": letters, "dims": 3}))
        theirs.put(NOTES, "a", {"text": "aaa"})
        theirs.put(NOTES, "b", {"text": "bbb"})
        theirs.put(NOTES, "hidden", {"text": "bbb"}, index=False)
        first, second, unranked = theirs.search(NOTES, query="b")
        assert (first.key, second.key, unranked.key) == ("b", "a", "hidden")
        assert first.score is not None
        assert second.score is not None
        assert first.score > second.score

    def test_expiry_is_that_of_the_store(self) -> None:
        theirs = as_langgraph_store(InMemoryStore(ttl={"default_ttl": 5, "refresh_on_read": False}))
        assert theirs.ttl_config == {"default_ttl": 5, "refresh_on_read": False}
        assert theirs.supports_ttl
        theirs.put(NOTES, "a", {"n": 1}, ttl=0.5)

    def test_bad_input_is_refused_by_the_rules_of_clew(self, theirs: langgraph.BaseStore) -> None:
        with pytest.raises(InvalidFilter):
            theirs.search(NOTES, filter={"n": {"$near": 1}})
        with pytest.raises(InvalidNamespaceError):
            theirs.batch([langgraph.GetOp(("a.b",), "k")])
        with pytest.raises(UsageError, match="no operation of a store"):
            theirs.batch(["no operation"])  # type: ignore[list-item]


class TestLangGraphInClew:
    def test_every_verb_works(self, ours: BaseStore) -> None:
        ours.put(NOTES, "a", {"text": "tea", "n": 1})
        ours.put(("notes", "2"), "b", {"text": "coffee", "n": 2})
        item = ours.get(NOTES, "a")
        assert isinstance(item, Item)
        assert item.value == {"text": "tea", "n": 1}
        assert item.created_at.tzinfo is UTC
        assert [one.key for one in ours.search(("notes",), filter={"n": {"$gte": 2}})] == ["b"]
        assert ours.list_namespaces(suffix=("*",), max_depth=1) == [("notes",)]
        ours.delete(NOTES, "a")
        assert ours.get(NOTES, "a") is None

    def test_a_value_that_was_read_is_a_copy(self, ours: BaseStore) -> None:
        ours.put(NOTES, "a", {"tags": []})
        item = ours.get(NOTES, "a")
        assert item is not None
        item.value["tags"].append("mine")
        again = ours.get(NOTES, "a")
        assert again is not None
        assert again.value == {"tags": []}

    def test_a_query_ranks_as_the_store_below_does(self) -> None:
        ours = from_langgraph_store(GraphInMemoryStore(index={"embed": letters, "dims": 3}))
        ours.put(NOTES, "a", {"text": "aaa"})
        ours.put(NOTES, "b", {"text": "bbb"})
        best, _ = ours.search(NOTES, query="b", explain=True)
        assert best.key == "b"
        assert best.why is not None
        assert best.why.meaning == best.score
        assert [one.key for one in ours.search(NOTES, query="b", min_score=0.9)] == ["b"]

    def test_a_namespace_is_deleted_with_all_below_it(self, ours: BaseStore) -> None:
        ours.batch([PutOp(NOTES, str(n), {"n": n}) for n in range(1100)])
        ours.put(("notes", "10"), "other", {})
        assert ours.delete_namespace(NOTES) == 1100
        assert asyncio.run(ours.adelete_namespace(("notes",))) == 1

    @pytest.mark.parametrize(
        ("op", "error"),
        [
            (PutOp(NOTES, "a", {"n": float("nan")}), InvalidValue),
            (PutOp(("a.b",), "a", {}), InvalidNamespaceError),
            (PutOp(NOTES, "a", {}, if_version=1), UsageError),
            (PutOp(NOTES, "a", {}, ttl=5), UsageError),
            (SearchOp(NOTES, {"n": {"$near": 1}}), InvalidFilter),
            (SearchOp(NOTES, query="tea", mode="keyword"), UsageError),
        ],
    )
    def test_what_it_cannot_take_is_refused_and_nothing_is_written(
        self, ours: BaseStore, op: PutOp | SearchOp, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            ours.batch([PutOp(NOTES, "first", {"n": 1}), op])
        assert ours.search(()) == []

    def test_reads_see_what_is_pending_and_nothing_of_it_remains(self, ours: BaseStore) -> None:
        for n in range(4):
            ours.put(NOTES, str(n), {"n": n})
        ours.put(("gone",), "x", {})
        changed = [PutOp(NOTES, "1", {"n": 10}), PutOp(NOTES, "2", None)]
        pending = [*changed, PutOp(("new",), "y", {}), PutOp(("gone",), "x", None)]

        def read(op: Any) -> Any:
            return ours.execute([op], pending=pending)[0]

        assert read(GetOp(NOTES, "1")).value == {"n": 10}
        assert read(GetOp(NOTES, "2")) is None
        keys = [item.key for item in read(SearchOp(NOTES))]
        assert keys[0] == "1"
        assert sorted(keys) == ["0", "1", "3"]
        assert [item.key for item in read(SearchOp(NOTES, limit=2, offset=1))] == keys[1:3]
        assert [item.key for item in read(SearchOp(NOTES, {"n": {"$gt": 5}}))] == ["1"]
        assert [item.key for item in read(SearchOp(NOTES, query="anything"))][-1] == "1"
        assert read(ListNamespacesOp()) == [("new",), NOTES]
        assert sorted(item.key for item in ours.search(())) == ["0", "1", "2", "3", "x"]

    def test_a_namespace_may_be_a_list(self, ours: BaseStore) -> None:
        ours.put(["a", "b"], "k", {"n": 1})  # type: ignore[arg-type]
        found = ours.get(["a", "b"], "k")  # type: ignore[arg-type]
        assert found is not None
        assert found.value == {"n": 1}
        assert [item.key for item in ours.search(["a"])] == ["k"]  # type: ignore[arg-type]

    def test_only_stores_are_adapted(self, database: Database) -> None:
        with pytest.raises(UsageError, match=r"a store of Clew's.*pass its \.store"):
            as_langgraph_store(database)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="takes a LangGraph BaseStore"):
            from_langgraph_store(database.store)  # type: ignore[arg-type]

    def test_an_adapter_is_taken_off_again(self, store: BaseStore) -> None:
        graphs = GraphInMemoryStore()
        assert from_langgraph_store(as_langgraph_store(store)) is store
        assert as_langgraph_store(from_langgraph_store(graphs)) is graphs


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'all.db'}")) as opened:
        yield opened


class TestWorkflowOnALangGraphStore:
    def test_a_task_sees_what_it_wrote_and_it_is_kept_when_the_task_ends(self, database: Database) -> None:
        graphs = GraphInMemoryStore()
        seen: list[Any] = []

        @task
        def remember(text: str) -> int:
            get_store().put(NOTES, text, {"text": text})
            seen.append(graphs.get(NOTES, text))
            return len(get_store().search(NOTES))

        @entrypoint(checkpointer=database.checkpointer, store=graphs)
        def flow(text: str, *, store: BaseStore) -> list[str]:
            assert remember(text).result() == 1
            return [item.key for item in store.search(NOTES)]

        assert flow.invoke("tea", {"configurable": {"thread_id": "1"}}) == ["tea"]
        assert seen == [None]
        assert graphs.get(NOTES, "tea") is not None

    def test_a_failed_attempt_writes_nothing(self) -> None:
        graphs = GraphInMemoryStore()

        @task
        def remember() -> None:
            get_store().put(NOTES, "a", {})
            raise RuntimeError("no")

        @entrypoint(store=graphs)
        def flow(_: None) -> None:
            remember().result()

        with pytest.raises(RuntimeError, match="no"):
            flow.invoke(None)
        assert graphs.search(()) == []

    def test_async_workflows_use_its_async_face(self, database: Database) -> None:
        graphs = GraphInMemoryStore()

        @task
        async def remember(text: str) -> None:
            await get_store().aput(NOTES, text, {"text": text})

        @entrypoint(checkpointer=database.checkpointer, store=graphs)
        async def flow(text: str) -> list[str]:
            await remember(text)
            return [item.key for item in await get_store().asearch(NOTES)]

        assert asyncio.run(flow.ainvoke("tea", {"configurable": {"thread_id": "1"}})) == ["tea"]

    def test_what_is_no_store_is_refused_as_before(self) -> None:
        with pytest.raises(TypeError, match="Invalid store"):
            entrypoint(store=object())

    def test_langgraph_is_not_loaded_by_an_entrypoint(self) -> None:
        code = """
import sys, clew
@clew.entrypoint(store=clew.InMemoryStore())
def flow(x): return x
assert not any(name.split(".")[0] == "langgraph" for name in sys.modules)
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
