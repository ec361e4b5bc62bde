"""Tools of a real MCP server as tasks and as tools of agents, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from clew import Command, InMemorySaver, NodeTimeoutError, RetryPolicy, Task, entrypoint, interrupt
from clew.agents import create_agent
from clew.errors import InvalidOption, ToolFailed, UsageError
from clew.integrations.mcp import Connection, RemoteTool
from support.colours import Colour, result, thread
from support.mcp_serving import free_port, serving_http
from support.scripted import ON_1, Script, calls, results

Connect = Callable[..., Connection]


def tool(connection: Connection, name: str) -> RemoteTool:
    [found] = connection.tools(name)
    return found


def test_a_tool_tells_its_name_its_description_and_the_schema_of_the_server(server: Connection) -> None:
    add = tool(server, "add")
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert add.parameters["properties"]["a"]["type"] == "integer"
    assert add.parameters["required"] == ["a", "b"]
    assert isinstance(add.task, Task)


def test_a_tool_is_a_task_in_every_colour_and_is_not_used_again_on_replay(colour: Colour, stdio: Connect) -> None:
    connection, saver = stdio(), InMemorySaver()
    add = tool(connection, "add")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        answer = await result(add(a=x, b=2))
        return interrupt("fine?"), answer

    colour.invoke(flow, 1, thread())
    connection.close()
    said, answer = colour.invoke(flow, Command(resume="yes"), thread())
    assert (said, answer.data, answer.text) == ("yes", {"result": 3}, "3")


def test_what_the_tool_says_is_text_and_what_it_shows_is_kept(server: Connection) -> None:
    answer = tool(server, "draw")().result()
    assert str(answer) == answer.text == "a dot\n[image image/png]"
    assert answer.content[1] == {"type": "image", "data": "ZG90", "mimeType": "image/png"}


def test_async_code_uses_them_from_any_loop(server: Connection) -> None:

    async def ask(b: int) -> str:
        [add] = await server.atools("add")
        one, other = await asyncio.gather(add(a=1, b=b), add(a=2, b=b))
        return f"{one} {other}"

    assert [asyncio.run(ask(b)) for b in (1, 2)] == ["2 3", "3 4"]


def test_names_are_made_fit_for_providers_and_arguments_may_have_any_name(stdio: Connect) -> None:
    odd = tool(stdio(prefix="my_"), "odd.name/1")
    assert odd.name == "my_odd_name_1"

    @entrypoint
    def flow(x: str) -> Any:
        return odd(config=x, self="b").result().text

    assert flow.invoke("a") == "a b"


def test_an_agent_uses_them_and_reads_of_their_failures(server: Connection) -> None:
    model = Script(calls(add={"a": 1, "b": 2}, refuse={"why": "not today"}, draw={}), calls(add={"a": "x"}), "Done.")
    agent = create_agent(model, server.tools(), checkpointer=InMemorySaver())
    reply = agent.invoke("go", ON_1)
    three, refused, drawn, wrong = results(reply.messages)
    assert (three, drawn) == ("3", "a dot\n[image image/png]")
    assert refused == "Error: ToolFailed: Error executing tool refuse: not today"
    assert "unable to parse string as an integer" in wrong
    assert {told["function"]["name"] for told in model.told} > {"add", "refuse", "odd_name_1"}


def test_a_person_may_be_asked_before_an_agent_uses_one(server: Connection) -> None:
    agent = create_agent(
        Script(calls(add={"a": 1, "b": 2}), "Done."),
        server.tools("add"),
        approve={"add"},
        checkpointer=InMemorySaver(),
    )
    [question] = agent.invoke("go", ON_1)["__interrupt__"]
    assert question.value["arguments"] == {"a": 1, "b": 2}
    assert results(agent.invoke(Command(resume={"action": "accept"}), ON_1).messages) == ["3"]


def test_what_a_server_asks_is_asked_of_the_runs_caller(colour: Colour, server: Connection) -> None:
    send, saver = tool(server, "send"), InMemorySaver()

    @colour.entrypoint(checkpointer=saver)
    async def flow(what: str) -> Any:
        return (await result(send(what=what))).text

    def asked(given: Any) -> dict[str, Any]:
        [question] = colour.invoke(flow, given, thread())["__interrupt__"]
        told: dict[str, Any] = question.value
        return told

    question = asked("tea")
    assert (question["tool"], question["question"]) == ("send", "Where is tea to go?")
    assert list(question["parameters"]["properties"]) == ["street"]
    assert "answer with a dict" in asked(Command(resume="Elm Road"))["problem"]
    assert colour.invoke(flow, Command(resume={"street": "Elm Road"}), thread()) == "tea goes to Elm Road"


def test_a_person_may_decline_what_a_server_asks(server: Connection) -> None:
    send = tool(server, "send")

    @entrypoint(checkpointer=InMemorySaver())
    def flow(what: str) -> Any:
        return send(what=what).result().text

    flow.invoke("tea", thread())
    with pytest.raises(ToolFailed, match="elicitation was decline"):
        flow.invoke(Command(resume=None), thread())


def test_a_session_that_died_is_opened_again_by_the_next_call(stdio: Connect) -> None:
    [process, die] = stdio().tools("process", "die")
    first = process().result().text
    with pytest.raises(ConnectionError, match="went away before it answered"):
        die().result()
    assert process().result().text not in ("", first)


def test_a_server_that_dies_while_nobody_asks_is_started_again_unnoticed(stdio: Connect) -> None:
    connection = stdio()
    process = tool(connection, "process")
    first = int(process().result().text)
    os.kill(first, signal.SIGKILL)
    with contextlib.suppress(ConnectionError):  # where the call was faster than the news
        process().result()
    assert int(process().result().text) != first


def test_a_retry_policy_asks_a_server_again_that_died(stdio: Connect, tmp_path: Path) -> None:
    again = RetryPolicy(initial_interval=0.01, jitter=False)
    die_once = tool(stdio(retry_policy=again), "die_once")

    @entrypoint
    def flow(mark: str) -> Any:
        return die_once(mark=mark).result().text

    assert flow.invoke(str(tmp_path / "mark")) == "here again"


def test_a_tools_own_failure_is_not_tried_again(stdio: Connect) -> None:
    refuse = tool(stdio(retry_policy=RetryPolicy(initial_interval=0.01)), "refuse")
    seen: list[int] = []

    @entrypoint
    def flow(x: int) -> Any:
        seen.append(x)
        return refuse(why="no").result()

    with pytest.raises(ToolFailed, match="no"):
        flow.invoke(1)
    assert seen == [1]


def test_a_call_that_takes_too_long_is_given_up_and_the_session_goes_on(stdio: Connect) -> None:
    [dawdle, process] = stdio(timeout_s=1).tools("dawdle", "process")
    first = process().result().text

    @entrypoint
    def flow(x: int) -> Any:
        return dawdle().result()

    with pytest.raises(NodeTimeoutError):
        flow.invoke(1)
    assert process().result().text == first


def test_over_http_a_server_may_be_replaced_meanwhile() -> None:
    port = free_port()
    with contextlib.ExitStack() as end:
        with serving_http(port) as address:
            connection = end.enter_context(Connection(address))
            [add, process] = connection.tools("add", "process")
            first = process().result().text
            assert add(a=1, b=2).result().data == {"result": 3}
        with pytest.raises(ConnectionError):
            add(a=1, b=2).result()
        with serving_http(port):
            assert process().result().text != first


def test_a_server_that_forgot_the_session_is_asked_over_a_new_one() -> None:
    port = free_port()
    with contextlib.ExitStack() as end:
        with serving_http(port) as address:
            connection = end.enter_context(Connection(lambda: Client(address, mode="legacy")))
            [process] = connection.tools("process")
            first = process().result().text

            @entrypoint
            async def both(x: int) -> list[str]:
                return [one.text for one in await asyncio.gather(process(), process())]

        with serving_http(port):
            assert first not in asyncio.run(both.ainvoke(1))


def test_what_names_no_server_or_no_tool_is_refused(server: Connection) -> None:
    for wrong in ("server.py", [], None, [1]):
        with pytest.raises(InvalidOption, match="no MCP server"):
            Connection(wrong)
    with pytest.raises(InvalidOption, match="has no tool 'subtract'"):
        server.tools("subtract")


def test_a_server_that_cannot_be_started_or_reached_is_a_connection_error() -> None:
    port = free_port()
    for nowhere in (["/no/such/command"], f"http://127.0.0.1:{port}/mcp"):
        with Connection(nowhere) as connection, pytest.raises(ConnectionError, match="cannot be reached"):
            connection.tools()


def test_after_its_block_a_connection_refuses_to_be_used() -> None:
    async def use() -> None:
        async with Connection(["/no/such/command"]) as connection:
            pass
        with pytest.raises(UsageError, match="was closed"):
            await connection.atools()

    asyncio.run(use())
