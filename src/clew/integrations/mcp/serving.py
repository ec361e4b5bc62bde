"""Workflows and a store as tools of an MCP server, made with the official package; its owner runs it.

What a model may name is the thread, the input, an answer, and the key of a memory. Which workflows and whose memories
these are, the server's owner has said.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from clew import BaseStore, Command, Output, SearchItem, Workflow
from clew.errors import ClewError, InvalidOption, MissingDependency
from clew.integrations.mcp.connection import RUN_KEY
from clew.integrations.mcp.sessions import MISSING

if TYPE_CHECKING:
    from mcp.server import MCPServer

Json = dict[str, Any]


def serve(
    workflows: Iterable[Workflow[Any, Any]] = (),
    *,
    store: BaseStore | None = None,
    namespace: tuple[str, ...] = (),
    name: str = "clew",
    **options: Any,
) -> MCPServer[Any]:
    """Make an MCP server of workflows and of a part of a store; start it with its `run()`.

    Each workflow is a tool of its name, with its docstring. It takes the input, and the thread's id if the workflow has
    a checkpointer. It gives {"value": ...}, or {"questions": [{"id", "question"}, ...], "how_to_answer": ...}; the tool
    `answer_NAME` then takes the answer. A store gives the tools `search_memory`, `put_memory` and `delete_memory`.

    Args:
        workflows: what is served; bind what callers may not choose, such as a user's id, with `with_config`.
        store: whose memories are served.
        namespace: where they are; no caller can name another.
        name: of the server.
        options: those of `mcp.server.MCPServer`, such as `instructions` or `auth`.

    Raises:
        InvalidOption: nothing to serve, a store without a namespace, two tools of one name, or a workflow whose input
            cannot be told to a caller.
        MissingDependency: the extra `mcp` is not installed.
    """
    try:
        from mcp.server import MCPServer
    except ModuleNotFoundError as error:
        raise MissingDependency(MISSING) from error
    tools = [tool for workflow in workflows for tool in _workflow_tools(workflow)]
    if store is not None:
        if not namespace:
            raise InvalidOption("a store is served under a namespace: namespace=('memories', 'ann'), say")
        tools += _store_tools(store, namespace)
    if not tools:
        raise InvalidOption("nothing to serve: give workflows, or store and namespace")
    server: MCPServer[Any] = MCPServer(name, **options)
    names: set[str] = set()
    for tool in tools:
        if tool.__name__ in names:
            raise InvalidOption(f"there are two tools named {tool.__name__!r}")
        names.add(tool.__name__)
        _add(server, tool)
    return server


def _add(server: MCPServer[Any], tool: Callable[..., Any]) -> None:
    try:
        server.add_tool(tool)
    except Exception as error:  # of pydantic and of the package, by many classes
        raise InvalidOption(f"the input of {tool.__name__!r} cannot be told to a caller: {error}") from error


def _workflow_tools(workflow: Workflow[Any, Any]) -> list[Callable[..., Any]]:
    from mcp.server.mcpserver import Context

    async def call(input: Any, context: Any, thread_id: str | None = None) -> Json:
        run_key = (context.request_context.meta or {}).get(RUN_KEY) if thread_id else None
        return await _run(workflow, input, thread_id, run_key=run_key)

    async def answer(thread_id: str, answer: Any, question_id: str = "") -> Json:
        return await _run(workflow, Command(resume={question_id: answer} if question_id else answer), thread_id)

    hint = _input_hint(workflow)
    if workflow.checkpointer is None:
        return [_described(call, workflow.name, workflow.__doc__ or "", input=hint, context=Context)]
    about = f"Answer a question that {workflow.name} asked on a thread; question_id names one of several questions."
    return [
        _described(call, workflow.name, workflow.__doc__ or "", input=hint, thread_id=str, context=Context),
        _described(answer, f"answer_{workflow.name}", about, thread_id=str, answer=Any, question_id=(str, "")),
    ]


def _described(function: Callable[..., Any], name: str, about: str, **parameters: Any) -> Callable[..., Any]:
    """Give a function what the official package reads off it. A parameter is a type, or a type and a default."""
    signed: list[inspect.Parameter] = []
    for label, kind in parameters.items():
        hint, default = kind if isinstance(kind, tuple) else (kind, inspect.Parameter.empty)
        signed.append(inspect.Parameter(label, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default))
    function.__name__, function.__doc__ = name, inspect.cleandoc(about)
    function.__annotations__ = {one.name: one.annotation for one in signed} | {"return": Json}
    function.__signature__ = inspect.Signature(signed, return_annotation=Json)  # type: ignore[attr-defined]
    return function


def _input_hint(workflow: Workflow[Any, Any]) -> Any:
    served: Any = workflow
    function = inspect.unwrap(served)
    first = next(iter(inspect.signature(function).parameters))
    try:
        return typing.get_type_hints(function, include_extras=True).get(first, Any)
    except (NameError, TypeError):  # hints that mean nothing here; or no function, but an object that can be called
        return Any


async def _run(workflow: Workflow[Any, Any], input: Any, thread_id: str | None, **options: Any) -> Json:
    """Run a workflow, and tell errors that a caller can do something about. Others stay here, in the log."""
    from mcp.server.mcpserver.exceptions import ToolError

    config = {"configurable": {"thread_id": thread_id}} if thread_id else {}
    try:
        return _told(workflow, await workflow.ainvoke(input, config, version="v2", **options))
    except ClewError as error:
        raise ToolError(str(error)) from error


def _told(workflow: Workflow[Any, Any], output: Output[Any]) -> Json:
    if not output.interrupts:
        value: Any = output.value
        # The reply of an agent: its messages stay on the thread.
        is_reply = hasattr(value, "messages") and hasattr(value, "value")
        return {"value": _plain(value.value if is_reply else value)}
    questions = [{"id": asked.id, "question": _plain(asked.value)} for asked in output.interrupts]
    how = f"call the tool answer_{workflow.name} with the same thread_id and an answer"
    return {"questions": questions, "how_to_answer": how + (" and question_id, for each" if len(questions) > 1 else "")}


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, bytes_mode="base64", fallback=str)


def _store_tools(store: BaseStore, namespace: tuple[str, ...]) -> list[Callable[..., Any]]:
    async def search_memory(query: str = "", limit: int = 10) -> list[Json]:
        """Find memories by meaning and words, the best first; without a query, the newest."""
        found = await store.asearch(namespace, query=query or None, limit=max(1, min(limit, 50)))
        return [_memory(item) for item in found]

    async def put_memory(key: str, value: Json) -> str:
        """Keep a memory, a JSON object such as {"text": ...}; it replaces the one of that key."""
        await store.aput(namespace, key, value)
        return f"Kept as {key}."

    async def delete_memory(key: str) -> str:
        """Delete a memory."""
        await store.adelete(namespace, key)
        return f"There is no memory {key} any more."

    return [search_memory, put_memory, delete_memory]


def _memory(item: SearchItem) -> Json:
    return {"key": item.key, "value": item.value, "updated_at": item.updated_at.isoformat()}
