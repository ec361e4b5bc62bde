"""A chat that knows its user in every conversation: memories belong to the user, and any thread can find them.

    ANTHROPIC_API_KEY=... python examples/cross_thread_memory.py [USER]

Every run is a new thread. Say "Remember: ..." in one, and ask about it in the next; or ask as another user.
Memories are found by meaning, with an embedder that runs on this machine: pip install 'clew[local,anthropic]'.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

from anthropic import Anthropic
from terminal import lines, need

from clew import BaseStore, Database, Workflow, add_messages, entrypoint, task

MODEL = "claude-sonnet-5-5"
Message = dict[str, Any]


def build(client: Anthropic, database: Database) -> Workflow[dict[str, Any], Message]:
    """Make the workflow. Its input is {"user_id", "messages"}, its value what the model answers."""

    @task
    def call_model(messages: list[Message], store: BaseStore, user_id: str) -> Message:
        memories, asked = ("memories", user_id), messages[-1]["content"]
        known = [item.value["data"] for item in store.search(memories, query=asked, limit=3)]
        if asked.lower().startswith("remember"):
            # Kept together with what this task returns: both or neither, and never twice.
            store.put(memories, str(uuid4()), {"data": asked.partition(":")[2].strip() or asked})
        answer = client.messages.create(
            model=MODEL,
            max_tokens=1000,
            system="\n".join(["You are a helpful assistant. What you know of the user:", *(known or ["nothing yet"])]),
            messages=[{"role": message["role"], "content": message["content"]} for message in messages],
        )
        return {"role": "assistant", "content": "".join(part.text for part in answer.content if part.type == "text")}

    @entrypoint(database=database)
    def chat(
        turn: dict[str, Any], *, previous: list[Message] | None, store: BaseStore
    ) -> entrypoint.final[Message, list[Message]]:
        messages = add_messages(previous or [], turn["messages"])
        reply = call_model(messages, store, turn["user_id"]).result()
        return entrypoint.final(value=reply, save=add_messages(messages, reply))

    return chat


def main() -> None:
    """Chat on a new thread as the user who is named as an argument."""
    need("ANTHROPIC_API_KEY")
    user_id = sys.argv[1] if len(sys.argv) > 1 else "1"
    on_new_thread = {"configurable": {"thread_id": str(uuid4())}}
    with Anthropic() as client, Database("sqlite:///cross_thread_memory.db", embed="local") as database:
        chat = build(client, database)
        for text in lines("you> "):
            turn = {"user_id": user_id, "messages": [{"role": "user", "content": text}]}
            print(chat.invoke(turn, on_new_thread)["content"])


if __name__ == "__main__":
    main()
