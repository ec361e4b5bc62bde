"""Several agents who talk with a person for as long as it takes: one workflow, one run, many turns.

    ANTHROPIC_API_KEY=... python examples/many_turns.py

Whenever an agent has something to say, the run asks the person and stops. It goes on with the answer, in this process
or in another one (stop it and start it again), and with the same agent, until somebody says "bye".
"""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic
from terminal import ask, need

from clew import Command, Database, Workflow, add_messages, entrypoint, interrupt, task

MODEL = "claude-sonnet-5-5"
AGENTS = {
    "cook": "You help to choose what to cook. For what to drink with it, hand over to the sommelier.",
    "sommelier": "You help to choose what to drink. For what to cook, hand over to the cook.",
}
HAND_OVER: Any = {
    "name": "hand_over",
    "description": "Let the other one go on.",
    "input_schema": {
        "type": "object",
        "properties": {"to": {"type": "string", "enum": list(AGENTS)}},
        "required": ["to"],
    },
}
Message = dict[str, Any]


def build(client: Anthropic, database: Database) -> Workflow[str, str]:
    """Make the workflow. Its input is the person's first message, its value the name of the agent who spoke last."""

    @task
    def call_model(agent: str, messages: list[Message]) -> Message:
        plain: Any = [{"role": message["role"], "content": message["content"]} for message in messages]
        answer = client.messages.create(
            model=MODEL, max_tokens=1000, system=AGENTS[agent], tools=[HAND_OVER], messages=plain
        )
        return {"role": "assistant", "content": [block.to_dict() for block in answer.content]}

    @entrypoint(database=database)
    def table_talk(said: str) -> str:
        agent, messages = "cook", add_messages([], {"role": "user", "content": said})
        while True:
            reply = call_model(agent, messages).result()
            messages = add_messages(messages, reply)
            handed_over = [block for block in reply["content"] if block["type"] == "tool_use"]
            if handed_over:
                agent = handed_over[-1]["input"]["to"]
                messages = add_messages(messages, {"role": "user", "content": [taken(use) for use in handed_over]})
                continue
            answer = interrupt({"from": agent, "text": text_of(reply)})
            if answer == "bye":
                return agent
            messages = add_messages(messages, {"role": "user", "content": answer})

    return table_talk


def taken(use: dict[str, Any]) -> dict[str, Any]:
    """Return the result of handing over."""
    return {"type": "tool_result", "tool_use_id": use["id"], "content": f"The {use['input']['to']} goes on."}


def text_of(message: Message) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def main() -> None:
    """Talk at the terminal until somebody says bye."""
    need("ANTHROPIC_API_KEY")
    on_thread = {"configurable": {"thread_id": "1"}}
    with Anthropic() as client, Database("sqlite:///many_turns.db") as database:
        table_talk = build(client, database)
        is_under_way = bool(table_talk.get_state(on_thread).next)
        result: Any = table_talk.invoke(None if is_under_way else ask("you> "), on_thread)
        while isinstance(result, dict):
            spoken = result["__interrupt__"][0].value
            print(f"{spoken['from']}> {spoken['text']}")
            result = table_talk.invoke(Command(resume=ask("you> ")), on_thread)


if __name__ == "__main__":
    main()
