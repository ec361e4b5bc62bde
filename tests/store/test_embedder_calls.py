"""How embedders are called: on whose OS threads and loops, how many at once, and what becomes of cancellations."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clew.errors import EmbeddingError
from clew.store.embedding import Embedder

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
several_os_threads = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def vectors(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


class Hanging:
    """A blocking embedder that answers when it is let go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.under_way = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, texts: list[str]) -> list[list[float]]:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.go_on.wait()
        with self._lock:
            self.under_way -= 1
        return vectors(texts)


def test_calls_that_nobody_waits_for_any_more_still_count() -> None:
    hanging = Hanging()
    embedder = Embedder(hanging, max_concurrency=2)

    async def given_up(text: str) -> bool:
        try:
            await asyncio.wait_for(embedder.adocuments([text]), 0.05)
        except TimeoutError:
            return True
        return False

    async def many() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        try:
            for n in range(3):
                assert all(await asyncio.gather(*(given_up(f"{n} {m}") for m in range(4))))
            assert await asyncio.wait_for(asyncio.to_thread(int), 10) == 0  # the program's own OS threads are free
        finally:
            hanging.go_on.set()
        assert (await embedder.adocuments(["later"])).vectors

    asyncio.run(many())
    assert hanging.most == 2


def test_a_loop_is_forgotten_once_its_calls_have_ended() -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return vectors(texts)

    embedder, loops = Embedder(embed, max_concurrency=2), list[weakref.ref[Any]]()

    async def many(name: int) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(embedder.adocuments([f"{name} {n}"]) for n in range(9)))
        waiting = asyncio.ensure_future(asyncio.gather(*(embedder.adocuments([f"{name} {n}!"]) for n in range(9))))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    for name in range(3):
        asyncio.run(many(name))
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


class Cancelled:
    """An embedder that stops itself."""

    error: BaseException = asyncio.CancelledError("mine")

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        raise self.error

    async def aembed_query(self, text: str) -> list[float]:
        raise self.error


def beside_a_loop(work: Callable[[], Any]) -> Any:
    async def inside() -> Any:
        return work()

    return asyncio.run(inside())


@pytest.mark.parametrize("called", [lambda work: work(), beside_a_loop], ids=["alone", "beside a loop"])
def test_an_embedder_that_is_cancelled_by_itself_has_failed(called: Callable[[Callable[[], Any]], Any]) -> None:
    embedder = Embedder(Cancelled())
    assert called(lambda: embedder.documents(["a"])).failure == "CancelledError: mine"
    with pytest.raises(EmbeddingError, match="failed on the query: CancelledError: mine"):
        called(lambda: embedder.query("a"))


def test_an_embedder_that_is_cancelled_by_itself_has_failed_in_async_code() -> None:
    async def ask() -> None:
        embedder = Embedder(Cancelled())
        assert (await embedder.adocuments(["a"])).failure == "CancelledError: mine"
        with pytest.raises(EmbeddingError, match="failed on the query: CancelledError: mine"):
            await embedder.aquery("a")

    asyncio.run(ask())


@pytest.mark.parametrize("verb", ["adocuments", "aquery"])
def test_a_caller_that_is_cancelled_is_cancelled(verb: str) -> None:
    async def never(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(100)
        return vectors(texts)

    async def cancelled() -> None:
        given: Any = ["a"] if verb == "adocuments" else "a"
        asking = asyncio.ensure_future(getattr(Embedder(never), verb)(given))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(cancelled())


@pytest.mark.parametrize("called", [lambda work: work(), beside_a_loop], ids=["alone", "beside a loop"])
def test_an_embedder_that_ends_the_program_ends_it(called: Callable[[Callable[[], Any]], Any]) -> None:
    leaving = Cancelled()
    leaving.error = SystemExit(3)
    with pytest.raises(SystemExit):
        called(lambda: Embedder(leaving).documents(["a"]))


def test_a_blocking_embedder_may_give_what_is_to_be_awaited() -> None:
    async def later(texts: list[str]) -> list[list[float]]:
        return vectors(texts)

    embedder = Embedder(lambda texts: later(texts))
    assert asyncio.run(embedder.adocuments(["a"])).failure is None


def _embeds(embedder: Embedder) -> None:
    assert asyncio.run(asyncio.wait_for(embedder.adocuments(["in the child"]), 10)).failure is None


@needs_fork
@several_os_threads
def test_a_forked_child_has_os_threads_of_its_own() -> None:
    embedder = Embedder(vectors)
    assert asyncio.run(embedder.adocuments(["a"])).failure is None
    child = multiprocessing.get_context("fork").Process(target=_embeds, args=(embedder,))
    child.start()
    child.join(20)
    assert child.exitcode == 0


def _embeds_blocking(hanging: Hanging, embedder: Embedder) -> None:
    hanging.go_on, hanging._lock = threading.Event(), threading.Lock()  # its parent may hold the others
    hanging.go_on.set()
    _embeds(embedder)
    assert embedder.documents(["blocking"]).failure is None


@needs_fork
@several_os_threads
def test_a_forked_child_waits_for_no_call_of_its_parent() -> None:
    hanging = Hanging()
    embedder = Embedder(hanging, max_concurrency=1)

    async def fork_while_it_hangs() -> int | None:
        asking = asyncio.ensure_future(embedder.adocuments(["a"]))
        while not hanging.under_way:
            await asyncio.sleep(0.001)
        child = multiprocessing.get_context("fork").Process(target=_embeds_blocking, args=(hanging, embedder))
        child.start()
        child.join(20)
        child.kill()
        hanging.go_on.set()
        await asking
        return child.exitcode

    assert asyncio.run(fork_while_it_hangs()) == 0
