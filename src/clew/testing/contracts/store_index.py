"""What a store must do with words and vectors, and when they are made anew. Part of StoreContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from clew.errors import InvalidValue, UsageError
from clew.store.operations import PutOp
from clew.store.settings import check_settings
from clew.testing.contracts.given import Caller, Clock, Letters, OpenStore, letters, similarity


class Index:
    """The promises about searches with a query."""

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

    @pytest.mark.parametrize("least", ["0.5", [1], float("nan"), True])
    def test_a_least_score_is_a_number(self, semantic: Caller, least: Any) -> None:
        with pytest.raises(InvalidValue, match="min_score"):
            semantic.search(("m",), query="abc", min_score=least)

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
            ("كَتَبَ رِسَالَةً أَمْسِ", "رسالة امس"),
            ("كتب رسالة", "كِتَب"),
            ("שָׁלוֹם עולם", "שלום"),
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
            opened.settings = check_settings({"embed": second, "fields": ["text"]}, None, None)
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
        hybrid.store.settings = check_settings(index, None, "hybrid")
        hybrid.reindex()
        assert hybrid.index_status().waiting == 1
        assert hybrid.search(("m",), query="zebra")[0].key == "k"
        changed.error = None
        assert hybrid.embed_waiting() == 1
        assert hybrid.index_status().other_models == {}

    def test_vectors_stay_until_the_new_embedder_answers(self, hybrid: Caller) -> None:
        asked, is_down, letters = list[list[str]](), [True], Letters()

        def changed(texts: list[str]) -> list[list[float]]:
            asked.append(texts)
            if is_down[0]:
                raise ConnectionError("down")
            return letters.embed_documents(texts)

        for n in range(600):
            hybrid.put(("m",), str(n), {"text": f"zebra {n}"})
        before = hybrid.store.settings
        hybrid.store.settings = check_settings({"embed": changed, "model": "new"}, None, "hybrid")
        assert hybrid.reindex() == 0
        assert len(asked) == 4  # as for one page alone
        status = hybrid.index_status()
        assert (status.waiting, status.other_models) == (600, {"Letters": 600})
        hybrid.store.settings = before
        assert hybrid.search(("m",), query="zebra 7", mode="semantic", limit=1)[0].score == pytest.approx(1, abs=0.01)
        hybrid.store.settings = check_settings({"embed": changed, "model": "new"}, None, "hybrid")
        is_down[0] = False
        assert hybrid.embed_waiting() == 600
        assert (hybrid.index_status().embedded, hybrid.index_status().other_models) == (600, {})

    def test_indexing_anew_without_an_embedder_loses_no_vector(self, hybrid: Caller, embedder: Letters) -> None:
        hybrid.put(("m",), "a", {"text": "zebra"})
        hybrid.put(("m",), "none", {"text": "zebra"}, index=False)
        before = hybrid.store.settings
        hybrid.store.settings = check_settings({"stem": None}, None, "hybrid")
        hybrid.put(("m",), "b", {"text": "lion"})
        assert hybrid.reindex() == 0
        assert hybrid.index_status().other_models == {"Letters": 1}
        hybrid.store.settings = before
        assert hybrid.index_status().waiting == 1
        assert hybrid.embed_waiting() == 1
        assert hybrid.index_status().embedded == 2

    def test_vectors_of_another_length_are_another_embedders(self, hybrid: Caller, caplog: Any) -> None:
        hybrid.put(("m",), "a", {"text": "zebra"})
        longer = {"embed": lambda texts: [[1.0] * 30 for _ in texts], "model": "Letters", "dims": 30}
        hybrid.store.settings = check_settings(longer, None, "hybrid")
        hybrid.store._looked_for_others = False
        hybrid.search(("m",), query="zebra")
        assert "some memories have vectors of Letters with 26 dimensions" in caplog.text
        status = hybrid.index_status()
        assert (status.embedded, status.other_models) == (0, {"Letters with 26 dimensions": 1})
        assert hybrid.reindex() == 1
        assert hybrid.index_status().other_models == {}
