"""Embedders: the local one works offline and leaves its surroundings alone; a name gives the right one or an error."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from clew import Database
from clew.errors import MissingDependency, UsageError
from clew.integrations import local_embedder
from clew.integrations.embedders import embedder_named
from clew.integrations.local_embedder import LocalEmbedder
from clew.integrations.openai_embedder import OpenAIEmbedder
from clew.store.settings import check_settings


def cosine(left: list[float], right: list[float]) -> float:
    return sum(x * y for x, y in zip(left, right, strict=True))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the network was asked for")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def not_loaded_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_embedder, "_loaded", None)


@pytest.mark.usefixtures("no_network", "not_loaded_yet")
class TestLocalEmbedder:
    def test_a_question_is_nearest_to_the_memory_that_answers_it(self) -> None:
        memories = ["Username is Bob", "The user lives in Lisbon", "The user plays the cello"]
        vectors = LocalEmbedder().embed_documents(memories)
        for question, answer in [("what is my name?", 0), ("which instrument do I play?", 2)]:
            asked = LocalEmbedder().embed_query(question)
            assert max(range(3), key=lambda i: cosine(asked, vectors[i])) == answer

    def test_vectors_have_the_declared_length_and_unit_norm(self) -> None:
        vector = LocalEmbedder().embed_query("hello")
        assert len(vector) == LocalEmbedder.dims
        assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-5)

    def test_equal_texts_give_equal_vectors_whatever_is_embedded_beside_them(self) -> None:
        alone = LocalEmbedder().embed_query("tea")
        assert LocalEmbedder().embed_documents(["coffee " * 500, "tea"])[1] == alone

    @pytest.mark.parametrize("text", ["", "  ", "\n"])
    def test_a_text_without_words_gives_a_zero_vector(self, text: str) -> None:
        assert LocalEmbedder().embed_query(text) == [0.0] * LocalEmbedder.dims

    @pytest.mark.parametrize("text", ["日本語の文", "😀", "\x00", "word " * 20_000])
    def test_any_text_has_a_vector(self, text: str) -> None:
        assert cosine(*[LocalEmbedder().embed_query(text)] * 2) == pytest.approx(1.0, abs=1e-4)

    def test_no_texts_give_no_vectors(self) -> None:
        assert LocalEmbedder().embed_documents([]) == []

    def test_os_threads_share_one_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loads: list[int] = []
        load = local_embedder._load
        monkeypatch.setattr(local_embedder, "_load", lambda: loads.append(1) or load())
        found: list[list[float]] = []
        threads = [threading.Thread(target=lambda: found.append(LocalEmbedder().embed_query("x"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(loads) == 1
        assert all(vector == found[0] for vector in found)
        assert len(found) == 8

    def test_without_the_extra_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "wordllama", None)
        with pytest.raises(MissingDependency, match=r"pip install 'clew\[local\]'"):
            LocalEmbedder().embed_query("x")

    def test_a_model_that_is_not_there_is_an_error_and_not_a_download(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_embedder, "DIMS", 64)  # a size that the package does not carry
        with pytest.raises(FileNotFoundError):
            LocalEmbedder().embed_query("x")


def test_the_local_embedder_leaves_the_root_logger_alone() -> None:
    code = """
import logging
from clew.integrations.local_embedder import LocalEmbedder
LocalEmbedder().embed_query("x")
root = logging.getLogger()
assert (root.handlers, root.level) == ([], logging.WARNING), root.handlers
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class FakeEmbeddings:
    """Stands for `openai.OpenAI().embeddings`: answers out of order, as the protocol allows."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def create(self, **request: Any) -> SimpleNamespace:
        self.requests.append(request)
        numbered = list(enumerate(request["input"]))
        return SimpleNamespace(data=[SimpleNamespace(index=i, embedding=[float(len(t))]) for i, t in numbered[::-1]])


class TestOpenAIEmbedder:
    def test_vectors_come_in_the_order_of_the_texts_over_several_requests(self) -> None:
        fake = FakeEmbeddings()
        texts = ["x" * (i % 7 + 1) for i in range(1200)]
        vectors = OpenAIEmbedder("m", client=SimpleNamespace(embeddings=fake)).embed_documents(texts)
        assert vectors == [[float(len(text))] for text in texts]
        assert [len(request["input"]) for request in fake.requests] == [512, 512, 176]

    def test_an_empty_text_does_not_fail_its_batch(self) -> None:
        fake = FakeEmbeddings()
        OpenAIEmbedder("m", client=SimpleNamespace(embeddings=fake)).embed_documents(["", "a"])
        assert fake.requests[0]["input"] == [" ", "a"]

    def test_without_the_extra_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openai", None)
        with pytest.raises(MissingDependency, match=r"pip install 'clew\[openai\]'"):
            embedder_named("openai:text-embedding-3-small")


class TestNames:
    def test_local_is_the_local_embedder(self) -> None:
        assert isinstance(embedder_named("local"), LocalEmbedder)

    def test_openai_is_the_official_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("openai")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        embedder = embedder_named("openai:text-embedding-3-small")
        assert isinstance(embedder, OpenAIEmbedder)
        assert embedder.model == "text-embedding-3-small"

    def test_without_a_key_the_error_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("openai")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
        for make in (embedder_named, lambda name: Database(embed=name)):
            with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
                make("openai:text-embedding-3-small")

    @pytest.mark.parametrize("name", ["local", "openai:text-embedding-3-small"])
    def test_a_model_has_one_name_however_it_is_given(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        if name != "local":
            pytest.importorskip("openai")
        given = check_settings({"embed": embedder_named(name)}, None, None).embedder
        named = check_settings({"embed": name}, None, None, embedder_named).embedder
        assert given is not None
        assert named is not None
        assert given.model == named.model == name

    @pytest.mark.parametrize("name", ["", "locale", "openai:", ":model", "openai"])
    def test_a_name_of_no_known_form_is_refused_with_the_forms(self, name: str) -> None:
        with pytest.raises(UsageError, match="'local', 'openai:MODEL' or 'PROVIDER:MODEL'"):
            embedder_named(name)

    def test_other_providers_are_made_by_langchain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        langchain, embeddings = ModuleType("langchain"), ModuleType("langchain.embeddings")
        embeddings.init_embeddings = lambda name: ("made", name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "langchain", langchain)
        monkeypatch.setitem(sys.modules, "langchain.embeddings", embeddings)
        assert embedder_named("mistralai:mistral-embed") == ("made", "mistralai:mistral-embed")  # type: ignore[comparison-overlap]

    def test_without_langchain_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "langchain.embeddings", None)
        with pytest.raises(MissingDependency, match="pip install langchain langchain-mistralai"):
            embedder_named("mistralai:mistral-embed")


@pytest.mark.parametrize("url", [":memory:", "sqlite:///memories.db"])
def test_embeddings_of_langchain_serve_blocking_and_async_searches(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Database(url, embed=DeterministicFakeEmbedding(size=8)) as database:
        store = database.store
        store.put(("facts",), "tea", {"text": "likes tea"})

        async def in_async_code() -> list[str]:
            await store.aput(("facts",), "cello", {"text": "plays the cello"})
            return [item.key for item in await store.asearch(("facts",), query="tea", mode="semantic")]

        found = asyncio.run(in_async_code())
        assert sorted(found) == ["cello", "tea"]
        assert [item.key for item in store.search(("facts",), query="tea", mode="semantic")] == found
