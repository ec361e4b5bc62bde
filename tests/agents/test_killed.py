"""An agent whose process is killed at every call of its model and tools, and goes on in another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "killed_at_every_call.py"


def test_killed_at_every_call_it_finishes_with_each_tool_used_once(tmp_path: Path) -> None:
    path = os.pathsep.join(["tests", *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path}, cwd=PROGRAM.parents[2], capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *killed, undisturbed = json.loads(done.stdout)
    assert len(killed) == 5  # the model three times, and two tools of ours
    assert undisturbed == ["looked up ann", "model", "model", "model", "paid 5"]
    assert killed == [undisturbed] * 5
