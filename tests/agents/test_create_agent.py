"""An agent asks its model, uses tools, and comes to an answer, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from clew import Command, Database, InMemorySaver, InMemoryStore, RetryPolicy, Runtime, interrupt, task
from clew.agents import Tool, create_agent
from clew.errors import InvalidMessage, InvalidOption, TooManyRounds
from clew.testing import crash_everywhere
from support.colours import PATIENCE_S, Meeting
from support.scripted import ON_1, Script, calls, results

NOW = RetryPolicy(initial_interval=0, jitter=False)


def weather(city: str, days: int = 1) -> str:
    """Tell the weather."""
    return f"rain in {city} for {days}"


async def population(city: str) -> dict[str, int]:
    """Tell how many live there."""
    return {city: 700_000}


def test_results_of_tools_of_either_colour_come_back_to_the_model_in_order() -> None:
    model = Script(calls(weather={"city": "Oslo", "days": "3"}, population={"city": "Oslo"}), "It rains.")
    agent = create_agent(model, [weather, population], prompt="Be brief.")
    reply = agent.invoke("What of Oslo?")
    assert (str(reply), reply.value, reply.output) == ("It rains.", "It rains.", None)
    assert [message["role"] for message in reply.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert results(reply.messages) == ["rain in Oslo for 3", '{"Oslo":700000}']
    assert model.asked[0] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What of Oslo?"}]


def test_a_tool_is_told_by_its_hints_and_its_docstring() -> None:
    def book(
        room: Annotated[str, Field(description="its number")],
        nights: Annotated[int, Field(ge=1)] = 1,
        *,
        store: Any = None,
        config: Any,
        runtime: Runtime[Any],
        messages: Any,
    ) -> str:
        """Book a room."""
        return f"{room} {nights} {config['configurable']['user_id']} {len(messages)} {runtime.idempotency_key != ''}"

    model = Script(calls(book={"room": "7"}), "Booked.")
    with Database(":memory:") as database:
        reply = create_agent(model, [book], database=database).invoke("7, please", ON_1)
    [told] = model.told
    assert told["function"]["name"] == "book"
    assert told["function"]["description"] == "Book a room."
    parameters = told["function"]["parameters"]
    assert set(parameters["properties"]) == {"room", "nights"}
    assert parameters["properties"]["room"]["description"] == "its number"
    assert (parameters["required"], parameters["additionalProperties"]) == (["room"], False)
    assert results(reply.messages) == ["7 1 bob 2 True"]


@dataclass
class Guest:
    name: str
    age: int


def test_arguments_become_what_the_hints_say() -> None:
    def greet(guest: Guest) -> str:
        return f"{type(guest).__name__} {guest.name}"

    model = Script(calls(greet={"guest": {"name": "Ann", "age": 3}}), "ok")
    assert results(create_agent(model, [greet]).invoke("go").messages) == ["Guest Ann"]


def test_unknown_tools_bad_arguments_and_failures_go_back_to_the_model() -> None:
    class Odd(Exception):
        pass

    def breaks(x: int) -> str:
        raise Odd(f"not {x}")

    broken = calls(weather={"city": 1, "town": "x"}, fly={}, breaks={"x": 4})
    broken["tool_calls"].append(
        {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": '}}
    )
    seen = results(create_agent(Script(broken, "Sorry."), [weather, breaks]).invoke("go").messages)
    assert "city: Input should be a valid string" in seen[0]
    assert "town" in seen[0]
    assert seen[1] == "Error: there is no tool 'fly'; there are weather, breaks"
    assert seen[2] == "Error: Odd: not 4"
    assert seen[3] == "Error: ValueError: the arguments are not a JSON object"


def test_a_failed_tool_leaves_no_memory_and_reads_the_same_after_a_question(tmp_path: Path) -> None:
    class Odd(Exception):
        pass

    def breaks(store: Any) -> str:
        store.put(("m",), "k", {"x": 1})
        raise Odd("no")

    def asks() -> str:
        return str(interrupt("really?"))

    model = Script(calls(breaks={}), calls(asks={}), "done")
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(model, [breaks, asks], database=database)
        assert agent.invoke("go", ON_1)["__interrupt__"][0].value == "really?"
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(model, [breaks, asks], database=database)
        reply = agent.invoke(Command(resume="yes"), ON_1)
        assert results(reply.messages) == ["Error: Odd: no", "yes"]
        assert database.store.search(()) == []
    assert len(model.asked) == 3


def test_tools_that_are_wanted_at_once_are_used_side_by_side() -> None:
    both, meeting = threading.Barrier(2, timeout=PATIENCE_S), Meeting(2)

    def waits(x: int) -> int:
        both.wait()
        return x

    async def meets(x: int) -> int:
        await meeting.all_here()
        return x

    wanted = calls(waits={"x": 1}, meets={"x": 2})
    wanted["tool_calls"] += [{**call, "id": call["id"] + "_again"} for call in wanted["tool_calls"]]
    reply = create_agent(Script(wanted, "ok"), [waits, meets]).invoke("go")
    assert results(reply.messages) == ["1", "2", "1", "2"]


def test_the_thread_keeps_the_conversation() -> None:
    model = Script("Hello.", lambda messages: str(len(messages)))
    agent = create_agent(model, checkpointer=InMemorySaver())
    agent.invoke("Hi", ON_1)
    reply = agent.invoke({"role": "user", "content": "again"}, ON_1)
    assert (reply.text, len(reply.messages)) == ("3", 2)
    assert [m["content"] for m in agent.get_state(ON_1).saved] == ["Hi", "Hello.", "again", "3"]


def test_too_many_rounds_keep_what_was_done_and_a_higher_limit_goes_on() -> None:
    used: list[int] = []

    def again() -> str:
        used.append(1)
        return "more"

    model = Script(*[calls(again={})] * 4, "At last.")
    saver = InMemorySaver()
    with pytest.raises(TooManyRounds, match=r"asked 3 times.*raise max_rounds") as caught:
        create_agent(model, [again], max_rounds=3, checkpointer=saver).invoke("go", ON_1)
    assert len(caught.value.messages) == 7
    assert create_agent(model, [again], max_rounds=5, checkpointer=saver).invoke(None, ON_1).text == "At last."
    assert (len(used), len(model.asked)) == (4, 5)


class Parts(TypedDict):
    of: list[str]


class Trip(BaseModel):
    city: str
    days: int = Field(ge=1)


@pytest.mark.parametrize("kind", [Trip, Guest])
def test_the_answer_is_what_was_asked_for(kind: Any) -> None:
    right = {"city": "Oslo", "days": 2} if kind is Trip else {"name": "Ann", "age": 3}
    model = Script("Let me think.", calls(answer={}), calls(answer=right))
    agent = create_agent(model, output=kind, checkpointer=InMemorySaver())
    reply = agent.invoke("go", ON_1)
    assert reply.output == reply.value == kind(**right)
    assert "answer" in reply.messages[2]["content"]
    assert "Field required" in results(reply.messages)[0]
    assert results(reply.messages)[1] == "Accepted."
    assert agent.get_state(ON_1).values.output == kind(**right)


def test_json_alone_is_an_answer_too() -> None:
    assert create_agent(Script('{"city": "Rome", "days": 1}'), output=Trip).invoke("go").output == Trip(
        city="Rome", days=1
    )


def test_text_that_is_no_answer_is_sent_back_with_what_is_wrong() -> None:
    model = Script('{"city": "Rome", "days": 0}', '{"city": "Rome", "days": 1}')
    reply = create_agent(model, output=Trip).invoke("go")
    assert reply.output == Trip(city="Rome", days=1)
    assert "days: Input should be greater than or equal to 1" in model.asked[1][-1]["content"]


class Clock:
    async def __call__(self, zone: str) -> str:
        """Tell the time."""
        return f"noon in {zone}"

    def ring(self, times: int) -> str:
        """Ring."""
        return "ding " * times


def test_methods_partials_and_callable_objects_are_tools() -> None:
    model = Script(calls(Clock={"zone": "Oslo"}, ring={"times": 2}, weather={"city": "Rome"}), "ok")
    agent = create_agent(model, [Clock(), Clock().ring, partial(weather, days=7)])
    assert results(agent.invoke("go").messages) == ["noon in Oslo", "ding ding ", "rain in Rome for 7"]
    assert [told["function"]["description"] for told in model.told] == ["Tell the time.", "Ring.", "Tell the weather."]


def test_a_task_is_a_tool_with_its_own_policy() -> None:
    tried: list[int] = []

    @task(retry_policy=NOW)
    def flaky(x: int) -> str:
        """Try."""
        tried.append(x)
        if len(tried) < 3:
            raise ConnectionError
        return "there"

    @task
    async def swift(x: int) -> int:
        return x

    model = Script(calls(flaky={"x": 1}, swift={"x": 2}), "ok")
    assert results(create_agent(model, [flaky, swift]).invoke("go").messages) == ["there", "2"]


def test_the_model_is_asked_again_after_what_may_pass() -> None:
    class Refused(Exception):
        status_code = 400

    def breaks_then(error: Exception) -> Any:
        failures = [error]

        async def model(messages: Any) -> Any:
            if failures:
                raise failures.pop()
            return {"role": "assistant", "content": "ok"}

        return model

    assert create_agent(breaks_then(ConnectionError()), model_retry=NOW).invoke("go").text == "ok"
    with pytest.raises(Refused):
        create_agent(breaks_then(Refused())).invoke("go")


def test_each_step_is_streamed_by_its_name() -> None:
    model = Script(calls(weather={"city": "Oslo"}), "It rains.")
    names = [name for chunk in create_agent(model, [weather]).stream("go") for name in chunk]
    assert names == ["call_model", "weather", "call_model", "agent"]


def test_tools_run_once_wherever_the_agent_crashes() -> None:
    paid: list[int] = []

    def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    def note(text: str, store: Any) -> str:
        store.put(("notes",), text, {"text": text})
        return "noted"

    def fails() -> str:
        raise LookupError("never")

    def same(one: Any, other: Any) -> bool:  # but for the ids of messages, which are drawn from the thread
        return [m["content"] for m in one.messages] == [m["content"] for m in other.messages]

    model = Script(calls(pay={"amount": 5}, note={"text": "a"}, fails={}), calls(note={"text": "b"}), "Done.")
    agent = create_agent(model, [pay, note, fails], approve={"pay"}, store=InMemoryStore())
    report = crash_everywhere(agent, "go", answer=lambda question: {"action": "accept"}, config=ON_1, same=same)
    assert report.value.text == "Done."
    # Undisturbed, for each crash and for the place behind the last; and once more where its outcome was lost.
    assert len(paid) == 1 + len(report.crashes) + 1 + 1


def test_it_runs_in_async_code_too() -> None:
    async def model(messages: Any) -> Any:
        return {"role": "assistant", "content": "Hello."}

    assert asyncio.run(create_agent(model).ainvoke("Hi")).text == "Hello."


def of_no_kind(x: RetryPolicy) -> None: ...


def test_what_cannot_work_is_refused_where_the_agent_is_made() -> None:
    for wrong, told in (
        ({"tools": [weather], "approve": {"send"}}, r"approve names \['send'\], but the tools are \['weather'\]"),
        ({"tools": [weather, weather]}, "two tools named 'weather'"),
        ({"tools": [lambda: 1]}, "no name for a tool"),
        ({"tools": [3]}, "no tool: 3"),
        ({"tools": [of_no_kind]}, "tool 'of_no_kind' cannot be told to a model"),
        ({"output": int}, "must be an object"),
        ({"output": Trip, "approve": {"answer"}}, "what ends a turn does nothing to be asked about"),
        ({"summarise": True}, "needs a budget"),
    ):
        with pytest.raises(InvalidOption, match=told):
            create_agent(Script(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="no model: 'gpt'"):
        create_agent("gpt")
    for options in ({"max_rounds": 0}, {"budget": 0}, {"approve": "weather"}):
        with pytest.raises(InvalidOption, match=next(iter(options))):
            create_agent(Script(), [weather], **options)  # type: ignore[arg-type]


def test_what_is_no_message_of_a_model_is_refused_at_once() -> None:
    from openai.types.chat import ChatCompletionMessage

    no_text = calls(weather={})
    no_text["tool_calls"][0]["function"]["arguments"] = {"city": "Oslo"}
    no_id = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}
    of_the_sdk = ChatCompletionMessage(role="assistant", content="Hello.")
    for wrong in ("text", None, {"content": "no role"}, {"role": "user", "content": "a"}, no_text, no_id, of_the_sdk):
        asked: list[int] = []
        with pytest.raises(InvalidMessage, match="a model gives a message"):
            create_agent(lambda messages, said=wrong, asked=asked: asked.append(1) or said, [weather]).invoke("go")
        assert len(asked) == 1


def test_importing_agents_loads_no_optional_package() -> None:
    source = (
        "import sys, clew.agents; print(*(set(sys.modules) & {'pydantic', 'openai', 'anthropic', 'langchain_core'}))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_answer_may_be_a_typed_dict() -> None:
    agent = create_agent(Script(calls(answer={"of": ["a"]})), output=Parts, checkpointer=InMemorySaver())
    assert agent.invoke("go", ON_1).output == {"of": ["a"]}


def test_a_tool_may_be_described_by_hand() -> None:
    async def call(**arguments: Any) -> Any:
        return arguments

    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    model = Script(calls(remote={"x": 1}), "ok")
    tool = Tool(name="remote", description="Far away.", parameters=schema, function=call)
    assert results(create_agent(model, [tool]).invoke("go").messages) == ['{"x":1}']
    assert model.told == [tool.spec]
