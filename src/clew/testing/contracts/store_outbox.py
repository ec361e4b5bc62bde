"""What a store must do while its embedder has not answered, or fails. Part of StoreContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from typing import Any

import pytest

from clew.errors import EmbeddingError
from clew.store.operations import PutOp
from clew.store.settings import check_settings
from clew.testing.contracts.given import Caller, Letters, OpenStore, letters


class Outbox:
    """The promises about memories that wait for their vectors."""

    kept_reason: str

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

    def test_what_waits_is_worked_off_by_a_search_and_found(self, hybrid: Caller, embedder: Letters) -> None:
        embedder.error = ConnectionError("no network")
        hybrid.put(("m",), "a", {"text": "about zebras"})
        embedder.error = None
        found = hybrid.search(("m",), query="zebra", mode="semantic")
        assert [(item.key, item.score is not None) for item in found] == [("a", True)]
        assert hybrid.index_status().waiting == 0

    def test_a_search_whose_query_was_embedded_before_asks_for_nothing(
        self, open_store: OpenStore, colour: str
    ) -> None:
        asked: list[list[str]] = []

        def embed(texts: list[str]) -> list[list[float]]:
            asked.append(texts)
            if len(asked) > 1:
                raise ConnectionError("no network")
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}, search_mode="hybrid") as opened:
            store = Caller(opened, colour)
            store.search(("m",), query="zebra")
            store.put(("m",), "a", {"text": "about zebras"})
            assert store.search(("m",), query="zebra")[0].key == "a"
            assert asked == [["zebra"], ["about zebras"]]

    def test_a_put_that_comes_by_works_off_some_of_what_waits(self, hybrid: Caller, embedder: Letters) -> None:
        embedder.error = ConnectionError("no network")
        hybrid.batch([PutOp(("m",), str(n), {"text": f"zebra {n}"}) for n in range(800)])
        embedder.error = None
        hybrid.put(("m",), "a", {"text": "about lions"})
        assert 0 < hybrid.index_status().waiting < 800
        hybrid.put(("m",), "b", {"text": "about cats"})
        hybrid.put(("m",), "c", {"text": "about dogs"})
        assert hybrid.index_status().waiting == 0

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

    def test_an_item_is_kept_before_the_embedder_answers(self, open_store: OpenStore, colour: str) -> None:
        seen: list[Any] = []

        def embed(texts: list[str]) -> list[list[float]]:
            seen.append((store.get(("m",), "k").value, store.index_status().reasons))
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}, search_mode="hybrid") as opened:
            store = Caller(opened, "sync")
            Caller(opened, colour).put(("m",), "k", {"text": "about zebras"})
            assert seen == [({"text": "about zebras"}, {"the embedder has not answered yet": 1})]
            status = store.index_status()
            assert (status.embedded, status.waiting) == (1, 0)
            assert store.search(("m",), query="zebra", mode="semantic")[0].score is not None

    def test_an_item_that_was_changed_meanwhile_keeps_its_own_vector(self, open_store: OpenStore, colour: str) -> None:
        meanwhile = [{"text": "aaa"}, {"text": "zzz"}]

        def embed(texts: list[str]) -> list[list[float]]:
            while meanwhile:
                Caller(opened, "sync").put(("m",), "k", meanwhile.pop())
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}) as opened:
            store = Caller(opened, colour)
            store.put(("m",), "k", {"text": "mmm"})
            assert store.get(("m",), "k").value == {"text": "aaa"}
            assert store.search(("m",), query="aaa")[0].score == pytest.approx(1)
            assert store.search(("m",), query="mmm")[0].score == pytest.approx(0)
            store.embed_waiting()
            assert store.index_status().waiting == 0
            assert store.search(("m",), query="aaa")[0].score == pytest.approx(1)

    def test_a_call_that_is_given_up_while_the_embedder_is_asked_loses_nothing(
        self, open_store: OpenStore, colour: str
    ) -> None:
        class Interrupted(BaseException):
            """As Ctrl-C, which tests of event loops do not outlive."""

        given_up = [True]

        def embed(texts: list[str]) -> list[list[float]]:
            if given_up.pop():
                raise Interrupted
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}) as opened:
            store = Caller(opened, colour)
            with pytest.raises(Interrupted):
                store.put(("m",), "k", {"text": "about zebras"})
            assert store.get(("m",), "k").value == {"text": "about zebras"}
            assert store.index_status().waiting == 1
            given_up[:] = [False, False]
            store.put(("m",), "other", {"text": "about lions"})
            assert store.index_status().waiting == 0

    def test_an_answer_counts_although_another_call_was_refused_one_meanwhile(
        self, open_store: OpenStore, colour: str
    ) -> None:
        asked = [0]

        def embed(texts: list[str]) -> list[list[float]]:
            asked[0] += 1
            if asked[0] == 2:
                raise ConnectionError("no network")
            assert Caller(opened, "sync").embed_waiting() == 0
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}) as opened:
            store = Caller(opened, colour)
            store.put(("m",), "k", {"text": "about zebras"})
            assert asked[0] == 2
            assert (store.index_status().embedded, store.index_status().waiting) == (1, 0)

    def test_one_text_that_is_refused_keeps_no_other_waiting(self, open_store: OpenStore, colour: str) -> None:
        is_out = [True]

        def embed(texts: list[str]) -> list[list[float]]:
            if is_out[0] or "zebra 7" in texts:
                raise ConnectionError("no")
            return [letters(text) for text in texts]

        with open_store(index={"embed": embed, "fields": ["text"]}) as opened:
            store = Caller(opened, colour)
            store.batch([PutOp(("m",), str(n), {"text": f"zebra {n}"}) for n in range(600)])
            is_out[0] = False
            assert store.embed_waiting() == 599
            assert store.index_status().waiting == 1

    def test_what_others_leave_waiting_is_looked_for_now_and_then(
        self, hybrid: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("clew.store.indexing._LOOK_EVERY_S", 0.0)
        hybrid.put(("m",), "a", {"text": "about lions"})
        with_embedder = hybrid.store.settings
        hybrid.store.settings = check_settings(None, None, "hybrid")
        hybrid.put(("m",), "of another process", {"text": "about zebras"})
        hybrid.store.settings = with_embedder
        assert hybrid.index_status().waiting == 1
        hybrid.put(("m",), "b", {"text": "about cats"})
        assert hybrid.index_status().waiting == 0

    def test_what_was_put_without_an_embedder_waits_for_that_of_others(self, hybrid: Caller) -> None:
        with_embedder, without = hybrid.store.settings, check_settings(None, None, "hybrid")
        hybrid.store.settings = without
        hybrid.put(("m",), "early", {"text": "nobody has embedded anything"})
        assert hybrid.index_status().waiting == 0
        hybrid.store.settings = with_embedder
        hybrid.put(("m",), "mine", {"text": "about lions"})
        hybrid.store.settings = without
        hybrid.batch([PutOp(("m",), "late", {"text": "about zebras"}), PutOp(("m",), "mine", {"text": "about cats"})])
        hybrid.put(("m",), "empty", {})
        hybrid.put(("m",), "hidden", {"text": "about dogs"}, index=False)
        assert hybrid.index_status().reasons == {"it was put where there was no embedder": 3}
        hybrid.store.settings = with_embedder
        assert hybrid.embed_waiting() == 2
        assert (hybrid.index_status().embedded, hybrid.index_status().waiting) == (2, 0)
        found = {item.key: item.score for item in hybrid.search(("m",), query="zebra", mode="semantic")}
        assert found["late"] is not None
        assert found["early"] is None

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
