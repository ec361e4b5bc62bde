"""A customer's agent: it looks up orders, pays money back once a person agrees, and remembers the customer.

    python examples/customer_support.py [CUSTOMER] [--database FILE]

Each start is a new conversation with the same memory. Try "Where is order 7?", "I want a refund for order 7" and
"Remember: parcels go to my neighbour", then start it again and ask "What do you know of me?". An empty line ends it.
Without a key in OPENAI_API_KEY a few recorded answers stand for the model.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import uuid
from contextlib import ExitStack
from typing import Any

from terminal import ask, lines

from clew import Command, Database, Interrupt, Runtime, Workflow
from clew.agents import Reply, create_agent, openai_model

MODEL = "gpt-5.4-mini"
PROMPT = "You help the customers of a shop. Look up orders before you speak of them, and keep what will matter later."
ORDERS = {
    "7": {"what": "a lamp", "price": 40.0, "state": "delivered"},
    "8": {"what": "a rug", "price": 90.0, "state": "sent"},
}
Message = dict[str, Any]


def build(model: Any, database: Database, payments: dict[str, float]) -> Workflow[Any, Reply]:
    """Make the agent. Its thread is a conversation, config["configurable"]["customer"] who speaks.

    Args:
        model: any model that `create_agent` takes.
        database: keeps conversations and memories.
        payments: gets what is paid back: this example has no bank.
    """

    def look_up_order(order: str) -> dict[str, Any] | str:
        """Tell what was ordered, for how much, and where it is."""
        return ORDERS.get(order, f"there is no order {order}")

    def refund(order: str, amount: float, runtime: Runtime[Any]) -> str:
        """Pay money back for an order."""
        if order not in ORDERS:
            raise ValueError(f"there is no order {order}")
        if amount > ORDERS[order]["price"]:
            raise ValueError(f"order {order} cost {ORDERS[order]['price']}, which is the most that can be paid back")
        # A real bank would be given this key, so that it pays once even if our process dies before it hears so.
        payments[runtime.idempotency_key] = amount
        return f"paid back {amount} for order {order}"

    return create_agent(
        model, [look_up_order, refund], prompt=PROMPT, memory=("customers", "{customer}"), approve={"refund"},
        budget=8000, name="support", database=database,
    )  # fmt: skip


def recorded_model(messages: list[Message]) -> Message:
    """Stand for a model: answers that one once gave to such words."""
    said = messages[-1]["content"]
    if messages[-1]["role"] == "tool":
        return {"role": "assistant", "content": f"Here is what I have: {said}"}
    order = re.search(r"\d+", said)
    if said.lower().startswith("remember"):
        return _use("manage_memory", content=said.partition(":")[2].strip() or said)
    if order and "refund" in said.lower():
        return _use("refund", order=order[0], amount=ORDERS.get(order[0], {"price": 0.0})["price"])
    if order:
        return _use("look_up_order", order=order[0])
    known = messages[0]["content"].partition("What you remember of earlier conversations:\n")[2]
    return {"role": "assistant", "content": f"I remember:\n{known}" if known else "Which order is it about?"}


def _use(name: str, **arguments: Any) -> Message:
    call = {"id": uuid.uuid4().hex, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def decide(question: Interrupt) -> dict[str, Any]:
    """Let the shop's clerk at the terminal decide about a refund."""
    arguments = question.value["arguments"]
    print(f"[clerk] The agent wants to pay back {arguments['amount']} for order {arguments['order']}.")
    answer = ask("[clerk] Enter to agree, another amount, or a reason why not: ")
    if not answer:
        return {"action": "accept"}
    try:
        return {"action": "edit", "arguments": {**arguments, "amount": float(answer)}}
    except ValueError:
        return {"action": "refuse", "why": answer}


def main() -> None:
    """Talk with the customer who is given as an argument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customer", nargs="?", default="ann", help="who speaks, and is remembered; ann by default")
    parser.add_argument("--database", default="customer_support.db", help="the file that keeps everything")
    given = parser.parse_args()
    on_thread = {"configurable": {"thread_id": uuid.uuid4().hex, "customer": given.customer}}
    with ExitStack() as open_here:
        database = open_here.enter_context(Database(given.database))
        model: Any = recorded_model
        if os.environ.get("OPENAI_API_KEY"):
            from openai import OpenAI

            model = openai_model(open_here.enter_context(OpenAI()), MODEL)
        support = build(model, database, payments={})
        print(f"You are {given.customer}. Ask where order 7 is, or for a refund; an empty line ends the conversation.")
        for text in lines(f"{given.customer}> "):
            reply = support.invoke(text, on_thread)
            while isinstance(reply, dict):
                answers = {question.id: decide(question) for question in reply["__interrupt__"]}
                reply = support.invoke(Command(resume=answers), on_thread)
            print(reply)


if __name__ == "__main__":
    main()
