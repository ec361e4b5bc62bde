"""Bytes never decide which code runs: no pickle, no import by name, no call by name on a load path."""

from __future__ import annotations

import ast
import base64
import contextlib
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
import pytest

import clew
from clew.codec.encryption import EncryptionKeys
from clew.codec.failures import decode_failure
from clew.codec.growing import last_pieces, unfold
from clew.codec.values import decode
from clew.errors import UnreadableRecord
from clew.store.values import decode_value

PACKAGE = Path(clew.__file__).parent
LOAD_PATH = ("codec", "engine", "storage", "store")
MODULES_THAT_RUN_BYTES = {
    "_pickle", "builtins", "cloudpickle", "code", "ctypes", "dill", "imp", "importlib", "jsonpickle", "marshal",
    "pickle", "pkgutil", "runpy", "shelve", "subprocess", "yaml",
}  # fmt: skip
CALLS_THAT_RUN_BYTES = {"__import__", "compile", "eval", "exec", "globals", "import_module", "loads", "setattr"}

# Every place that looks at something by a name that is not written there, and why it is harmless.
ALLOWED = {
    ("codec/exceptions.py", "import builtins"): "to list Python's own exceptions, by which recorded ones are known",
    ("codec/named.py", "import builtins"): "to resolve what the application's own annotations name",
    ("codec/standard.py", "standard_kind getattr"): "writing: is the class at hand the one that its module has",
    ("codec/standard.py", "_unpack_path getattr"): "one of four names of pathlib, checked before",
    ("codec/standard.py", "_unpack_address getattr"): "one of six names of ipaddress, checked before",
    ("codec/foreign.py", "_unpack_url getattr"): "one of the names of pydantic's URL types, checked before",
    ("codec/objects.py", "_pack_struct getattr"): "writing: the fields that the class declares",
    ("engine/messages.py", "_part getattr"): "a few fixed names, of a chunk that the application's own client gave",
    ("storage/postgres/addresses.py", "import importlib.util"): "to see whether psycopg_pool is installed",
    ("storage/postgres/wakeups.py", "import importlib.util"): "to see whether procrastinate is installed, and where",
    (
        "codec/allowed.py",
        "_own getattr",
    ): "a public class of a loaded package of clew's own list, checked to be a class",
}
# These look at what the application itself handed over: its options, functions and embedders. Nothing of it was loaded.
NOT_LOADED = {
    "engine/limits.py",
    "engine/pacing.py",
    "engine/retry.py",
    "engine/function_identity.py",
    "store/embedding.py",
}


def found_in(path: Path) -> Iterator[str]:
    """Yield what a file does by names that are not written there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = {id(node.args[0]) for node in ast.walk(tree) if _imports_what_is_written(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if name.partition(".")[0] in MODULES_THAT_RUN_BYTES)
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            called = node.func.attr if isinstance(node.func, ast.Attribute) and _runs(node.func) else called
            by_name = called == "getattr" and not isinstance(node.args[1], ast.Constant)
            if by_name or (called in CALLS_THAT_RUN_BYTES and id(node) not in named):
                inside = [
                    function for function in functions if function.lineno <= node.lineno <= (function.end_lineno or 0)
                ]
                yield f"{inside[-1].name if inside else 'top'} {called}"


def _imports_what_is_written(node: ast.AST) -> TypeGuard[ast.Call]:
    """Say whether it is late(globals(), "module"), with modules that are written there: an import at another time."""
    match node:
        case ast.Call(func=ast.Name(id="late"), args=[ast.Call(func=ast.Name(id="globals")), *modules]):
            return all(isinstance(module, ast.Constant) for module in modules)
        case _:
            return False


def _runs(called: ast.Attribute) -> bool:
    """Say whether a method is meant that runs bytes: not re.compile."""
    return not (isinstance(called.value, ast.Name) and called.value.id == "re")


def test_nothing_on_a_load_path_runs_what_bytes_name() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), what)
        for room in LOAD_PATH
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in NOT_LOADED
        for what in found_in(path)
    }
    assert found <= set(ALLOWED)


def test_the_reasons_are_about_places_that_are_there() -> None:
    for file, what in ALLOWED:
        assert what in set(found_in(PACKAGE / file))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from importlib import import_module",
        "def f(name):\n    return __import__(name)",
        "def f(name):\n    return getattr(module, name)()",
        "def f(text):\n    return eval(text)",
        "def f(data):\n    return serializer.loads(data)",
        "def f(name):\n    late(globals(), name)",
    ],
)
def test_the_reader_of_sources_sees_it(source: str, tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(source)
    assert list(found_in(tmp_path / "seen.py"))


FLAG = "clew-ran-what-bytes-said"


class Pickled:
    """What unpickling would run."""

    def __reduce__(self) -> Any:
        return os.putenv, (FLAG, "1")


def _ext(code: int, *parts: Any) -> bytes:
    packed = msgspec.msgpack.encode(parts if len(parts) != 1 else parts[0])
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, packed))


COMMAND = f"touch {FLAG}"
EXPLOITS: dict[str, bytes] = {
    "a pickle": pickle.dumps(Pickled()),
    "a pickle in base64": base64.b64encode(pickle.dumps(Pickled())),
    "a pickle inside msgpack": msgspec.msgpack.encode({"type": "pickle", "data": pickle.dumps(Pickled())}),
    "a constructor in JSON": msgspec.json.encode(
        {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [COMMAND]}
    ),
    "a constructor in msgpack": msgspec.msgpack.encode(
        {"lc": 2, "type": "constructor", "id": ["os", "system"], "method": [None], "args": [COMMAND], "kwargs": {}}
    ),
    "a serializable of another library": msgspec.msgpack.encode(
        {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"], "kwargs": {"content": "x"}}
    ),
    "a secret of the environment": msgspec.msgpack.encode({"lc": 1, "type": "secret", "id": ["PATH"]}),
    "a type by name": msgspec.msgpack.encode({"__type__": "subprocess.Popen", "args": [COMMAND]}),
    "an object by name": msgspec.msgpack.encode(
        {"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}]}
    ),
    "a tag of YAML": b"!!python/object/apply:os.system ['" + COMMAND.encode() + b"']",
    **{
        f"extension {code} that names a call": _ext(code, "os", "system", [COMMAND])
        for code in (0, 1, 2, 3, 4, 5, 6, 7, 63, 64, 66, 71, 127)
    },
    **{
        f"extension {code} that names a class": _ext(code, f"{module}:{name}", {"args": [COMMAND]})
        for code in range(64, 72)
        for module, name in (("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "type"))
    },
    "a method of a class": _ext(2, "pathlib", "Path", [FLAG], "touch"),
    "an exception that is a function": msgspec.msgpack.encode([["os:system"], "m", "", [_ext(1, b"x")]]),
}


@pytest.mark.parametrize("read", [decode, decode_failure, last_pieces, decode_value, lambda data: unfold(data, {})])
@pytest.mark.parametrize("data", EXPLOITS.values(), ids=EXPLOITS)
def test_payloads_of_known_exploits_run_nothing(
    read: Any, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    with contextlib.suppress(UnreadableRecord):
        value = read(data)
        assert type(value).__module__ == "builtins" or isinstance(value, BaseException)
    assert list(tmp_path.iterdir()) == []
    assert FLAG not in os.environ
    assert set(sys.modules) == before


@pytest.mark.parametrize("data", EXPLOITS.values(), ids=EXPLOITS)
def test_keys_open_nothing_that_they_did_not_seal(data: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        EncryptionKeys([EncryptionKeys.new_key()]).open(data, ("place",))
