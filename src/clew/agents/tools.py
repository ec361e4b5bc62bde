"""Tools: what a model may have done, made of functions, tasks, agents and other people's tools."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clew import Task, Workflow, get_config, get_runtime, get_store, get_stream_writer
from clew.agents.forms import Json, text_of
from clew.agents.schemas import Schema, as_text, hinted, is_async, schema_of_parameters
from clew.errors import InvalidOption

# What a tool may ask for by the name of a parameter. No model sees these, or can fill them.
_INJECTED: dict[str, Callable[[], Any]] = {
    "store": get_store, "config": get_config, "runtime": get_runtime, "writer": get_stream_writer,
}  # fmt: skip
# Likewise, but known to the agent alone: the conversation so far, and the model's name for this call.
OF_THE_CALL = frozenset({"messages", "tool_call_id"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _as_given(arguments: Json | str) -> Json:
    if isinstance(arguments, str):
        raise ValueError("the arguments are not a JSON object")
    return arguments


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What a model may have done.

    Args:
        name: letters, digits, - and _, at most 64.
        description: when and how to use it, for the model.
        function: is called with the arguments by name; blocking or async.
        parameters: JSON schema of the arguments, an object.
        read: checks the arguments and returns what `function` is given; raises ValueError.
        asks_for: which of store, config, runtime, writer, messages and tool_call_id `function` is given besides.
        to: who goes on once it was used; the agent's turn then ends. None: the agent itself.

    Raises:
        InvalidOption: providers would refuse the name.
    """

    name: str
    description: str
    function: Callable[..., Any]
    parameters: Json = field(default_factory=lambda: {"type": "object", "properties": {}})
    read: Callable[[Json | str], Any] = _as_given
    asks_for: frozenset[str] = frozenset()
    to: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidOption(f"{self.name!r} is no name for a tool; use letters, digits, - and _, at most 64")

    @property
    def spec(self) -> Json:
        """What the model is told, in OpenAI's shape."""
        told = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": told}

    def given(self, arguments: Json, known: Mapping[str, Any]) -> Json:
        """Return what `function` is called with, inside a run.

        Args:
            arguments: the model's, or a person's.
            known: what of `OF_THE_CALL` it asks for.

        Raises:
            ValueError: the arguments do not fit.
        """
        return {**self.read(arguments), **known, **{name: _INJECTED[name]() for name in self.asks_for - OF_THE_CALL}}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a tool gives where it gives more than a text.

    Args:
        text: for the model.
        artifact: for the program: kept with the message that tells the model.
    """

    text: str
    artifact: Any


def hand_over(to: str, when: str) -> Tool:
    """Return the tool by which a member of a team passes the conversation on.

    Args:
        to: the name of the member who goes on.
        when: for the model: when to do so.
    """
    name = f"hand_over_to_{to}"
    return Tool(name=name, description=when, read=lambda _: {}, function=lambda: f"{to} goes on.", to=to)


def as_tools(given: Iterable[Any]) -> dict[str, Tool]:
    """Return tools by name: of functions, tasks, agents and other workflows, tools of LangChain and of MCP servers.

    Raises:
        InvalidOption: two of one name, or something that is no tool.
    """
    tools: dict[str, Tool] = {}
    for tool in map(_as_tool, given):
        if tool.name in tools:
            raise InvalidOption(f"there are two tools named {tool.name!r}")
        tools[tool.name] = tool
    return tools


def _as_tool(given: Any) -> Tool:
    if isinstance(given, Tool):
        return given
    if isinstance(given, Workflow):
        return _of_workflow(given)
    if isinstance(given, Task):
        return _of_function(given.func, given.name, _awaited(given) if is_async(given.func) else _waited_for(given))
    if hasattr(given, "args_schema") and hasattr(given, "ainvoke"):
        return _of_langchain(given)
    if hasattr(given, "parameters") and hasattr(given, "description"):
        return _of_described(given)
    if not callable(given):
        raise InvalidOption(f"no tool: {given!r}; give a function, a task, an agent, a LangChain tool or a Tool")
    name = hinted(given).__name__
    return _of_function(given, type(given).__name__ if name == "__call__" else name, given)


def _of_function(
    described: Callable[..., Any], name: str, called: Callable[..., Any], description: str | None = None
) -> Tool:
    asks_for = frozenset(inspect.signature(described).parameters) & {*_INJECTED, *OF_THE_CALL}
    schema = schema_of_parameters(described, name, without=asks_for)
    return Tool(
        name=name,
        description=description or inspect.getdoc(hinted(described)) or "",
        function=called,
        parameters=schema.json,
        read=lambda arguments: schema.read(_as_given(arguments)),
        asks_for=asks_for,
    )


def _waited_for(of: Task[..., Any]) -> Callable[..., Any]:
    return lambda **arguments: of(**arguments).result()


def _awaited(of: Task[..., Any]) -> Callable[..., Any]:
    async def call(**arguments: Any) -> Any:
        return await of(**arguments)

    return call


def _of_workflow(agent: Workflow[Any, Any]) -> Tool:
    async def delegate(request: str) -> str:
        said = await agent.ainvoke(request)
        return as_text(getattr(said, "value", said))

    return _of_function(delegate, agent.name, delegate, agent.__doc__)


def _of_described(given: Any) -> Tool:
    """Return the tool of what starts a task and says itself what it takes, such as a tool of an MCP server."""

    async def call(**arguments: Any) -> str:
        return str(await given(**arguments))

    return Tool(name=given.name, description=given.description, parameters=given.parameters, function=call)


def _of_langchain(given: Any) -> Tool:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    hidden = _hidden_parameters(given)

    async def call(*, tool_call_id: str, **taken: Any) -> str | Told:
        if "state" in hidden:  # as tools of LangGraph's agents know the conversation
            taken["state"] = {"messages": taken["messages"]}
        if "messages" not in hidden:
            taken.pop("messages", None)
        answer = await given.ainvoke({"type": "tool_call", "id": tool_call_id, "name": given.name, "args": taken})
        artifact = getattr(answer, "artifact", None)
        return text_of(answer) if artifact is None else Told(text=text_of(answer), artifact=artifact)

    asks_for = {"tool_call_id", *(hidden & {*_INJECTED, "messages"}), *(["messages"] if "state" in hidden else [])}
    told = convert_to_openai_tool(given)["function"]
    return Tool(
        name=given.name,
        description=told["description"],
        parameters=told["parameters"],
        function=call,
        read=_reading(given),
        asks_for=frozenset(asks_for),
    )


def _reading(tool: Any) -> Callable[[Json | str], Json]:
    """Return what checks the arguments of a LangChain tool, which it is then given as they are."""
    if not hasattr(tool.tool_call_schema, "model_fields"):
        return _as_given  # a JSON schema, as of a server, which checks for itself
    schema = Schema(tool.tool_call_schema, f"tool {tool.name!r}")

    def read(arguments: Json | str) -> Json:
        schema.read(given := _as_given(arguments))
        return given

    return read


def _hidden_parameters(given: Any) -> set[str]:
    """Return the names of a LangChain tool's parameters that it hides from models."""
    everything, shown = given.get_input_schema(), given.tool_call_schema
    fields = getattr(everything, "model_fields", {})
    return set(fields) - set(getattr(shown, "model_fields", fields))
