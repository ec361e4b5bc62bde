"""`create_agent`: an agent as an ordinary workflow. How one of its turns goes is in `loop`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from clew import AgentTurn, RetryPolicy, Workflow, add_messages, entrypoint, task, watched
from clew.agents.forms import Json, Message, given
from clew.agents.history import Count, shortened, summary_request, tokens_in, within
from clew.agents.loop import ANSWER, Reply, take_turn
from clew.agents.memory import memory_tools, recall
from clew.agents.models import ASK_AGAIN, asking
from clew.agents.schemas import Schema
from clew.agents.tools import Tool, as_tools
from clew.agents.using import Toolbox
from clew.errors import InvalidOption


def create_agent(
    model: Any,
    tools: Iterable[Any] = (),
    *,
    prompt: str | Callable[..., Any] = "",
    output: Any = None,
    memory: Sequence[str] | None = None,
    approve: Collection[str] = (),
    budget: int | None = None,
    summarise: bool = False,
    count_tokens: Count = tokens_in,
    max_rounds: int = 25,
    model_retry: RetryPolicy | Sequence[RetryPolicy] | None = ASK_AGAIN,
    name: str = "agent",
    description: str = "",
    **options: Any,
) -> Workflow[Any, Reply]:
    """Make a workflow in which a model uses tools until it has an answer.

    Its input is what the user says: a text, a message, or a list of messages. Its value is a `Reply`; the thread keeps
    all messages. Each call of the model and each use of a tool is a task.

    Args:
        model: `openai_model(...)`, `anthropic_model(...)`, a LangChain chat model, or any function from messages (and
            `tools`, if it has such a parameter) to a message, blocking or async.
        tools: functions with type hints and a docstring, blocking or async; tasks; agents and other workflows; tools of
            LangChain and of MCP servers; `Tool`s. A function may ask for `store`, `config`, `runtime`, `writer`,
            `messages` and `tool_call_id` by the names of its parameters; the model does not see these.
        prompt: what the model is told first; or a function from the messages to that, called once in a turn, which may
            ask for `store`, `config` and `runtime`, too.
        output: what the answer is to be: a pydantic model or a dataclass. `Reply.output` is then one.
        memory: a namespace of long-term memory, such as ("memories", "{user_id}"), filled from the config; the agent
            recalls what fits the conversation, and may keep, correct, forget and look up memories.
        approve: names of tools that are used only after a person has looked at the call. The question is
            {"tool", "arguments", "description"}; the answer {"action": "accept"}, {"action": "edit", "arguments": ...},
            {"action": "answer", "answer": ...} or {"action": "refuse", "why": ...}.
        budget: about how many tokens of the conversation the model is shown; all by default. The thread keeps all.
        summarise: let the model summarise what is beyond the budget, instead of leaving it out.
        count_tokens: counts the tokens of a text; by default they are estimated, as four bytes each.
        max_rounds: how often the model may be asked in a turn.
        model_retry: after which failures it is asked again; by default after those that may pass.
        name: of the workflow, and of the tool that it is for another agent.
        description: what it is for.
        options: those of `@entrypoint`, such as `database`.

    Raises:
        InvalidOption: a tool, model or output that cannot be used, or a name in `approve` that no tool has.
        MissingDependency: pydantic is not installed.
    """
    notes = [task(prompt, name="prompt")] if callable(prompt) else []
    if memory is not None:
        tools = [*tools, *memory_tools(memory)]
        notes.append(task(recall(memory, count_tokens=count_tokens), name="recall"))
    answer = None if output is None else Schema(output, f"output {output!r}")
    toolbox = Toolbox(as_tools([*tools, *([] if answer is None else [_answer_tool(answer)])]), approve)
    _check(toolbox, approve, answer)
    _check_limits(max_rounds, budget, summarise)

    def request(messages: Sequence[Message], noted: Sequence[str]) -> list[Message]:
        system = "\n\n".join(part for part in ("" if callable(prompt) else prompt, *noted) if part)
        told = [{"role": "system", "content": system}] if system else []
        return [*told, *within(messages, budget, count_tokens)]

    call_model = asking("call_model", model, request, toolbox.specs, model_retry)
    call_for_summary = asking("summarise", model, summary_request, [], model_retry)

    async def agent(input: Any, *, previous: list[Any] | None = None) -> entrypoint.final[Reply, list[Any]]:
        before = previous or []
        if summarise and budget is not None:
            before = await shortened(before, budget, call_for_summary, count_tokens)
        with watched(AgentTurn(name=name)):
            messages, reply = await take_turn(
                add_messages(before, given(input)),
                ask=call_model, tools=toolbox, notes=notes, output=answer, max_rounds=max_rounds,
            )  # fmt: skip
        return entrypoint.final(value=replace(reply, messages=messages[len(before) :]), save=messages)

    agent.__doc__ = description
    named = [output] if isinstance(output, type) else []
    allow = (*named, *options.pop("allow", ()))
    workflow: Workflow[Any, Reply] = entrypoint(name=name, allow=allow, **options)(agent)
    return workflow


def _check(toolbox: Toolbox, approve: Collection[str], answer: Schema | None) -> None:
    if isinstance(approve, str):
        raise InvalidOption(f"approve is a set of names, such as {{{approve!r}}}, not a text")
    if unknown := set(approve) - set(toolbox.tools):
        raise InvalidOption(f"approve names {sorted(unknown)}, but the tools are {sorted(toolbox.tools)}")
    ends = {name for name, tool in toolbox.tools.items() if tool.to is not None or (answer and name == ANSWER)}
    if wrong := ends & set(approve):
        raise InvalidOption(f"approve names {sorted(wrong)}, but what ends a turn does nothing to be asked about")


def _check_limits(max_rounds: int, budget: int | None, summarise: bool) -> None:
    if max_rounds < 1:
        raise InvalidOption(f"max_rounds is at least 1, not {max_rounds}")
    if budget is not None and budget < 1:
        raise InvalidOption(f"budget is a number of tokens, at least 1, or None for no limit; not {budget}")
    if summarise and budget is None:
        raise InvalidOption("summarise=True needs a budget: budget=4000 tokens, say")


def _answer_tool(output: Schema) -> Tool:
    def read(arguments: Json | str) -> Json:
        output.read(arguments)
        return {}

    return Tool(
        name=ANSWER, description="Give your final answer.", parameters=output.json, read=read,
        function=lambda: "Accepted.",
    )  # fmt: skip
