"""The code in the README runs as printed, and prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.pages import blocks

README = Path(__file__).parents[2] / "README.md"


def block(language: str) -> str:
    [only] = blocks(README, language)
    return only.code


def run_story(folder: Path) -> list[str]:
    path = folder / "story.py"
    path.write_text(block("python"), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_story_prints_what_the_readme_says(tmp_path: Path) -> None:
    assert run_story(tmp_path) == block("text").splitlines()


def test_a_second_process_knows_bob_from_the_first_line(tmp_path: Path) -> None:
    run_story(tmp_path)
    assert run_story(tmp_path)[0] == "What I know of you: ['Username is Bob']"


def test_the_scripts_and_pages_it_names_are_there() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")) + re.findall(
        r"^\./(\S+)", block("console"), re.M
    )
    root = Path(__file__).parents[2]
    assert len(named) >= 6
    assert [name for name in named if not (root / name).exists()] == []
