"""A recorded model: a server on this machine that stands between any client and its provider.

While it records, it passes requests on and keeps the answers; later it gives these, and nothing leaves the machine.
Every client can be sent to it by its base URL, whichever HTTP library it uses.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clew.testing.recording import Answered, Asked, Recording

# Of each provider: where it is, and the variables by which its clients learn where it is, and with which key.
_PROVIDERS = {
    "openai": ("https://api.openai.com/v1", ("OPENAI_BASE_URL", "OPENAI_API_BASE"), "OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com", ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"), "ANTHROPIC_API_KEY"),
}
_NOT_PASSED_ON = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding"})
_PATIENCE_S = 600.0


class RecordedModel:
    """Models whose answers are recorded once and given again later.

    Args:
        url: where the server listens.
        path: the file of answers.
        records: whether requests go to the real provider and what it answers is kept.
    """

    def __init__(self, url: str, path: Path, *, records: bool) -> None:
        self._url = url
        self._recording = Recording(path)
        self._lock = threading.Lock()
        self._places = {name: _first_of(names) or url for name, (url, names, _) in _PROVIDERS.items()}
        self.records = records
        self.problems: list[str] = []

    @property
    def path(self) -> Path:
        """The file of answers."""
        return self._recording.path

    @property
    def openai_url(self) -> str:
        """The base URL for clients of OpenAI."""
        return f"{self._url}/openai"

    @property
    def anthropic_url(self) -> str:
        """The base URL for clients of Anthropic."""
        return f"{self._url}/anthropic"

    def through(self, name: str, url: str) -> str:
        """Return the base URL for clients of another provider.

        Args:
            name: what the provider is called in the file.
            url: its real base URL.
        """
        self._places[name] = url
        return f"{self._url}/{name}"

    def environment(self) -> dict[str, str]:
        """Return the variables that send clients here which are made from now on."""
        found = {variable: f"{self._url}/{name}" for name, (_, names, _) in _PROVIDERS.items() for variable in names}
        found["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
        if not self.records:  # clients insist on a key, though nobody asks for it
            keys = [key for _, _, key in _PROVIDERS.values() if not os.environ.get(key)]
            found |= dict.fromkeys(keys, "recorded")
        return found

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Answer a request: from the file, or by asking the provider."""
        name, _, rest = path.lstrip("/").partition("/")
        asked = Asked.of(name, method, f"/{rest}", body)
        if self.records:
            if name not in self._places:
                return _refusal(f"no provider is named {name!r}; name it: clew_model.through({name!r}, 'https://...')")
            answered = _ask(method, self._places[name].rstrip("/") + f"/{rest}", headers, body)
            if answered.status < 300:  # what was refused is asked again, or the test fails
                with self._lock:
                    self._recording.add(asked, answered)
            return answered
        with self._lock:
            found = self._recording.answer(asked)
            if found is None:
                self.problems.append(self._recording.why_unknown(asked))
                return _refusal(self.problems[-1])
        return found

    def save(self) -> None:
        """Keep what was recorded."""
        self._recording.save()


@contextmanager
def recorded_model(path: str | os.PathLike[str], *, record: bool = False) -> Generator[RecordedModel]:
    """Stand between clients and their providers for the length of a block.

    Args:
        path: the file of answers.
        record: ask the real providers, and keep their answers at the end of the block, if it ends well.

    Raises:
        AssertionError: at the end of the block, if a request was made that is not recorded.
    """

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        model = Handler.model = RecordedModel(f"http://127.0.0.1:{server.server_port}", Path(path), records=record)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        try:
            yield model
        finally:
            server.shutdown()
            serving.join()
    model.save()
    if model.problems:
        raise AssertionError(model.problems[0])


class _Handler(BaseHTTPRequestHandler):
    model: RecordedModel

    def do_POST(self) -> None:
        """Answer a request of whatever method."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answered = self.model.answer(self.command, self.path, dict(self.headers.items()), body)
        self.send_response(answered.status)
        self.send_header("content-type", answered.content_type)
        self.end_headers()
        self.wfile.write(answered.body.encode())

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _first_of(variables: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in variables if os.environ.get(name)), None)


def _ask(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
    passed = {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
    request = urllib.request.Request(url, data=body or None, headers=passed, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:
            return _answered(response.status, response)
    except urllib.error.HTTPError as refused:
        with refused:
            return _answered(refused.code, refused)
    except OSError as error:
        return _refusal(f"{url} could not be reached: {error}")


def _answered(status: int, response: Any) -> Answered:
    kind = str(response.headers.get("content-type") or "application/json")
    try:
        return Answered(status=status, content_type=kind, body=response.read().decode())
    except UnicodeDecodeError:
        return _refusal(f"the model answered with {kind}, and only texts can be recorded")


def _refusal(message: str) -> Answered:
    """Put a problem so that the clients of all providers show it, and do not try again."""
    error = {"type": "error", "error": {"type": "not_recorded", "message": message}}
    return Answered(status=400, content_type="application/json", body=json.dumps(error))
