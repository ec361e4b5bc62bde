"""A local model provider: HTTP that speaks OpenAI's Chat Completions and Anthropic's Messages, for their real SDKs.

It answers by script, whole or streamed as the request asks, and refuses what the provider would refuse. It knows how
the two protocols look, and nothing of Clew.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support import provider_rules

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A tool that the model wants to have used.

    Args:
        tool: its name.
        arguments: what it is to be given.
        id: what the result will be known by.
    """

    tool: str
    arguments: Json = field(default_factory=dict)
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says next: a text, tools to use, or both."""

    text: str = ""
    uses: tuple[Use, ...] = ()

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed: word by word."""
        return re.findall(r"\s*\S+|\s+$", self.text)


Scripted = Answer | str | Callable[[Json], "Answer | str"]


class Provider:
    """Answers each request with the next line of its script, and keeps what was asked.

    Args:
        address: where it listens, as in http://127.0.0.1:1234.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.requests: list[Json] = []
        self._script: list[Scripted] = []
        self._lock = threading.Lock()

    def will(self, *lines: Scripted) -> None:
        """Add to the script: answers, texts, or functions from the request to one of them."""
        self._script.extend(lines)

    @property
    def is_finished(self) -> bool:
        """Whether everything in the script was asked for."""
        return not self._script

    def answer(self, request: Json) -> Answer | None:
        """Take the next line of the script; None: there is none."""
        with self._lock:
            self.requests.append(request)
            if not self._script:
                return None
            line = self._script.pop(0)
        said = line(request) if callable(line) else line
        return Answer(text=said) if isinstance(said, str) else said

    def environment(self) -> dict[str, str]:
        """Return the variables that send both SDKs here."""
        return {
            "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{self.address}/v1",
            "ANTHROPIC_API_KEY": "none", "ANTHROPIC_BASE_URL": self.address,
        }  # fmt: skip


@contextmanager
def providing() -> Iterator[Provider]:
    """Listen on a free port of this machine for the length of the block."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Handler.provider = Provider(f"http://127.0.0.1:{http.server_port}")
        listening = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        listening.start()
        try:
            yield Handler.provider
        finally:
            http.shutdown()
            listening.join()


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        speaks = _PROTOCOLS.get(self.path)
        if speaks is None:
            return self._refuse(404, f"there is no {self.path}")
        if (wrong := speaks.check(request)) is not None:
            return self._refuse(400, wrong)
        answer = self.provider.answer(request)
        if answer is None:
            return self._refuse(400, "the script of this test has no further answer")
        if request.get("stream"):
            return self._send(200, "text/event-stream", speaks.events(answer))
        return self._send(200, "application/json", [json.dumps(speaks.whole(answer))])

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        self._send(status, "application/json", [json.dumps(error)])

    def _send(self, status: int, type: str, parts: Sequence[str] | Iterator[str]) -> None:
        self.send_response(status)
        self.send_header("content-type", type)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _ChatCompletions:
    """OpenAI's protocol."""

    check = staticmethod(provider_rules.wrong_with_chat_completion)

    @staticmethod
    def whole(answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.uses:
            message["tool_calls"] = [_tool_call(use) for use in answer.uses]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }

    @staticmethod
    def events(answer: Answer) -> Iterator[str]:
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in answer.pieces]
        for index, use in enumerate(answer.uses):
            call = _tool_call(use)
            arguments, call["function"]["arguments"] = call["function"]["arguments"], ""
            deltas.append({"tool_calls": [{"index": index, **call}]})
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": a}}]} for a in _halves(arguments)]
        for delta in deltas:
            yield _chunk(delta, None)
        yield _chunk({}, _finish_reason(answer))
        yield "data: [DONE]\n\n"


def _tool_call(use: Use) -> Json:
    return {"id": use.id, "type": "function", "function": {"name": use.tool, "arguments": json.dumps(use.arguments)}}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.uses else "stop"


def _chunk(delta: Json, finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    whole = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(whole)}\n\n"


class _Messages:
    """Anthropic's protocol."""

    check = staticmethod(provider_rules.wrong_with_messages)

    @staticmethod
    def whole(answer: Answer) -> Json:
        blocks: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
        blocks += [_tool_use(use) for use in answer.uses]
        return _message(blocks, "tool_use" if answer.uses else "end_turn")

    @staticmethod
    def events(answer: Answer) -> Iterator[str]:
        yield _event("message_start", message=_message([], None))
        index = itertools.count()
        if answer.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in answer.pieces]
            yield from _block(next(index), {"type": "text", "text": ""}, deltas)
        for use in answer.uses:
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in _halves(json.dumps(use.arguments))]
            yield from _block(next(index), {**_tool_use(use), "input": {}}, deltas)
        end = {"stop_reason": "tool_use" if answer.uses else "end_turn", "stop_sequence": None}
        yield _event("message_delta", delta=end, usage={"output_tokens": 1})
        yield _event("message_stop")


def _tool_use(use: Use) -> Json:
    return {"type": "tool_use", "id": use.id, "name": use.tool, "input": use.arguments}


def _message(content: list[Json], stop_reason: str | None) -> Json:
    return {
        "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": stop_reason, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def _block(index: int, start: Json, deltas: list[Json]) -> Iterator[str]:
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(type: str, **parts: Any) -> str:
    return f"event: {type}\ndata: {json.dumps({'type': type, **parts})}\n\n"


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


_PROTOCOLS: dict[str, type[_ChatCompletions] | type[_Messages]] = {
    "/v1/chat/completions": _ChatCompletions,
    "/v1/messages": _Messages,
}
