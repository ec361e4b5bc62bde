"""From text to terms."""

from __future__ import annotations

import pytest

from clew.store.words import ENGLISH_FUNCTION_WORDS, fold, hashes, light_stem, query_hashes, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("don't_stop 42", ["don", "t", "stop", "42"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("Straße", ["strasse"]),
        ("\uff21\uff22\uff23", ["abc"]),
        ("Ёлка и ёж", ["елка", "и", "еж"]),
        ("公园", ["公园", "公", "园"]),
        ("猫", ["猫"]),
        ("コーヒー", ["コー", "ーヒ", "ヒー"]),
        ("がく", ["がく"]),
        ("서울 abc", ["서울", "abc"]),
        ("ข้าว", ["ข้", "้า", "าว"]),
        ("हिंदी पसंद", ["हिंदी", "पसंद"]),
        ("مَرحبا", ["مَرحبا"]),
        ("", []),
        ("... !?", []),
        ("🙂", []),
    ],
)
def test_a_text_has_terms(text: str, expected: list[str]) -> None:
    assert list(terms(text)) == [fold(term) for term in expected]


@pytest.mark.parametrize(
    "family",
    [
        ["paint", "paints", "painted", "painting"],
        ["stop", "stops", "stopped", "stopping"],
        ["city", "cities"],
        ["class", "classes"],
        ["like", "likes", "liked"],
    ],
)
def test_a_family_of_words_has_one_stem(family: list[str]) -> None:
    assert len({light_stem(word) for word in family}) == 1


@pytest.mark.parametrize("word", ["bus", "glass", "sing", "bed", "is", "42s", "über", "naïve"])
def test_a_short_or_foreign_word_keeps_its_own(word: str) -> None:
    assert light_stem(word) == word


def test_a_query_of_function_words_alone_keeps_them() -> None:
    assert query_hashes("who is it", None, ENGLISH_FUNCTION_WORDS) == tuple(hashes(["who is it"]))
    assert query_hashes("who is Bob", None, ENGLISH_FUNCTION_WORDS) == tuple(hashes(["bob"]))


def test_a_stem_is_the_users_to_choose() -> None:
    def first_three(word: str) -> str:
        return word[:3]

    assert hashes(["remember"], first_three) == hashes(["removal"], first_three)
