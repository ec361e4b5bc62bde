"""What the span of each activity is called, and what it says: names and attributes, in OpenTelemetry's vocabulary.

Names that begin with gen_ai are those of the semantic conventions for generative AI; those that begin with clew are
clew's own. What was said by people, models and tools is told only where `content` asks for it.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import json
from typing import Any

from clew.integrations.opentelemetry_messages import answered, conversation, instructions
from clew.observing import (
    Activity,
    AgentTurn,
    ModelCall,
    ToolUse,
    WatchedAttempt,
    WatchedCall,
    WatchedMemory,
    WatchedRun,
    WatchedSubmission,
)

Attributes = dict[str, Any]

# Of a request's options, under the providers' names and the conventions'. The others are not told.
_OPTIONS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed", "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens", "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty", "stop": "stop_sequences", "stop_sequences": "stop_sequences",
}  # fmt: skip


def name_of(activity: Activity) -> str:
    """Return the name of an activity's span: what is done, and to what, but nothing unique."""
    match activity:
        case WatchedRun():
            return f"invoke_workflow {activity.workflow}"
        case WatchedSubmission():
            return f"submit {activity.workflow}"
        case WatchedCall():
            return f"{'invoke_workflow' if activity.is_workflow else 'task'} {activity.name}"
        case WatchedAttempt():
            return f"attempt {activity.name}"
        case WatchedMemory():
            return f"memory {activity.operation}"
        case ModelCall():
            return f"chat {activity.model}"
        case ToolUse():
            return f"execute_tool {activity.name}"
        case AgentTurn():
            return f"invoke_agent {activity.name}"


def at_begin(activity: Activity, *, content: bool) -> Attributes:
    """Return what an activity's span says from its beginning."""
    match activity:
        case WatchedRun():
            return _workflow(activity.workflow, activity.thread_id) | _input(content, activity.input)
        case WatchedSubmission():
            return _thread(activity.thread_id) | {"clew.workflow": activity.workflow}
        case WatchedCall():
            return _call(activity) | _input(content, {"args": activity.args, **activity.kwargs})
        case WatchedAttempt():
            return {"clew.task.name": activity.name, "clew.task.attempt": activity.number}
        case WatchedMemory():
            return _memory(activity, content=content)
        case ModelCall():
            return _model(activity, content=content)
        case ToolUse():
            return _tool(activity, content=content)
        case AgentTurn():
            return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": activity.name}


def at_end(activity: Activity, *, content: bool) -> Attributes:
    """Return what an activity's span says besides, once the activity has ended."""
    match activity:
        case WatchedRun():
            counted = _known({"clew.run.id": activity.run_id, "clew.run.executions": activity.executions})
            return counted | _output(content, activity.value)
        case WatchedSubmission():
            return _known({"clew.run.id": activity.run_id})
        case WatchedCall():
            counted = {"clew.task.attempts": activity.attempts, "clew.task.cached": activity.is_cached}
            return counted | _output(content, activity.value)
        case WatchedMemory():
            return _known({"clew.memory.found": activity.found})
        case ModelCall():
            return _answer(activity, content=content)
        case ToolUse() if content and activity.result is not None:
            return {"gen_ai.tool.call.result": as_json(activity.result)}
        case _:
            return {}


def as_json(value: Any) -> str:
    """Return any value as JSON; what has no such form is shown as Python shows it."""
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError):
        return repr(value)


def _workflow(name: str, thread_id: str | None) -> Attributes:
    return {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name, **_thread(thread_id)}


def _thread(thread_id: str | None) -> Attributes:
    # The one name is for conversations with models; by the other, backends gather what belongs together.
    return _known({"gen_ai.conversation.id": thread_id, "session.id": thread_id})


def _call(call: WatchedCall) -> Attributes:
    what = _workflow(call.name, None) if call.is_workflow else {"clew.task.name": call.name}
    return {
        **what, **_thread(call.thread_id), "clew.run.id": call.run_id, "clew.call.key": call.key,
        "clew.call.id": call.id,
    }  # fmt: skip


def _memory(memory: WatchedMemory, *, content: bool) -> Attributes:
    told: Attributes = {"clew.memory.operation": memory.operation, "clew.memory.size": memory.size}
    if memory.namespaces:
        told["clew.memory.namespaces"] = ["/".join(namespace) for namespace in memory.namespaces]
    if memory.operation == "search":
        told["gen_ai.operation.name"] = "retrieval"
    return told | (_known({"gen_ai.retrieval.query.text": memory.query}) if content else {})


def _model(call: ModelCall, *, content: bool) -> Attributes:
    told: Attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": call.provider, "gen_ai.system": call.provider,
        "gen_ai.request.model": call.model,
    }  # fmt: skip
    for option, value in call.options.items():
        if option in _OPTIONS and value is not None:
            told[f"gen_ai.request.{_OPTIONS[option]}"] = [value] if option == "stop" and type(value) is str else value
    if content:
        told |= {"gen_ai.input.messages": as_json(conversation(call.messages))}
        if system := instructions(call.messages):
            told |= {"gen_ai.system_instructions": as_json(system)}
    return told


def _answer(call: ModelCall, *, content: bool) -> Attributes:
    told = _known({
        "gen_ai.response.id": call.response_id, "gen_ai.response.model": call.response_model,
        "gen_ai.usage.input_tokens": call.input_tokens, "gen_ai.usage.output_tokens": call.output_tokens,
        "gen_ai.response.finish_reasons": list(call.finish_reasons) or None,
    })  # fmt: skip
    if content and call.answer is not None:
        told["gen_ai.output.messages"] = as_json(answered(call.answer, call.finish_reasons))
    return told


def _tool(use: ToolUse, *, content: bool) -> Attributes:
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": use.name, "gen_ai.tool.type": "function"}
    if use.description:
        told["gen_ai.tool.description"] = use.description
    return told | ({"gen_ai.tool.call.arguments": as_json(use.arguments)} if content else {})


def _input(content: bool, value: Any) -> Attributes:
    # As OpenInference calls it: the conventions have a name only for what models and tools are told.
    return {"input.value": as_json(value), "input.mime_type": "application/json"} if content else {}


def _output(content: bool, value: Any) -> Attributes:
    return {"output.value": as_json(value), "output.mime_type": "application/json"} if content else {}


def _known(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}
