"""A chat that goes on where it left off: what was said on a thread is kept, and there again at its next turn.

    OPENAI_API_KEY=... python examples/persistence.py [THREAD]

Leave with an empty line, and run it again: the model still knows what was said on that thread, and nothing of others.
"""

from __future__ import annotations

import sys
from typing import Any

from openai import OpenAI
from terminal import lines, need

from clew import Database, Workflow, add_messages, entrypoint, get_stream_writer, task

MODEL = "gpt-5.4-mini"
Message = dict[str, Any]


def build(client: OpenAI, database: Database) -> Workflow[Message, Message]:
    """Make the workflow. Its input is what the user says, its value what the model answers."""

    @task
    def call_model(messages: list[Message]) -> Message:
        said, write = "", get_stream_writer()
        with client.chat.completions.create(model=MODEL, messages=for_openai(messages), stream=True) as chunks:
            for chunk in chunks:
                piece = chunk.choices[0].delta.content or ""
                write(piece)  # whoever streams in the mode "custom" reads along
                said += piece
        return {"role": "assistant", "content": said}

    @entrypoint(database=database)
    def chat(said: Message, *, previous: list[Message] | None) -> entrypoint.final[Message, list[Message]]:
        messages = add_messages(previous or [], said)  # `previous` is what the last turn on this thread saved
        reply = call_model(messages).result()
        return entrypoint.final(value=reply, save=add_messages(messages, reply))

    return chat


def for_openai(messages: list[Message]) -> Any:
    """Return the messages without the ids that add_messages gave them, which the provider does not know."""
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def main() -> None:
    """Chat on the thread that is named as an argument."""
    need("OPENAI_API_KEY")
    thread = sys.argv[1] if len(sys.argv) > 1 else "1"
    with OpenAI() as client, Database("sqlite:///persistence.db") as database:
        chat = build(client, database)
        for text in lines("you> "):
            said = {"role": "user", "content": text}
            for piece in chat.stream(said, {"configurable": {"thread_id": thread}}, stream_mode="custom"):
                print(piece, end="", flush=True)
            print()


if __name__ == "__main__":
    main()
