"""The rooms and the arrows between them: the imports of src/clew against the table in docs/design.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "clew"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "late": set(),
    "engine": {"errors", "late"},
    "codec": {"errors", "engine"},
    "store": {"errors", "late"},
    "contracts": {"errors", "engine"},
    "storage": {"errors", "late", "engine", "codec", "store", "contracts"},
    "runner": {"errors", "late", "engine", "codec", "store", "contracts"},
    "face": {"errors", "late", "engine", "codec", "store", "contracts", "storage", "runner", "integrations"},
    "agents": {"errors", "face"},
    "learn": {"errors", "face", "agents"},
    "integrations": {"errors", "face", "store", "contracts"},
    "shell": {"errors", "face", "learn", "integrations", "store", "contracts"},
}
CONTRACTS = {
    "clew.storage.base",
    "clew.storage.cache",
    "clew.storage.news",
    "clew.storage.queueing",
    "clew.storage.upkeep",
}
SHELL = {"__main__", "cli", "server", "studio"}
OUTER_ROOMS = {"integrations", "shell"}
CORE_DEPENDENCIES = {"msgspec", "numpy"}
FOR_PYTEST = ("clew.testing.contracts", "clew.testing.plugin")  # imported where pytest is, and by nobody else

WAITING = {"asyncio", "concurrent", "threading", "multiprocessing", "queue", "selectors"}
ROOMS_THAT_WAIT = {"runner", "storage"} | OUTER_ROOMS
# Files of other rooms that need one of these, as docs/design.md says, and why.
FILES_THAT_WAIT = {
    "clew.store.embedding": "lets no more calls of an embedder be under way than allowed",
    "clew.store.embedder_calls": "calls embedders that are sync or async, from sync or async code",
    "clew.store.sweeping": "deletes what has expired, in the background",
    "clew.store.indexing": "one OS thread at a time looks for vectors that are missing",
}
NOT_PURE = WAITING | {"os", "random", "secrets", "socket", "sqlite3", "subprocess", "time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module that one file imports, wherever in the file."""

    importer: str
    imported: str
    line: int
    at_top: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def room_of(module: str) -> str:
    """Tell the room of a module of clew: its folder's name, unless it is a contract or of the shell; else `face`."""
    if module in CONTRACTS:
        return "contracts"
    name = module.split(".")[1] if "." in module else ""
    if name in SHELL:
        return "shell"
    return name if name in MAY_IMPORT else "face"


def imports_of(path: Path) -> Iterator[Import]:
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports_in(path.read_text(encoding="utf-8"), module, package)


def imports_in(source: str, module: str, package: str) -> Iterator[Import]:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for imported in _imported(node, package):
            line = node.lineno  # type: ignore[attr-defined]
            yield Import(importer=module, imported=imported, line=line, at_top=node in tree.body)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=source, names=names, level=level):
            parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            base = ".".join([*parents, *([source] if source else [])])
            for alias in names:
                submodule = f"{base}.{alias.name}"
                yield submodule if _is_module(submodule) else base
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=args):
            yield from _texts(args[:1])
        case ast.Call(func=ast.Name(id="late"), args=args):
            yield from _texts(args)
        case _:
            pass


def _texts(nodes: Sequence[ast.expr]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return name.startswith("clew.") and (path.is_dir() or path.with_suffix(".py").is_file())


IMPORTS = [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]
OWN = [found for found in IMPORTS if found.imported.split(".")[0] == "clew"]
FOREIGN = [found for found in IMPORTS if found.imported.split(".")[0] != "clew"]


def documented_table() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = text.partition("| room | may import |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {room: set() if names == "nothing" else set(names.split(", ")) for room, names in cells}


def test_the_documented_table_is_the_one_that_is_checked() -> None:
    assert documented_table() == MAY_IMPORT


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_its_row_allows(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = [str(i) for i in OWN if room_of(i.importer) == room and room_of(i.imported) not in allowed]
    assert not wrong


def test_only_rooms_that_wait_know_threads_and_loops() -> None:
    wrong = [
        str(found)
        for found in FOREIGN
        if found.imported.split(".")[0] in WAITING
        and room_of(found.importer) not in ROOMS_THAT_WAIT
        and found.importer not in FILES_THAT_WAIT
        and not found.importer.startswith("clew.testing.")  # it stands for clocks and processes
    ]
    assert not wrong


def test_the_exceptions_are_documented() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert [
        name for name in FILES_THAT_WAIT if f"`{name.removeprefix('clew.').replace('.', '/')}.py`" not in text
    ] == []


def test_the_engine_is_pure() -> None:
    wrong = [str(i) for i in FOREIGN if room_of(i.importer) == "engine" and i.imported.split(".")[0] in NOT_PURE]
    assert not wrong


def test_optional_dependencies_are_not_imported_at_the_top_of_core_files() -> None:
    known = set(sys.stdlib_module_names) | CORE_DEPENDENCIES | {"__future__"}
    wrong = [
        str(found)
        for found in FOREIGN
        if found.at_top
        and room_of(found.importer) not in OUTER_ROOMS
        and not found.importer.startswith(FOR_PYTEST)
        and found.imported.split(".")[0] not in known
    ]
    assert not wrong


def test_integrations_are_reached_only_when_asked_for() -> None:
    wrong = [
        str(i) for i in OWN if i.at_top and room_of(i.importer) == "face" and room_of(i.imported) == "integrations"
    ]
    assert not wrong


def test_agents_use_what_everybody_may_use() -> None:
    rooms = {"agents", "learn"}
    theirs = [i for i in OWN if room_of(i.importer) in rooms and room_of(i.imported) not in rooms]
    assert {i.imported for i in theirs} == {"clew", "clew.errors"}


def test_an_import_cannot_be_hidden() -> None:
    hidden = """
from clew import errors, workflow
def late():
    from ..runner import procedures
    from . import journal as j
    import clew.storage.base
    importlib.import_module("clew.codec.values")
late(globals(), "clew.late")
"""
    found = {i.imported for i in imports_in(hidden, "clew.engine.state", "clew.engine")}
    rooms = {"errors", "face", "runner", "engine", "contracts", "codec", "late"}
    assert {room_of(module) for module in found} == rooms


def test_files_can_be_read() -> None:
    longest = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in longest.items() if lines >= 400} == {}
