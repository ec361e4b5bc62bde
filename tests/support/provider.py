"""A local model provider: HTTP that speaks OpenAI's Chat Completions and Anthropic's Messages, for their real SDKs.

It answers by script, whole or streamed as the request asks, and refuses what the provider would refuse. How the two
protocols look is in `provider_protocols`; it knows nothing of Clew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.provider_protocols import PROTOCOLS, Answer, Json

Scripted = Answer | str | int | Callable[[Json], "Answer | str"]


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
        """Add to the script: answers, texts, statuses to refuse with, or functions from the request to an answer."""
        self._script.extend(lines)

    @property
    def is_finished(self) -> bool:
        """Whether everything in the script was asked for."""
        return not self._script

    def answer(self, request: Json) -> Answer | int | None:
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
        speaks = PROTOCOLS.get(self.path)
        if speaks is None:
            return self._refuse(404, f"there is no {self.path}")
        if (wrong := speaks.check(request)) is not None:
            return self._refuse(400, wrong)
        answer = self.provider.answer(request)
        if answer is None:
            return self._refuse(400, "the script of this test has no further answer")
        if isinstance(answer, int):
            return self._refuse(answer, "so says the script of this test")
        if request.get("stream"):
            events = [event for _, event in speaks.events(answer, request)]
            return self._send(200, "text/event-stream", events[: len(events) // 2] if answer.is_cut else events)
        return self._send(200, "application/json", [json.dumps(speaks.whole(answer))])

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        self._send(status, "application/json", [json.dumps(error)])

    def _send(self, status: int, type: str, parts: Iterable[str]) -> None:
        self.send_response(status)
        self.send_header("content-type", type)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
