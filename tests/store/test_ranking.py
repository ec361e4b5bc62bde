"""What surrounds a memory, and how much it counts."""

from __future__ import annotations

import random

import pytest

from clew.storage.inmemory.items import InMemoryStore
from clew.store.marks import main_text, named_in, value_hash

TOPICS = ["garden roses soil seeds", "guitar chords song music", "bread flour oven yeast", "train ticket station rail"]


def embed(texts: list[str]) -> list[list[float]]:
    """Put texts of a topic near one another."""
    return [[1.0 + 4 * sum(t.count(w) for w in topic.split()) for topic in TOPICS] for t in texts]


def conversation() -> list[dict[str, str]]:
    """Give forty turns of two speakers on four topics, ten turns each."""
    chance = random.Random(1)
    return [
        {"text": f"turn {n} " + " ".join(chance.sample(TOPICS[n // 10].split(), 2)), "who": ("Ann", "Bob")[n % 2]}
        for n in range(40)
    ]


def store_of(items: list[dict[str, str]], **index: object) -> InMemoryStore:
    store = InMemoryStore(index={"embed": embed, **index}, search_mode="hybrid")
    for number, item in enumerate(items):
        store.put(("m",), str(number), item)
    return store


def test_neighbours_count_where_the_order_of_writing_means_something() -> None:
    items = conversation()
    items[22]["text"] = "turn 22 saffron"
    found = store_of(items).search(("m",), query="saffron", limit=3, explain=True)
    assert found[0].key == "22"
    assert {found[1].key, found[2].key} == {"21", "23"}
    assert found[1].why is not None
    assert found[1].why.context > 0


def test_neighbours_do_not_count_where_it_means_nothing() -> None:
    items = conversation()
    items[22]["text"] = "turn 22 saffron"
    random.Random(2).shuffle(items)
    for item in items:
        del item["who"]
    found = store_of(items).search(("m",), query="saffron", limit=40, explain=True)
    assert [hit.why.context for hit in found if hit.why] == [0] * 40


def test_context_can_be_turned_off() -> None:
    found = store_of(conversation(), context=False).search(("m",), query="Bob guitar", limit=40, explain=True)
    assert [hit.why.context for hit in found if hit.why] == [0] * 40


def test_who_is_named_counts() -> None:
    items = conversation()
    for n in (14, 15):
        items[n]["text"] = "the concert"
    for name, key in (("Ann", "14"), ("Bob", "15")):
        assert store_of(items).search(("m",), query=f"{name}'s concert")[0].key == key


def test_neighbours_never_come_from_another_namespace() -> None:
    store = store_of(conversation())
    store.put(("n",), "other", {"text": "saffron"})
    keys = [item.key for item in store.search((), query="saffron", limit=3)]
    assert keys[0] == "other"
    found = store.search((), query="saffron", limit=50, explain=True)
    assert max(hit.why.context for hit in found if hit.why and hit.namespace == ("m",)) <= 0.1


@pytest.mark.parametrize("items", [[], [{"text": "a"}], [{"text": "a"}] * 2, [{}] * 3, [{"text": ""}] * 20])
def test_few_empty_or_equal_memories_are_ranked_too(items: list[dict[str, str]]) -> None:
    assert len(store_of(items).search(("m",), query="a b", limit=50)) == len(items)


def test_the_main_text_is_the_long_one() -> None:
    value = {"text": "a long sentence about a trip to the sea", "date": "May 8", "who": "Ann"}
    assert main_text(list(value.values())) == value["text"]
    assert main_text(["Bob", "pizza"]) == "Bob\npizza"
    assert main_text([]) == ""


def test_a_name_of_several_words_is_found_in_a_query() -> None:
    assert value_hash(["mary", "ann"]) in named_in("What did Mary-Ann's brother say?")
    assert value_hash(["mary", "brother"]) not in named_in("What did Mary-Ann's brother say?")


def test_hits_that_stand_out_by_far_keep_their_order() -> None:
    items = [{"text": f"turn {n} {TOPICS[n % 4]}"} for n in range(2000)]
    items[700]["text"] = "zebra giraffe okapi bongo"
    items[1300]["text"] = "zebra giraffe okapi"
    found = store_of(items, context=False).search(("m",), query="zebra giraffe okapi bongo", limit=2)
    assert [hit.key for hit in found] == ["700", "1300"]
    assert 0 < found[1].score < found[0].score < 1
