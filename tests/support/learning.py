"""A model by script, for learners: it finds the facts that it is told of, and decides about them as it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Decide = Callable[[str, dict[str, str]], tuple[str, str]]


class Student:
    """A model that is asked for facts, and then what they mean for the memory.

    Args:
        facts: by the text of the message that says them: sentences, or whole facts as dicts; else "said: " and the text
            of every message of the user.
        decide: from a fact and what is known, by name, to an action and a name; by default all is added.
    """

    def __init__(self, facts: Mapping[str, Any] | None = None, decide: Decide | None = None) -> None:
        self.facts = facts
        self.decide = decide or (lambda fact, known: ("add", ""))
        self.extracted: list[str] = []
        self.compared: list[str] = []

    def __call__(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        asked = messages[1]["content"]
        if "New messages:" in asked:
            self.extracted.append(asked)
            return answer(facts=self._found(asked.partition("New messages:\n")[2]))
        self.compared.append(asked)
        named = {line["name"]: line["content"] for line in map(json.loads, asked.splitlines())}
        decisions = []
        for name, content in named.items():
            if name.startswith("F"):
                before = {other: said for other, said in named.items() if other[0] == "K" or _comes_before(other, name)}
                action, about = self.decide(content, before)
                decisions.append({"fact": name, "action": action, "about": about})
        return answer(decisions=decisions)

    def _found(self, messages: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in map(json.loads, messages.splitlines()):
            default = [f"said: {line['text']}"] if line["role"] == "user" else []
            for fact in default if self.facts is None else self.facts.get(line["text"], ()):
                whole = fact if isinstance(fact, dict) else {"content": fact}
                found.append({"message": line["message"], "quote": line["text"], **whole})
        return found


def _comes_before(one: str, other: str) -> bool:
    return int(re.sub(r"\D", "", one)) < int(re.sub(r"\D", "", other))


def answer(**arguments: Any) -> dict[str, Any]:
    """Return a model's message that gives its answer."""
    function = {"name": "answer", "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }


def about(named: dict[str, str], word: str) -> str:
    """Return the name of the one that has a word in it, or ""."""
    return next((name for name, content in named.items() if word in content), "")
