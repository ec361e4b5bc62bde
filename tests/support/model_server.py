"""A local server that speaks the streaming protocols of Anthropic's Messages and OpenAI's Chat Completions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENVIRONMENTS = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"),
}


class ModelServer:
    """Answers each request with `pieces`, and keeps what was asked.

    Set `status` to something else than 200 to refuse; clear `go_on` to hold every answer back after its first piece.
    """

    def __init__(self) -> None:
        self.pieces = ["Hello", ", ", "Bob."]
        self.status = 200
        self.go_on = threading.Event()
        self.go_on.set()
        self.requests: list[dict[str, Any]] = []
        self.address = ""

    def environment(self, provider: str) -> dict[str, str]:
        """Return the variables that send a provider's SDK here."""
        key, base_url, path = ENVIRONMENTS[provider]
        return {key: "none", base_url: self.address + path}


@contextmanager
def serving() -> Iterator[ModelServer]:
    server = ModelServer()

    class Handler(_Handler):
        model = server

    with _Server(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            http.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client may hang up in the middle of an answer."""


class _Handler(BaseHTTPRequestHandler):
    model: ModelServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.model.requests.append({"path": self.path, **json.loads(body)})
        self.send_response(self.model.status)
        self.send_header("content-type", "text/event-stream" if self.model.status == 200 else "application/json")
        self.end_headers()
        if self.model.status != 200:
            self.wfile.write(json.dumps({"error": {"type": "refused", "message": "the key is not known"}}).encode())
            return
        events = _anthropic(self.model.pieces) if self.path.endswith("/messages") else _openai(self.model.pieces)
        for is_piece, event in events:
            self.wfile.write(event.encode())
            self.wfile.flush()
            if is_piece:
                self.model.go_on.wait(timeout=30)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _anthropic(pieces: list[str]) -> Iterator[tuple[bool, str]]:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    yield False, _sse({"type": "message_start", "message": message})
    yield False, _sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield True, _sse({"type": "content_block_delta", "index": 0, "delta": delta})
    yield False, _sse({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield False, _sse({"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}})
    yield False, _sse({"type": "message_stop"})


def _openai(pieces: list[str]) -> Iterator[tuple[bool, str]]:
    def chunk(delta: dict[str, Any], finish: str | None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        whole = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        return f"data: {json.dumps(whole)}\n\n"

    yield False, chunk({"role": "assistant", "content": ""}, None)
    for piece in pieces:
        yield True, chunk({"content": piece}, None)
    yield False, chunk({}, "stop")
    yield False, "data: [DONE]\n\n"


def _sse(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
