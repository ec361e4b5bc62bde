"""The measurement of learning, on a talk of our own: one memory for each fact, and none lost."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SESSIONS = [
    [
        ("Ann", "My brother Tom opened a bakery near the harbour in March."),
        ("Ben", "Congratulations! How does he manage to get up so early?"),
        ("Ann", "He sleeps in the afternoon, behind the oven, on a folding bed."),
        ("Ben", "I sold my old motorcycle to a neighbour for nine hundred euros."),
        ("Ann", "Next winter we are going to ski near Innsbruck with the children."),
        ("Ben", "My knee has hurt since the marathon, so the doctor forbade running."),
    ],
    [
        ("Ben", "I have begun to play the cello in an orchestra of amateurs."),
        ("Ann", "The youngest is afraid of dogs since one barked at her."),
        ("Ben", "Hi!"),
        ("Ann", "We painted the kitchen yellow, and the ceiling came out green."),
        ("Ben", "For the summer I rented a cabin without electricity on an island."),
        ("Ann", "Tom now bakes rye bread with figs, which sells out by eight."),
    ],
]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.learning")


def test_facts_told_again_retold_and_corrected_are_one_memory_each(learning: Any, tmp_path: Path) -> None:
    talk = {
        f"session_{n}": [{"speaker": who, "text": text} for who, text in some] for n, some in enumerate(SESSIONS, 1)
    }
    dates = {f"session_{n}_date_time": f"{n} May" for n in (1, 2)}
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([{"sample_id": "ours", "conversation": {**talk, **dates}}]), encoding="utf-8")

    figures = learning.measure(learning.read(file)["ours"], ":memory:")
    assert (figures.facts, figures.memories, figures.duplicates, figures.lost) == (10, 10, 0, 0)
    assert figures.changes == {"learned twice": 0, "retold": 0}
    assert (figures.misquoted, figures.refused, figures.changed_notes) == (1, 1, 0)
    assert figures.asked <= 2 * figures.batches
