"""Agents with LangChain's chat models and tools: their messages are kept as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from clew import InMemorySaver
from clew.agents import create_agent
from support.scripted import ON_1, Script


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
    assert saved[3].content.startswith("Error: ValidationError")
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
