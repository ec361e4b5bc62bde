"""Whatever the user gave as an embedder."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from clew.errors import UsageError
from clew.store.embedding import Embedder


def vectors(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


class OnlyAsync:
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return vectors(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return vectors([text])[0]


class OnlySync:
    model = "small-1"

    def embed_documents(self, texts: list[str]) -> Any:
        return np.array(vectors(texts))

    def embed_query(self, text: str) -> Any:
        return np.array(vectors([text])[0])


async def waiting(texts: list[str]) -> list[list[float]]:
    return vectors(texts)


class CallableObject:
    async def __call__(self, texts: list[str]) -> list[list[float]]:
        return vectors(texts)


@pytest.mark.parametrize("given", [vectors, waiting, OnlyAsync(), OnlySync(), CallableObject()])
def test_every_kind_of_embedder_serves_both_colours(given: Any) -> None:
    embedder = Embedder(given)
    at_once = embedder.documents(["a", "bb", "a"])
    assert at_once.failure is None
    assert set(at_once.vectors) == {"a", "bb"}
    query = embedder.query("ccc")
    assert np.linalg.norm(np.frombuffer(query, "<f4")) == pytest.approx(1)

    async def on_a_loop() -> Any:
        other = Embedder(given)
        embedder_on_a_loop = Embedder(given)
        assert embedder_on_a_loop.documents(["a"]).vectors == {"a": at_once.vectors["a"]}
        return await other.adocuments(["a", "bb"]), await other.aquery("ccc")

    assert asyncio.run(on_a_loop()) == (at_once, query)


@pytest.mark.parametrize("given", [5, None, object(), []])
def test_what_is_no_embedder_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="embedder"):
        Embedder(given)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([[1.0, 2.0]], "one vector for each"),
        ([[1.0], [1.0, 2.0]], "equal length"),
        ([[], []], "length 0"),
        ([["a"], ["b"]], "equal length"),
        ([1.0, 2.0], "shape"),
        (None, "shape|equal length"),
        ([[float("nan")], [1.0]], "finite"),
        ([[1e300], [1.0]], "finite"),
        ([[1.0, 2.0, 3.0]] * 2, "dims=2"),
    ],
)
def test_a_wrong_answer_is_a_failure_that_says_why(answer: Any, why: str) -> None:
    embedded = Embedder(lambda texts: answer, dims=2 if why == "dims=2" else None).documents(["a", "b"])
    assert embedded.vectors == {}
    assert embedded.failure is not None
    assert re.search(why, embedded.failure)


def test_texts_are_embedded_once_and_in_batches() -> None:
    calls: list[int] = []

    def counted(texts: list[str]) -> list[list[float]]:
        calls.append(len(texts))
        return vectors(texts)

    embedder = Embedder(counted)
    texts = [str(n) for n in range(600)]
    embedder.documents(texts)
    embedder.documents(texts)
    assert calls == [256, 256, 88]


def test_the_first_vector_fixes_the_length() -> None:
    embedder = Embedder(lambda texts: [[1.0] * len(text) for text in texts])
    assert embedder.documents(["ab"]).failure is None
    assert "length 3" in (embedder.documents(["abc"]).failure or "")


def test_a_model_has_a_name() -> None:
    assert Embedder(OnlySync()).model == "OnlySync:small-1"
    assert Embedder(vectors).model == "vectors"
    assert Embedder(vectors, model="mine").model == "mine"


def test_a_model_of_langchain_has_the_name_by_which_it_is_asked_for() -> None:
    def made_in(module: str) -> Any:
        return type("MistralAIEmbeddings", (OnlySync,), {"__module__": module})()

    assert Embedder(made_in("langchain_mistralai.embeddings")).model == "mistralai:small-1"
    assert Embedder(made_in("langchain_community.embeddings")).model == "MistralAIEmbeddings:small-1"


def test_no_more_calls_are_under_way_than_allowed() -> None:
    running: list[int] = [0]
    most: list[int] = []

    async def slow(texts: list[str]) -> list[list[float]]:
        running[0] += 1
        most.append(running[0])
        await asyncio.sleep(0)
        running[0] -= 1
        return vectors(texts)

    async def many_at_once() -> None:
        embedder = Embedder(slow, max_concurrency=3)
        await asyncio.gather(*(embedder.adocuments([str(n)]) for n in range(20)), embedder.aquery("a"))

    asyncio.run(many_at_once())
    assert max(most) == 3


def test_os_threads_share_the_allowed_calls() -> None:
    running, most = threading.Semaphore(2), []

    def slow(texts: list[str]) -> list[list[float]]:
        most.append(running.acquire(blocking=False))
        time.sleep(0.001)
        if most[-1]:
            running.release()
        return vectors(texts)

    embedder = Embedder(slow, max_concurrency=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: embedder.documents([str(n)]), range(20)))
    assert all(most)


def test_vectors_are_remembered_up_to_a_number_of_bytes() -> None:
    calls: list[str] = []

    def counted(texts: list[str]) -> list[list[float]]:
        calls.extend(texts)
        return vectors(texts)

    embedder = Embedder(counted, cache_bytes=2 * (8 + 250))
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        embedder.documents([text])
    assert calls == ["a", "bb", "ccc", "bb"]


class Picky:
    """Refuses any call with a bad text in it."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.calls: list[int] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        if not self.bad.isdisjoint(texts):
            raise ValueError("too long")
        return vectors(texts)


def embed(given: Any, texts: list[str], asynchronous: bool) -> Any:
    embedder = Embedder(given)
    return asyncio.run(embedder.adocuments(texts)) if asynchronous else embedder.documents(texts)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("bad", [(0,), (77,), (299,), (3, 150), (0, 1, 2, 254, 255), (100, 255)], ids=str)
def test_a_text_that_is_refused_spoils_no_other(asynchronous: bool, bad: tuple[int, ...]) -> None:
    texts = [f"text {number}" for number in range(300)]
    refused = {texts[number] for number in bad}
    embedded = embed(Picky(*refused), texts, asynchronous)
    assert set(texts) - set(embedded.vectors) == refused
    assert embedded.failure == "ValueError: too long"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("size", "calls"), [(1, [1]), (2, [2, 1, 1]), (200, [200, 1, 1, 1])])
def test_an_outage_is_noticed_after_few_calls(asynchronous: bool, size: int, calls: list[int]) -> None:
    texts = [f"text {number}" for number in range(size)]
    picky = Picky(*texts)
    assert embed(picky, texts, asynchronous).vectors == {}
    assert picky.calls == calls


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_embedder_that_runs_out_of_answers_is_a_failure(asynchronous: bool) -> None:
    nothing = iter([])
    assert "StopIteration" in embed(lambda texts: next(nothing), ["a"], asynchronous).failure


def test_an_embed_query_that_is_async_is_awaited() -> None:
    class Mixed(OnlySync):
        async def embed_query(self, text: str) -> Any:
            return vectors([text])[0]

    embedder = Embedder(Mixed())
    assert embedder.query("abc") == asyncio.run(Embedder(Mixed()).aquery("abc"))
