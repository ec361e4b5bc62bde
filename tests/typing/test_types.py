"""Type checkers, at their strictest, know what the public names give, and see mistakes.

The files beside this one say what must hold with `assert_type`, and what must be an error with an `ignore` of each
checker: an `ignore` that nothing needs is an error itself, so that a mistake that is no longer seen fails the test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
CHECKED = sorted(HERE.glob("typed_*.py"))


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_agrees_at_its_strictest(tmp_path: Path) -> None:
    settings = ("strict = True", "warn_unused_ignores = True", "follow_imports = silent", f"mypy_path = {SOURCE}")
    (tmp_path / "mypy.ini").write_text("\n".join(("[mypy]", *settings)))
    checked = run("mypy", *map(str, CHECKED), cwd=tmp_path)
    assert f"no issues found in {len(CHECKED)} source files" in checked


def test_pyright_agrees_at_its_strictest(tmp_path: Path) -> None:
    settings = {
        "extraPaths": [str(SOURCE)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "enableTypeIgnoreComments": False,  # those are for mypy
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportUnusedFunction": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    for path in CHECKED:
        shutil.copy(path, tmp_path)
    checked = run("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=tmp_path)
    assert json.loads(checked)["summary"]["filesAnalyzed"] == len(CHECKED)
