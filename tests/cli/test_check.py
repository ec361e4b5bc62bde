"""`clew check`: says, without doing anything, which unfinished runs the code as it is now could not continue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
from pathlib import Path
from clew import Database, entrypoint, interrupt, task

@task
def {task}(amount):
    Path("charged.txt").open("a").write(f"{{amount}} ")
    return amount

@entrypoint(database=Database("sqlite:///shop.db"))
def shop(order):
    paid = {task}(order["amount"] + {extra}).result()
    answer = interrupt(f"ship for {{paid}}?")
    return answer

if __name__ == "__main__":
    shop.invoke({{"amount": 5}}, {{"configurable": {{"thread_id": "order-7"}}}})
"""


def write_shop(folder: Path, *, task: str = "charge", extra: int = 0) -> None:
    (folder / "shop.py").write_text(SHOP.format(task=task, extra=extra), encoding="utf-8")


def clew_check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from clew.cli import main; main()", "check", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a shop whose only run waits for an answer."""
    write_shop(tmp_path)
    subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


def test_unchanged_code_passes(shop: Path) -> None:
    done = clew_check(shop, "shop.py:shop")
    assert done.returncode == 0, done.stderr
    assert "1 unfinished runs, 0 would break" in done.stdout + done.stderr


@pytest.mark.parametrize(("change", "told"), [({"extra": 2}, "amount"), ({"task": "bill"}, "no longer made")])
def test_changed_code_is_told_and_fails(shop: Path, change: dict[str, object], told: str) -> None:
    write_shop(shop, **change)  # type: ignore[arg-type]
    done = clew_check(shop, "shop.py:shop", "--db", "sqlite:///shop.db", "--json")
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)
    assert finding["thread_id"] == "order-7"
    assert finding["status"] == "interrupted"
    assert "charge" in finding["problem"] or told in finding["problem"]


def test_nothing_happens_during_a_check(shop: Path) -> None:
    write_shop(shop, task="bill")
    before = (shop / "charged.txt").read_text()
    clew_check(shop, "shop.py:shop")
    assert (shop / "charged.txt").read_text() == before == "5 "


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("shop.py",), "names no workflow"),
        (("nowhere.py:shop",), "no file"),
        (("nowhere:shop",), "no module 'nowhere' here"),
        (("broken.py:shop",), "broken.py cannot be imported (ModuleNotFoundError: No module named 'not_there')"),
        (("broken:shop",), "broken cannot be imported (ModuleNotFoundError: No module named 'not_there')"),
        (("torn.py:shop",), "torn.py cannot be imported (SyntaxError: "),
        (("shop.py:nothing",), "no workflow 'nothing'"),
        (("shop.py:shop", "--db", "sqlite:///other.db"), "no database"),
        (("shop.py:shop", "--db", ""), "the name of the database is empty"),
    ],
)
def test_a_wrong_target_is_told(shop: Path, arguments: tuple[str, ...], told: str) -> None:
    (shop / "broken.py").write_text("import not_there")
    (shop / "torn.py").write_text("shop = (")
    done = clew_check(shop, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (shop / "other.db").exists()
