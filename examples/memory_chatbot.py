"""A chatbot that remembers its users across conversations. `script/demo` tells a story with it.

The language model is a stand-in, a function of a few lines, so that it runs offline; put your own in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from clew import BaseStore, Database, add_messages, entrypoint, task

Message = dict[str, Any]


def stand_in_model(messages: list[Message]) -> Message:
    """Stand for a language model: it finds names in what it is told, and understands nothing else."""
    told, asked = messages[0]["content"], messages[-1]["content"]
    name = re.search(r"name is (\w+)", asked) or re.search(r"Username is (\w+)", told)
    if "remember" in asked.lower() and name:
        text = f"Nice to meet you, {name[1]}. I will remember that."
    elif "name" in asked:
        text = f"Your name is {name[1]}." if name else "I do not know your name. We have not met, have we?"
    else:
        first = next(message["content"] for message in messages if message["role"] == "user")
        text = f"Every word. You began with: {first}"
    return {"role": "assistant", "content": text}


def build_chatbot(database: Database, *, once_recorded: Callable[[], None] = lambda: None) -> Any:
    """Make the workflow.

    Args:
        database: keeps threads and memories.
        once_recorded: called when the model's reply is recorded and nobody has heard it yet: for the power cut.
    """

    @task
    def call_model(messages: list[Message], store: BaseStore, user_id: str) -> Message:
        namespace, asked = ("memories", user_id), messages[-1]["content"]
        known = "\n".join(memory.value["data"] for memory in store.search(namespace, query=asked))
        if "remember" in asked.lower():
            name = re.search(r"my name is (\w+)", asked)
            store.put(namespace, str(uuid4()), {"data": f"Username is {name[1]}" if name else asked})
        system = {"role": "system", "content": f"You are a helpful assistant. What you know of the user:\n{known}"}
        return stand_in_model([system, *messages])

    @entrypoint(database=database)
    def chatbot(
        turn: dict[str, Any], *, previous: list[Message] | None, store: BaseStore
    ) -> entrypoint.final[Message, list[Message]]:
        messages = add_messages(previous or [], turn["messages"])
        reply = call_model(messages, store, turn["user_id"]).result()
        once_recorded()
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))

    return chatbot
