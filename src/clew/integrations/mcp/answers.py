"""What a tool of an MCP server answered, and the questions that it may have first. It knows no connections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clew.context import interrupt
from clew.errors import ToolFailed

if TYPE_CHECKING:
    from mcp.types import CallToolResult, InputResponses

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool of an MCP server answered.

    Args:
        content: the parts of the answer, as the protocol has them: {"type": "text", "text": ...}, images, ...
        data: the answer as the server's structured content, or None.
    """

    content: list[Json]
    data: Any = None

    @property
    def text(self) -> str:
        """What a model reads: the texts, with other parts named but not shown."""
        return "\n".join(map(_text, self.content)) if self.content else json.dumps(self.data, ensure_ascii=False)

    def __str__(self) -> str:
        return self.text


def _text(part: Json) -> str:
    inner = part.get("resource", part)
    if isinstance(text := inner.get("text"), str):
        return text
    return f"[{part['type']} {inner.get('uri') or inner.get('mimeType') or ''}]"


def read(result: CallToolResult) -> ToolAnswer:
    """Return what the server gave.

    Raises:
        ToolFailed: the tool says that it failed.
    """
    content = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
    answer = ToolAnswer(content=content, data=result.structured_content)
    if result.is_error:
        raise ToolFailed(answer.text)
    return answer


def asked(tool: str, requests: Mapping[str, Any]) -> InputResponses:
    """Put what the server asks a person to the caller of the run, and return the answers.

    Raises:
        ToolFailed: the server asks for something that no person answers.
    """
    from mcp.types import ElicitRequest

    for request in requests.values():
        if not isinstance(request, ElicitRequest):
            raise ToolFailed(f"the tool {tool!r} asks for {request.method}, which is not given to MCP servers")
    return {key: _ask(tool, request.params) for key, request in requests.items()}


def _ask(tool: str, params: Any) -> Any:
    from mcp.types import ElicitResult

    parts = {"parameters": params.requested_schema} if params.mode == "form" else {"url": params.url}
    question: Json = {"tool": tool, "question": params.message, **parts}
    while True:
        answer = interrupt(question)
        if answer is None:
            return ElicitResult(action="decline")
        try:
            return ElicitResult(action="accept", content=answer if params.mode == "form" else None)
        except ValueError as error:
            question = {**question, "problem": f"answer with a dict of the parameters, or None to decline: {error}"}
