"""Agents with LangChain's chat models and tools: their messages are kept as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException, tool

from clew import Command, InMemorySaver, InMemoryStore, SqliteSaver
from clew.agents import create_agent
from clew.errors import NotRecordable
from support.scripted import ON_1, Script, calls

paid: list[int] = []


@tool
def pay(amount: int = 1) -> str:
    """Pay."""
    paid.append(amount)
    return "paid"


ON_2 = {"configurable": {"thread_id": "2"}}


class Model(BaseChatModel):
    """Says its lines in turn."""

    lines: list[AIMessage]
    asked: list[list[BaseMessage]]
    told: list[Any]

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        self.told[:] = tools
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        self.asked.append(messages)
        said = sum(message.type == "ai" for message in messages)
        return ChatResult(generations=[ChatGeneration(message=self.lines[said].model_copy())])


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def call(id: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "weather", "args": arguments, "id": id, "type": "tool_call"}


def test_a_model_and_a_tool_of_langchain_work_together() -> None:
    lines = [
        AIMessage("", tool_calls=[call("1", city="Oslo"), call("2", town="Oslo")], response_metadata={"of": "theirs"}),
        AIMessage("It rains."),
        AIMessage("Hello."),
    ]
    model = Model(lines=lines, asked=[], told=[])
    agent = create_agent(model, [weather], prompt="Be brief.", budget=10_000, checkpointer=InMemorySaver())
    assert agent.invoke("What of Oslo?", ON_1).text == "It rains."
    assert agent.invoke([("user", "Hi")], ON_1).text == "Hello."
    saved = agent.get_state(ON_1).saved
    assert [message.type for message in saved] == ["human", "ai", "tool", "tool", "ai", "human", "ai"]
    assert saved[1].response_metadata == {"of": "theirs"}
    assert saved[2].content == "rain in Oslo"
    assert saved[3].content.startswith("Error: ValueError: city: Field required")
    assert model.told[0]["function"]["parameters"]["required"] == ["city"]
    assert model.asked[0][0].type == "system"


def test_what_the_model_says_is_streamed_once() -> None:
    lines = [AIMessage("I look.", tool_calls=[call("1", city="Oslo")]), AIMessage("It rains.")]
    agent = create_agent(Model(lines=lines, asked=[], told=[]), [weather])
    said = [message for message, _ in agent.stream("go", stream_mode="messages")]
    assert [message.content for message in said if message.type == "ai"] == ["I look.", "It rains."]


def test_a_conversation_in_langchains_form_is_summarised() -> None:
    long = "word " * 40
    model = Model(lines=[AIMessage(long) for _ in range(9)], asked=[], told=[])
    agent = create_agent(model, prompt="Be brief.", budget=140, summarise=True, checkpointer=InMemorySaver())
    for text in "abcd":
        agent.invoke(text, ON_1)
    assert [message.type for message in agent.get_state(ON_1).saved] == ["human", "ai"] * 2 + ["system"] + [
        "human",
        "ai",
    ] * 2
    assert [message.type for message in model.asked[-1]] == ["system", "system", "human", "ai", "human"]


def test_another_kind_of_model_goes_on_with_langchains_messages() -> None:
    saver = InMemorySaver()
    lines = [AIMessage("", tool_calls=[call("1", city="Oslo")]), AIMessage("It rains.")]
    create_agent(Model(lines=lines, asked=[], told=[]), [weather], checkpointer=saver).invoke("go", ON_1)
    model = Script(None, None, "Hello.")
    assert create_agent(model, checkpointer=saver).invoke("Hi", ON_1).text == "Hello."
    assert [message["role"] for message in model.asked[0]] == ["user", "assistant", "tool", "assistant", "user"]


@tool
def note(
    text: str,
    store: Annotated[Any, InjectedToolArg],
    state: Annotated[dict[str, Any], InjectedToolArg],
    call: Annotated[str, InjectedToolCallId],
    config: RunnableConfig,
) -> str:
    """Note something."""
    store.put(("notes",), call, {"text": text})
    return f"{config['configurable']['user_id']} {len(state['messages'])}"


def test_what_a_tool_hides_from_models_is_filled_from_the_run() -> None:
    used = {"name": "note", "args": {"text": "tea"}, "id": "c1", "type": "tool_call"}
    model = Model(lines=[AIMessage("", tool_calls=[used]), AIMessage("Noted.")], asked=[], told=[])
    store = InMemoryStore()
    agent = create_agent(model, [note], store=store, checkpointer=InMemorySaver())
    reply = agent.invoke("Note tea", ON_1)
    assert reply.messages[2].content == "bob 2"
    assert store.search(("notes",))[0].key == "c1"
    assert list(model.told[0]["function"]["parameters"]["properties"]) == ["text"]


@tool(response_format="content_and_artifact")
def look_up(city: str) -> tuple[str, dict[str, Any]]:
    """Look a city up."""
    return "a city", {"raw": [city, (1, 2)]}


def test_artifacts_are_kept_with_the_message_and_not_shown_to_models(tmp_path: Path) -> None:
    used = {"name": "look_up", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}
    with contextlib.closing(SqliteSaver(tmp_path / "kept.db")) as saver:
        model = Model(lines=[AIMessage("", tool_calls=[used]), AIMessage("Done.")], asked=[], told=[])
        agent = create_agent(model, [look_up], approve={"look_up"}, checkpointer=saver)
        agent.invoke("go", ON_1)
        edited = {"action": "edit", "arguments": {"city": "Rome"}}
        reply = agent.invoke(Command(resume=edited), ON_1)
        kept = agent.get_state(ON_1).saved[2]
        assert kept == reply.messages[2]
        assert kept.artifact == {"raw": ["Rome", (1, 2)]}
        assert kept.content.endswith("Result: a city")
        script = Script(calls(look_up={"city": "Oslo"}), "Done.")
        plain = create_agent(script, [look_up], name="plain", checkpointer=saver).invoke("go", ON_2)
        assert plain.messages[2]["artifact"] == {"raw": ["Oslo", (1, 2)]}
        assert "artifact" not in script.asked[1][2]


def test_a_tools_exception_is_told_as_the_tool_wants_it_told() -> None:
    def fail(city: str) -> str:
        """Fail."""
        raise ToolException(f"no {city}")

    handled = StructuredTool.from_function(fail, name="handled", handle_tool_error=lambda error: f"Sorry: {error}")
    raised = StructuredTool.from_function(fail, name="raised")
    used = [{"name": name, "args": {"city": "Oslo"}, "id": name, "type": "tool_call"} for name in ("handled", "raised")]
    model = Model(lines=[AIMessage("", tool_calls=used), AIMessage("Done.")], asked=[], told=[])
    reply = create_agent(model, [handled, raised]).invoke("go")
    assert [m.content for m in reply.messages[2:4]] == ["Sorry: no Oslo", "Error: ToolException: no Oslo"]


def test_an_artifact_that_cannot_be_kept_ends_the_run_and_is_not_told_to_the_model() -> None:
    @tool(response_format="content_and_artifact")
    def open_file(name: str) -> tuple[str, Any]:
        """Open a file."""
        return "opened", object()

    used = {"name": "open_file", "args": {"name": "a"}, "id": "c1", "type": "tool_call"}
    model = Model(lines=[AIMessage("", tool_calls=[used])], asked=[], told=[])
    with pytest.raises(NotRecordable, match="artifact"):
        create_agent(model, [open_file], checkpointer=InMemorySaver()).invoke("go", ON_1)


@pytest.mark.parametrize("reason", [{"finish_reason": "length"}, {"stop_reason": "max_tokens"}])
def test_a_call_that_was_cut_off_is_not_made_though_langchain_completes_it(reason: dict[str, str]) -> None:
    cut = {"name": "pay", "args": {"amount": 5}, "id": "2", "type": "tool_call"}
    lines = [AIMessage("", tool_calls=[call("1", city="Oslo"), cut], response_metadata=reason), AIMessage("ok")]
    reply = create_agent(Model(lines=lines, asked=[], told=[]), [weather, pay]).invoke("go")
    assert [m.content for m in reply.messages if m.type == "tool"] == [
        "rain in Oslo", "Error: ValueError: the arguments are not a JSON object"
    ]  # fmt: skip
    assert paid == []


def test_nobody_is_asked_about_a_langchain_tool_whose_arguments_do_not_fit() -> None:
    model = Script(calls(pay={"amount": "many"}), lambda messages: messages[-1]["content"])
    agent = create_agent(model, [pay], approve={"pay"}, checkpointer=InMemorySaver())
    assert agent.invoke("go", ON_1).text.startswith("Error: ValueError: amount: Input should be a valid integer")
