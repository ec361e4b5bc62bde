"""Does learning keep one memory for each fact? Long conversations told, told again and corrected; a model by script.

    python -m bench.learning CONVERSATIONS [--embed local] [--limit N]

CONVERSATIONS is a JSON file in the form of LoCoMo (Maharana et al. 2024): a list of {"sample_id", "conversation":
{"session_1_date_time", "session_1": [{"speaker", "text"}, ...], ...}}. Each longer turn that is no question is a fact.
The model finds what it is told to find, and knows a fact again if it is shown the memory of that fact: what is measured
is everything else.

- told: all sessions are learned, each on a thread of its own.
- learned twice: again, by a learner that knows of no message: nothing may change.
- retold: every fact in other words (every third word left out, the speaker last): nothing may change.
- corrected: every tenth fact, again with a third of its words left out: one memory is to take the other's place.
- misquoted: every twentieth turn also gives a fact that nobody said: it must be refused.

A memory is a duplicate if an older one is of the same fact. A fact is lost if none is, or not as it was told last.
Notes that were there before must stay as they were.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clew import Database, entrypoint
from clew.learn import Learn, create_learner

_LEAST_WORDS = 8
_NOTES = 50
_EVERY = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What somebody said, and when."""

    speaker: str
    date: str
    text: str


@dataclass(kw_only=True)
class Figures:
    """What was counted; see the top of this file.

    Args:
        facts: that were told.
        memories: that there are of them at the end.
        duplicates: of these.
        lost: facts.
        refused: of the misquoted ones.
        misquoted: how many there were.
        changed_notes: memories of before that are not as they were.
        changes: made while facts were learned twice, and retold.
        asked: how often the model was.
        batches: for which it was asked.
    """

    facts: int = 0
    memories: int = 0
    duplicates: int = 0
    lost: int = 0
    refused: int = 0
    misquoted: int = 0
    changed_notes: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    batches: int = 0

    def __add__(self, other: Figures) -> Figures:
        summed = {name: getattr(self, name) + getattr(other, name) for name in vars(self) if name != "changes"}
        return Figures(**summed, changes=dict(Counter(self.changes) + Counter(other.changes)))

    @property
    def shown(self) -> str:
        """The figures in a few lines."""
        share = self.duplicates / max(self.memories, 1)
        lines = (
            f"{self.facts} facts, {self.memories} memories: {self.duplicates} duplicates ({share:.2%})",
            f"{self.lost} facts lost, {self.changed_notes} notes of before changed",
            f"{self.refused} of {self.misquoted} misquoted facts refused",
            f"changes when learned twice and retold: {self.changes}",
            f"the model was asked {self.asked} times for {self.batches} batches",
        )
        return "\n".join(lines)


class Student:
    """A model by script: it finds the facts of `tell`, and knows them again."""

    def __init__(self) -> None:
        self.facts: dict[str, int] = {}  # by every sentence that says one
        self.said: dict[str, list[dict[str, str]]] = {}  # by the text of a message: what it says
        self.action = "same"
        self.asked = self.batches = 0

    def tell(self, message: str, fact: int, sentence: str) -> None:
        """Let a message say a fact in a sentence."""
        self.facts[sentence] = fact
        self.said.setdefault(message, []).append({"content": sentence, "quote": message})

    def __call__(self, messages: Sequence[Any], tools: Sequence[Any]) -> dict[str, Any]:
        self.asked += 1
        asked = messages[1]["content"]
        _, found, new = asked.partition("New messages:\n")
        if found:
            self.batches += 1
            lines = [json.loads(line) for line in new.splitlines()]
            facts = [{"message": line["message"], **fact} for line in lines for fact in self.said.get(line["text"], ())]
            return _answer(facts=facts)
        return _answer(decisions=list(self._decisions([json.loads(line) for line in asked.splitlines()])))

    def _decisions(self, named: Iterable[dict[str, str]]) -> Iterable[dict[str, str]]:
        there: dict[int, str] = {}
        for line in named:
            fact = self.facts.get(line["content"], -1)
            if line["name"].startswith("F"):
                about = there.get(fact, "")
                yield {"fact": line["name"], "action": self.action if about else "add", "about": about}
            there.setdefault(fact, line["name"])


def measure(sessions: Sequence[Sequence[Turn]], address: str, embed: Any = None) -> Figures:
    """Have the sessions of one conversation learned in all the ways above, and count."""
    with Database(address, embed=embed) as database:
        return _Measured(database).of(sessions)


class _Measured:
    def __init__(self, database: Database) -> None:
        @entrypoint(database=database)
        def talk(texts: list[str]) -> Any:
            return entrypoint.final(value=None, save=[{"role": "user", "content": text} for text in texts])

        self.store, self.talk, self.student, self.threads = database.store, talk, Student(), 0
        self.figures, self.newest = Figures(), dict[int, str]()

    def of(self, sessions: Sequence[Sequence[Turn]]) -> Figures:
        notes = {str(n): {"content": f"Note {n} of before."} for n in range(_NOTES)}
        for key, note in notes.items():
            self.store.put(("facts",), key, note)
        numbered = list(_numbered(sessions))
        self.figures.facts = sum(map(len, numbered))
        threads = self._told(numbered, lambda turn: turn.text, _sentence, misquoted=True)
        self.figures.changes["learned twice"] = sum(self._learned(thread, "anew") for thread in threads)
        before = self._writes()
        self._told(numbered, _retelling, _retelling)
        self.figures.changes["retold"] = self._writes() - before
        self.student.action = "replace"
        corrected = [{fact: turn for fact, turn in some.items() if fact % 10 == 0} for some in numbered]
        self._told(corrected, _correction, _correction)
        return self._counted(notes)

    def _told(
        self,
        numbered: Sequence[dict[int, Turn]],
        message: Callable[[Turn], str],
        sentence: Callable[[Turn], str],
        misquoted: bool = False,
    ) -> list[str]:
        threads = []
        for some in numbered:
            for fact, turn in some.items():
                self.student.tell(message(turn), fact, sentence(turn))
                if self.student.action == "replace" or fact not in self.newest:
                    self.newest[fact] = sentence(turn)
                if misquoted and fact % 20 == 0:
                    self.figures.misquoted += 1
                    lie = {"content": f"Lie {fact}.", "quote": "what nobody has ever said"}
                    self.student.said[message(turn)].append(lie)
            self.threads += 1
            threads.append(str(self.threads))
            self.talk.invoke([message(turn) for turn in some.values()], _on(threads[-1]))
            self._learned(threads[-1], "learn")
        return threads

    def _learned(self, thread: str, name: str) -> int:
        learned: Any = create_learner(self.talk, self.student, memory=("facts",), name=name).invoke(
            Learn(), _on(thread)
        )
        if name == "learn":
            self.figures.refused += len(learned.refused)
        return len(learned.changes)

    def _writes(self) -> int:
        return sum(item.version for item in self.store.search(("facts",), limit=_EVERY))

    def _counted(self, notes: dict[str, dict[str, str]]) -> Figures:
        items = {item.key: item.value for item in self.store.search(("facts",), limit=_EVERY)}
        learned = [value["content"] for key, value in items.items() if key not in notes]
        count = Counter(self.student.facts[content] for content in learned)
        self.figures.memories = len(learned)
        self.figures.duplicates = sum(number - 1 for number in count.values())
        self.figures.lost = len(set(self.newest.values()) - set(learned))
        self.figures.changed_notes = sum(items.get(key) != note for key, note in notes.items())
        self.figures.asked, self.figures.batches = self.student.asked, self.student.batches
        return self.figures


def _numbered(sessions: Sequence[Sequence[Turn]]) -> Iterable[dict[int, Turn]]:
    """Number the turns that say something, and say it for the first time."""
    seen = set[str]()
    for session in sessions:
        some: dict[int, Turn] = {}
        for turn in session:
            says_something = len(turn.text.split()) >= _LEAST_WORDS and not turn.text.endswith("?")
            if says_something and turn.text not in seen:
                some[len(seen)] = turn
                seen.add(turn.text)
        if some:
            yield some


def _sentence(turn: Turn) -> str:
    return f"{turn.speaker} ({turn.date}): {turn.text}"


def _retelling(turn: Turn) -> str:
    return f"{_without(turn, 2)}, {turn.speaker} told"


def _correction(turn: Turn) -> str:
    return f"No longer as {turn.speaker} had said, rather: {_without(turn, 1)}"


def _without(turn: Turn, place: int) -> str:
    """Leave out every third word."""
    return " ".join(word for at, word in enumerate(turn.text.split()) if at % 3 != place)


def _on(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def _answer(**arguments: Any) -> dict[str, Any]:
    function = {"name": "answer", "arguments": json.dumps(arguments)}
    call = {"id": "1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def read(path: Path) -> dict[str, list[list[Turn]]]:
    """Return the sessions of each conversation in a file, by its name."""
    conversations: dict[str, list[list[Turn]]] = {}
    for one in json.loads(path.read_text(encoding="utf-8")):
        talk = one["conversation"]
        names = sorted((name for name in talk if re.fullmatch(r"session_\d+", name)), key=lambda name: int(name[8:]))
        conversations[one["sample_id"]] = [
            [Turn(speaker=t["speaker"], date=talk[f"{name}_date_time"], text=t["text"].strip()) for t in talk[name]]
            for name in names
        ]
    return conversations


def main() -> None:
    """Measure each conversation, and all of them; fail if too much is doubled or anything is lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("conversations", type=Path, help="JSON in the form of LoCoMo")
    parser.add_argument("--embed", help='who makes vectors, such as "local"; none by default')
    parser.add_argument("--limit", type=int, help="only so many conversations")
    given = parser.parse_args()
    total = Figures()
    for name, sessions in list(read(given.conversations).items())[: given.limit]:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(sessions, f"sqlite:///{folder}/learned.db", given.embed)
        print(f"== {name}\n{figures.shown}", flush=True)
        total += figures
    print(f"== all\n{total.shown}")
    bad = total.lost or total.changed_notes or total.duplicates >= 0.01 * total.memories
    sys.exit(1 if bad or total.refused != total.misquoted else 0)


if __name__ == "__main__":
    main()
