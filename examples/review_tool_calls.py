"""An agent whose tools run only after a person has looked at them: run it, change it, or say why not.

    ANTHROPIC_API_KEY=... python examples/review_tool_calls.py

Ask it to write to somebody. When the model wants to use several tools at once, all of them are shown at once, and one
`Command` answers for all.
"""

from __future__ import annotations

import json
from typing import Any

from anthropic import Anthropic
from terminal import ask, lines, need

from clew import Command, Database, Interrupt, Workflow, add_messages, entrypoint, interrupt, task

MODEL = "claude-sonnet-5-5"
TOOLS: Any = [
    {
        "name": "send_email",
        "description": "Send an email.",
        "input_schema": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
            "required": ["to", "text"],
        },
    }
]
Message = dict[str, Any]
Block = dict[str, Any]


def build(client: Anthropic, database: Database, outbox: list[Any]) -> Workflow[str, str]:
    """Make the workflow. Its input is what the user asks for, its value the model's last word.

    Args:
        client: talks to the model.
        database: keeps the threads.
        outbox: gets what is sent: this example has no mail server.
    """

    @task
    def call_model(messages: list[Message]) -> Message:
        plain: Any = [{"role": message["role"], "content": message["content"]} for message in messages]
        answer = client.messages.create(model=MODEL, max_tokens=1000, tools=TOOLS, messages=plain)
        return {"role": "assistant", "content": [block.to_dict() for block in answer.content]}

    @task
    def review(use: Block) -> Block:
        """Ask a person. The answer is {"action": "run" | "change" | "refuse", "arguments": ..., "why": ...}."""
        decision = interrupt({"tool": use["name"], "arguments": use["input"]})
        if decision["action"] == "change":
            return {**use, "input": decision["arguments"]}
        return {**use, "refused": decision.get("why") or "no reason given"} if decision["action"] == "refuse" else use

    @task
    def run_tool(use: Block) -> str:
        outbox.append(use["input"])
        return f"sent to {use['input']['to']}"

    @entrypoint(database=database)
    def assist(request: str, *, previous: list[Message] | None) -> entrypoint.final[str, list[Message]]:
        messages = add_messages(previous or [], {"role": "user", "content": request})
        while True:
            reply = call_model(messages).result()
            wanted = [block for block in reply["content"] if block["type"] == "tool_use"]
            if not wanted:
                return entrypoint.final(value=text_of(reply), save=add_messages(messages, reply))
            asked = [review(use) for use in wanted]  # side by side: all questions are pending at once
            reviewed = {use["id"]: use for use in (future.result() for future in asked)}
            results = [
                result_of(use, f"The user refused: {use['refused']}" if "refused" in use else run_tool(use).result())
                for use in reviewed.values()
            ]
            # The model is to remember what was really run, so its own message says that too.
            reply = {**reply, "content": [as_reviewed(block, reviewed) for block in reply["content"]]}
            messages = add_messages(messages, [reply, {"role": "user", "content": results}])

    return assist


def as_reviewed(block: Block, reviewed: dict[str, Block]) -> Block:
    return {**block, "input": reviewed[block["id"]]["input"]} if block["type"] == "tool_use" else block


def result_of(use: Block, content: str) -> Block:
    return {"type": "tool_result", "tool_use_id": use["id"], "content": content}


def text_of(message: Message) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def decide(question: Interrupt) -> dict[str, Any]:
    """Let the person at the terminal decide about one use of a tool."""
    print(f"The model wants to use {question.value['tool']} with {json.dumps(question.value['arguments'])}.")
    answer = ask("Enter to run it, other arguments as JSON, or a reason why not: ")
    if not answer:
        return {"action": "run"}
    try:
        return {"action": "change", "arguments": json.loads(answer)}
    except json.JSONDecodeError:
        return {"action": "refuse", "why": answer}


def main() -> None:
    """Take requests at the terminal."""
    need("ANTHROPIC_API_KEY")
    on_thread = {"configurable": {"thread_id": "1"}}
    with Anthropic() as client, Database("sqlite:///review_tool_calls.db") as database:
        assist = build(client, database, outbox=[])
        for request in lines("you> "):
            result = assist.invoke(request, on_thread)
            while isinstance(result, dict):
                answers = {question.id: decide(question) for question in result["__interrupt__"]}
                result = assist.invoke(Command(resume=answers), on_thread)
            print(result)


if __name__ == "__main__":
    main()
