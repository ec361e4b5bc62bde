"""The story of `script/demo`, told to the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def tell(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(folder / "memory_story.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo_tells_its_story_and_ends_well() -> None:
    told = tell(EXAMPLES)
    assert told.returncode == 0, told.stdout + told.stderr
    for expected in ["Your name is Bob.", "I do not know your name.", "Username is Bob", "the process is killed"]:
        assert expected in told.stdout
    assert told.stderr == ""


def test_the_demo_fails_when_the_story_goes_wrong(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    chatbot = tmp_path / "memory_chatbot.py"
    forgetful = chatbot.read_text(encoding="utf-8").replace('f"Username is {name[1]}"', '"something"')
    chatbot.write_text(forgetful, encoding="utf-8")
    told = tell(tmp_path)
    assert told.returncode != 0
    assert "The story went wrong" in told.stderr
