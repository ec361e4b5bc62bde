"""An agent in a page: ask the model, run the tools it wants side by side, tell it the results, until it needs none.

    OPENAI_API_KEY=... python examples/agent_from_scratch.py "Is it warmer in Oslo or in Rome?"

Each answer of the model and each result of a tool is recorded. If a tool fails or the power does, run it again without
a question: it goes on from there, and no model is paid twice for the same answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from openai import AsyncOpenAI
from terminal import need

from clew import Database, Workflow, add_messages, entrypoint, task

MODEL = "gpt-5.4-mini"
Message = dict[str, Any]
Tools = Mapping[str, Callable[..., Any]]


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return {"Oslo": "4 degrees, rain", "Rome": "21 degrees, sun"}.get(city, "unknown")


def build(client: AsyncOpenAI, database: Database, tools: Tools) -> Workflow[str, str]:
    """Make the workflow. Its input is the user's question, its value the agent's answer."""

    @task
    async def call_model(messages: list[Message]) -> Message:
        answer = await client.chat.completions.create(
            model=MODEL, messages=for_openai(messages), tools=[described(name, tools[name]) for name in tools]
        )
        return answer.choices[0].message.to_dict()

    @task
    async def call_tool(call: dict[str, Any]) -> Message:
        function = tools[call["function"]["name"]]
        result = await asyncio.to_thread(function, **json.loads(call["function"]["arguments"]))
        return {"role": "tool", "tool_call_id": call["id"], "content": str(result)}

    @entrypoint(database=database)
    async def agent(question: str, *, previous: list[Message] | None) -> entrypoint.final[str, list[Message]]:
        messages = add_messages(previous or [], {"role": "user", "content": question})
        while True:
            reply = await call_model(messages)
            messages = add_messages(messages, reply)
            if not reply.get("tool_calls"):
                return entrypoint.final(value=reply["content"], save=messages)
            messages = add_messages(messages, await asyncio.gather(*map(call_tool, reply["tool_calls"])))

    return agent


def described(name: str, function: Callable[..., Any]) -> Any:
    """Describe a tool to the model: what its docstring says, and that its parameters are texts."""
    names = list(function.__annotations__.keys() - {"return"})
    parameters = {"type": "object", "properties": {n: {"type": "string"} for n in names}, "required": names}
    return {
        "type": "function",
        "function": {"name": name, "description": function.__doc__, "parameters": parameters},
    }


def for_openai(messages: list[Message]) -> Any:
    """Return the messages without the ids that add_messages gave them, which the provider does not know."""
    return [{name: value for name, value in message.items() if name != "id"} for message in messages]


async def main() -> None:
    """Ask what is given as an argument, or go on with what was not finished."""
    need("OPENAI_API_KEY")
    question = " ".join(sys.argv[1:]) or None
    async with AsyncOpenAI() as client, Database("sqlite:///agent_from_scratch.db") as database:
        agent = build(client, database, {"get_weather": get_weather})
        print(await agent.ainvoke(question, {"configurable": {"thread_id": "1"}}))


if __name__ == "__main__":
    asyncio.run(main())
