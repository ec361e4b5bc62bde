"""From figures to a table and a chart: medians, ratios within the same run, and which goals are met."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import Case

SYSTEMS = {"clew": "Clew", "langgraph": "LangGraph", "dbos": "DBOS", "floor": "floor"}
Figures = Mapping[tuple[str, str], Sequence[float]]
_COLOURS = {"langgraph": "#c2703d", "dbos": "#6b5ca5", "floor": "#5f9e6e"}
_NONE, _TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
_BEGIN, _END = "<!-- table -->", "<!-- end of table -->"


def median(figures: Figures, case: Case, system: str) -> float | None:
    """Return the median of a case for a system, or None where it was not measured."""
    found = figures.get((case.name, system), ())
    return statistics.median(found) if found else None


def table(cases: Sequence[Case], figures: Figures, versions: Mapping[str, str], machine: str) -> str:
    """Return the table as Markdown."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    repeats = max((len(found) for found in figures.values()), default=0)
    lines = [
        f"Medians of {repeats}, of one run on {machine} ({told}). Less is better. In brackets: how many times Clew's "
        "figure; right: the goal for Clew, and whether it was met. *By ratio*: this machine is slower than the one for "
        "which the goal was set, and LangGraph takes at least as many times as much as it would there beside the goal.",
        "",
        f"| case | unit | {' | '.join(SYSTEMS.values())} | goal | met |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    for case in cases:
        ours = median(figures, case, "clew")
        cells = [_cell(median(figures, case, system), None if system == "clew" else ours) for system in SYSTEMS]
        lines.append(f"| {case.name} | {case.unit} | {' | '.join(cells)} | {' | '.join(_goal(case, figures))} |")
    return "\n".join(lines) + "\n"


def _cell(figure: float | None, ours: float | None) -> str:
    if figure is None:
        return _NONE
    return _number(figure) + (f" ({_TIMES}{_number(figure / ours)})" if ours else "")


def _number(figure: float) -> str:
    return f"{figure:.3g}" if abs(figure) < 999.5 else f"{figure:,.0f}"


def _goal(case: Case, figures: Figures) -> tuple[str, str]:
    """Return the goal for Clew in words, and whether it was met."""
    ours, floor = median(figures, case, "clew"), median(figures, case, "floor")
    if case.goal is not None:
        told, most = _number(case.goal), case.goal
    elif case.goal_floors is not None:
        told, most = f"{_number(case.goal_floors)} {_TIMES} floor", case.goal_floors * (floor or 0)
    else:
        return "", ""
    if ours is None:
        return told, ""
    peer = median(figures, case, "langgraph")
    if ours > most and case.goal and case.peer_then and peer and peer / ours >= case.peer_then / case.goal:
        return told, "by ratio"
    return told, "yes" if ours <= most else "no"


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{after}", encoding="utf-8")


def chart(cases: Sequence[Case], figures: Figures, paths: Sequence[Path]) -> None:
    """Draw how many times as much the others take as Clew, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "clew"  # the same figures give the same file
    import matplotlib.pyplot as plt

    rows = [case for case in cases if median(figures, case, "clew") and median(figures, case, "langgraph")][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.26 * len(rows) + 1.2))
    for system, colour in _COLOURS.items():
        points = [(place, _times(figures, case, system)) for place, case in enumerate(rows)]
        shown = [(place, times) for place, times in points if times]
        axes.scatter(
            [times for _, times in shown], [place for place, _ in shown],
            label=SYSTEMS[system], color=colour, s=26, zorder=3,
        )  # fmt: skip
    axes.axvline(1, color="#33475b", linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [case.name for case in rows], fontsize=7)
    axes.set_xlabel("how many times Clew's figure; the line is Clew, left of it is less", fontsize=8)
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    for path in paths:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {})


def _times(figures: Figures, case: Case, system: str) -> float | None:
    ours, theirs = median(figures, case, "clew"), median(figures, case, system)
    return None if not ours or theirs is None else theirs / ours
