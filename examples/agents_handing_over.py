"""Several agents, each with its own task, who hand the conversation over to one another.

    OPENAI_API_KEY=... python examples/agents_handing_over.py "Where could I go in June, and where would I sleep?"

Handing over is a tool like any other: the model calls it, and the workflow goes on with the agent it named.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI
from terminal import need

from clew import Database, Workflow, add_messages, entrypoint, task

MODEL = "gpt-5.4-mini"
AGENTS = {
    "guide": "You know places worth a journey, and nothing of hotels. For those, hand over to the innkeeper.",
    "innkeeper": "You know hotels, and nothing of places worth a journey. For those, hand over to the guide.",
}
HAND_OVER: Any = {
    "type": "function",
    "function": {
        "name": "hand_over",
        "description": "Let another agent go on.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string", "enum": list(AGENTS)}},
            "required": ["to"],
        },
    },
}
MOST_TURNS = 10
Message = dict[str, Any]


def build(client: OpenAI, database: Database) -> Workflow[str, str]:
    """Make the workflow. Its input is the user's question, its value the answer of the agent who had the last word."""

    @task
    def call_model(instructions: str, messages: list[Message]) -> Message:
        asked: Any = [{"role": "system", "content": instructions}, *map(without_id, messages)]
        answer = client.chat.completions.create(model=MODEL, messages=asked, tools=[HAND_OVER])
        return answer.choices[0].message.to_dict()

    @task
    def take_turn(agent: str, messages: list[Message]) -> list[Message]:
        """Let one agent speak, and return what it said, with the results of its calls. A task may call tasks."""
        reply = call_model(AGENTS[agent], messages).result()
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": f"The {name_in(call)} goes on."}
            for call in reply.get("tool_calls") or []
        ]
        return [{**reply, "name": agent}, *results]

    @entrypoint(database=database)
    def desk(question: str, *, previous: list[Message] | None) -> entrypoint.final[str, list[Message]]:
        messages = add_messages(previous or [], {"role": "user", "content": question})
        agent = "guide"
        for _ in range(MOST_TURNS):
            said = take_turn(agent, messages).result()
            messages = add_messages(messages, said)
            calls = said[0].get("tool_calls")
            if not calls:
                return entrypoint.final(value=said[0]["content"], save=messages)
            agent = name_in(calls[-1])
        return entrypoint.final(value="The agents cannot agree on whose question this is.", save=messages)

    return desk


def name_in(call: dict[str, Any]) -> str:
    """Return the agent to whom a call hands over."""
    return str(json.loads(call["function"]["arguments"])["to"])


def without_id(message: Message) -> Message:
    """Return the message without the id that add_messages gave it, which the provider does not know."""
    return {name: value for name, value in message.items() if name != "id"}


def main() -> None:
    """Ask what is given as an argument."""
    need("OPENAI_API_KEY")
    question = " ".join(sys.argv[1:]) or "Where could I go in June, and where would I sleep?"
    with OpenAI() as client, Database("sqlite:///agents_handing_over.db") as database:
        print(build(client, database).invoke(question, {"configurable": {"thread_id": "1"}}))


if __name__ == "__main__":
    main()
