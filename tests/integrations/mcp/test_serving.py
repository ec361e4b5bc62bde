"""Workflows and a store served by MCP, used by the real client: in this process, and from another over stdio."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from clew import InMemorySaver, InMemoryStore, RetryPolicy, entrypoint, interrupt
from clew.agents import create_agent
from clew.errors import InvalidOption, MissingDependency
from clew.integrations.mcp import Connection, serve
from support.colours import Colour, result
from support.scripted import Script, calls


@entrypoint(checkpointer=InMemorySaver())
def refund(order: str) -> dict[str, str]:
    """Refund an order, once a person agrees."""
    return {"order": order, "agreed": interrupt(f"Refund {order}?")}


def asked(server: Any, *uses: tuple[str, dict[str, Any]]) -> list[Any]:
    """Return what the real client is given by tools of a server: data, or the text of an error."""

    async def ask(client: Client) -> list[Any]:
        given = [await client.call_tool(name, arguments) for name, arguments in uses]
        return [one.content[0].text if one.is_error else one.structured_content for one in given]  # type: ignore[union-attr]

    return talk(server, ask)


def talk(server: Any, say: Callable[[Client], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with Client(server) as client:
            return await say(client)

    return asyncio.run(main())


def test_a_workflow_is_a_tool_with_its_docstring_and_the_schema_of_its_input() -> None:
    async def look(client: Client) -> Any:
        return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = talk(serve([refund]), look)
    assert set(tools) == {"refund", "answer_refund"}
    assert tools["refund"].description == "Refund an order, once a person agrees."
    schema = tools["refund"].input_schema
    assert schema["required"] == ["input", "thread_id"]
    assert schema["properties"]["input"]["type"] == "string"


def test_a_call_answers_with_the_value_or_with_the_question_and_how_to_answer() -> None:
    [asks, value, none] = asked(
        serve([refund]),
        ("refund", {"input": "o7", "thread_id": "1"}),
        ("answer_refund", {"thread_id": "1", "answer": "yes"}),
        ("answer_refund", {"thread_id": "1", "answer": "yes"}),
    )
    [question] = asks["questions"]
    assert question["question"] == "Refund o7?"
    assert asks["how_to_answer"] == "call the tool answer_refund with the same thread_id and an answer"
    assert value == {"value": {"order": "o7", "agreed": "yes"}}
    assert "nothing is waiting for an answer" in none


def test_several_questions_are_answered_by_their_ids(colour: Colour) -> None:
    @colour.task
    async def ask(what: str) -> Any:
        return interrupt(what)

    @colour.entrypoint(checkpointer=InMemorySaver(), name="both")
    async def flow(x: int) -> list[Any]:
        started = [ask("a"), ask("b")]
        return [await result(one) for one in started]

    server = serve([flow])
    [asks] = asked(server, ("both", {"input": 1, "thread_id": "1"}))
    ids = {one["question"]: one["id"] for one in asks["questions"]}
    assert "question_id" in asks["how_to_answer"]
    first, second = [
        ("answer_both", {"thread_id": "1", "answer": answer, "question_id": ids[name]})
        for name, answer in (("b", 2), ("a", 1))
    ]
    assert asked(server, first, second)[1] == {"value": [1, 2]}


@dataclass
class Order:
    number: int
    items: list[str]


def test_the_input_is_checked_and_made_what_the_workflow_wants() -> None:
    @entrypoint
    def count(order: Order) -> int:
        return len(order.items) + order.number

    good, bad = asked(
        serve([count]),
        ("count", {"input": {"number": 1, "items": ["tea"]}}),
        ("count", {"input": {"number": "many", "items": []}}),
    )
    assert good == {"value": 2}
    assert "valid integer" in bad


def test_what_callers_may_not_choose_is_bound_and_what_fails_inside_is_not_told() -> None:
    @entrypoint
    def who(x: int, *, config: Any) -> str:
        if x:
            raise KeyError("secret")
        return str(config["configurable"]["user_id"])

    bound = who.with_config({"configurable": {"user_id": "ann"}})
    told, failed = asked(serve([bound]), ("who", {"input": 0}), ("who", {"input": 1}))
    assert told == {"value": "ann"}
    assert "secret" not in failed


def test_an_agent_is_served_like_any_workflow_and_gives_its_answer() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    agent = create_agent(
        Script(calls(weather={"city": "Oslo"}), "It rains."),
        [weather],
        name="forecast",
        description="Ask about weather.",
        checkpointer=InMemorySaver(),
    )
    assert asked(serve([agent]), ("forecast", {"input": "Oslo?", "thread_id": "1"})) == [{"value": "It rains."}]


def test_memories_are_found_kept_and_deleted_in_the_owners_namespace_alone() -> None:
    store = InMemoryStore()
    store.put(("memories", "bob"), "tea", {"text": "Bob likes tea"})
    server = serve(store=store, namespace=("memories", "ann"))
    found = asked(
        server,
        ("search_memory", {"query": "tea"}),
        ("put_memory", {"key": "cello", "value": {"text": "plays the cello"}}),
        ("search_memory", {"query": "cello"}),
        ("delete_memory", {"key": "cello"}),
        ("search_memory", {}),
    )
    assert found[0] == {"result": []}
    [kept] = found[2]["result"]
    assert (kept["key"], kept["value"]) == ("cello", {"text": "plays the cello"})
    assert found[4] == {"result": []}
    assert store.get(("memories", "bob"), "tea") is not None


def test_what_cannot_be_served_is_refused() -> None:
    for options in ({}, {"store": InMemoryStore()}, {"workflows": [refund, refund]}):
        with pytest.raises(InvalidOption):
            serve(**options)  # type: ignore[arg-type]


SERVER = """
import os, sys
from pathlib import Path
from clew import Database, entrypoint, interrupt, task
from clew.integrations.mcp import serve

home = Path(sys.argv[1])
database = Database(f"sqlite:///{home}/shop.db")

@task
def charge(order: str) -> str:
    with (home / "charged").open("a") as file:
        file.write(order + " ")
    return f"charged {order}"

@entrypoint(database=database)
def buy(order: str) -> str:
    done = charge(order).result()
    if order == "fatal" and not (home / "died").exists():
        (home / "died").touch()
        os._exit(3)
    return f"{done}: {interrupt('sure?')}"

serve([buy], store=database.store, namespace=("shop",), log_level="ERROR").run()
"""


@pytest.fixture
def shop(tmp_path: Path) -> StdioServerParameters:
    """The command of a server with a database of its own."""
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return StdioServerParameters(command=sys.executable, args=[str(program), str(tmp_path)], env=environment)


def test_over_stdio_questions_outlive_the_server(shop: StdioServerParameters, tmp_path: Path) -> None:
    [asks] = asked(shop, ("buy", {"input": "o7", "thread_id": "1"}))
    assert [one["question"] for one in asks["questions"]] == ["sure?"]
    [value] = asked(shop, ("answer_buy", {"thread_id": "1", "answer": "yes"}))
    assert value == {"value": "charged o7: yes"}
    assert (tmp_path / "charged").read_text() == "o7 "


def test_a_workflow_whose_server_dies_goes_on_when_another_workflow_asks_again(
    shop: StdioServerParameters, tmp_path: Path
) -> None:
    with Connection(shop, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False)) as connection:
        [buy] = connection.tools("buy")

        @entrypoint
        def outer(order: str) -> Any:
            return buy(input=order, thread_id="1").result().data["questions"][0]["question"]

        assert outer.invoke("fatal") == "sure?"
    assert (tmp_path / "died").exists()
    assert (tmp_path / "charged").read_text() == "fatal "


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    for use in (lambda: Connection("http://localhost/mcp"), lambda: serve([refund])):
        with pytest.raises(MissingDependency, match=r"pip install 'clew\[mcp\]'"):
            use()
