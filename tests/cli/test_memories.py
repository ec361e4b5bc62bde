"""What counts as a wish to have something remembered."""

from __future__ import annotations

import pytest

from clew.cli.memories import wish_in


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Hi! Remember: my name is Bob", "my name is Bob"),
        ("remember that I like tea", "I like tea"),
        ("Please remember my birthday is in May.", "my birthday is in May."),
        ("I moved. Remember, I live in Lisbon now", "I live in Lisbon now"),
        ("also remember: no nuts\nand no eggs", "no nuts\nand no eggs"),
    ],
)
def test_a_wish_is_kept_without_the_words_around_it(said: str, kept: str) -> None:
    assert wish_in(said) == kept


@pytest.mark.parametrize(
    "said",
    [
        "what is my name?",
        "do you remember my name?",
        "I remember that day",
        "Remember?",
        "remember",
        "Remember me?",
        "",
    ],
)
def test_other_sentences_are_no_wishes(said: str) -> None:
    assert wish_in(said) is None
