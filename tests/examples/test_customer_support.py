"""The customer's agent: refunds are approved, money is paid once, and the customer is known the next time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clew import Command
from clew.testing import crash_everywhere
from support.provider import Provider
from support.provider_protocols import Answer, Use


def of(customer: str, thread: str = "1") -> dict[str, Any]:
    return {"configurable": {"thread_id": thread, "customer": customer}}


def test_a_refund_waits_for_the_clerk_also_in_another_process(example: Any, open_database: Any) -> None:
    module, paid = example("customer_support"), dict[str, float]()
    support = module.build(module.recorded_model, open_database(), paid)
    [question] = support.invoke("A refund for order 7, please", of("ann"))["__interrupt__"]
    assert question.value["arguments"] == {"order": "7", "amount": 40.0}
    assert paid == {}

    support = module.build(module.recorded_model, open_database(), paid)
    edited = {"action": "edit", "arguments": {"order": "7", "amount": 10}}
    assert "paid back 10.0 for order 7" in support.invoke(Command(resume=edited), of("ann")).text
    assert list(paid.values()) == [10.0]


def test_the_customer_is_known_in_the_next_conversation_and_nobody_else_is(example: Any, open_database: Any) -> None:
    module = example("customer_support")
    support = module.build(module.recorded_model, open_database(), {})
    support.invoke("Remember: parcels go to my neighbour", of("ann"))
    assert "parcels go to my neighbour" in support.invoke("What do you know of me?", of("ann", "2")).text
    assert support.invoke("What do you know of me?", of("ben", "3")).text == "Which order is it about?"


def test_money_is_paid_once_wherever_it_crashes(example: Any, open_database: Any) -> None:
    module, paid = example("customer_support"), dict[str, float]()
    support = module.build(module.recorded_model, open_database(), paid)
    report = crash_everywhere(
        support, "A refund for order 7", answer=lambda question: {"action": "accept"}, config=of("ann"),
        same=lambda one, other: one.text == other.text,
    )  # fmt: skip
    lives = 1 + len(report.crashes) + 1  # each on a thread of its own
    assert len(paid) == lives  # the bank was given one key in each


def test_it_runs_as_a_program_without_a_key(play: Callable[..., Any]) -> None:
    typed = "Where is order 8?\nA refund for order 7\n\nA refund for order 8\nit is on its way\nRemember: I am deaf\n"
    said = play("customer_support", typed=typed)
    assert "a rug" in said.stdout, said.stderr
    assert "paid back 40.0 for order 7" in said.stdout
    assert "A person refused this: it is on its way" in said.stdout
    assert "I am deaf" in play("customer_support", typed="What do you know of me?\n").stdout
    assert "I am deaf" not in play("customer_support", "ben", typed="What do you know of me?\n").stdout


def test_it_runs_as_a_program_with_openais_sdk(play: Callable[..., Any], provider: Provider) -> None:
    refund = Use(tool="refund", arguments={"order": "7", "amount": 400}, id="use_1")
    provider.will(Answer(uses=(refund,)), "That is too much.")
    said = play("customer_support", typed="A refund for order 7\n\n", environment=provider.environment())
    assert "That is too much." in said.stdout, said.stderr
    assert "the most that can be paid back" in provider.requests[-1]["messages"][-1]["content"]


def test_it_says_how_it_is_used(play: Callable[..., Any]) -> None:
    said = play("customer_support", "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert 'Try "Where is order 7?"' in said.stdout


def test_an_order_that_there_is_not_is_no_end(play: Callable[..., Any]) -> None:
    said = play("customer_support", typed="Where is order 9?\nA refund for order 9\n\nA refund for order 8\n5\n")
    assert said.stdout.count("there is no order 9") == 2, said.stderr
    assert "A person changed the arguments" in said.stdout
    assert "paid back 5.0 for order 8" in said.stdout
