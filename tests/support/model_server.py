"""A local server that streams one and the same answer, in Anthropic's protocol or OpenAI's.

For answers by script, tools and refusals see `provider`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.provider_protocols import PROTOCOLS, Answer

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
        request = json.loads(body)
        self.model.requests.append({"path": self.path, **request})
        self.send_response(self.model.status)
        self.send_header("content-type", "text/event-stream" if self.model.status == 200 else "application/json")
        self.end_headers()
        if self.model.status != 200:
            self.wfile.write(json.dumps({"error": {"type": "refused", "message": "the key is not known"}}).encode())
            return
        for is_piece, event in PROTOCOLS[self.path].events(Answer(pieces=self.model.pieces), request):
            self.wfile.write(event.encode())
            self.wfile.flush()
            if is_piece:
                self.model.go_on.wait(timeout=30)

    def log_message(self, format: str, *args: Any) -> None:
        pass
