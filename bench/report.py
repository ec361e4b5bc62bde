"""From figures to a table and a chart: medians, and ratios within the same run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.cases import Case

SYSTEMS = ("clew", "langgraph", "dbos", "floor")
Figures = Mapping[tuple[str, str], Sequence[float]]


def median(figures: Figures, case: Case, system: str) -> float | None:
    """Return the median of a case for a system, or None where it was not measured."""
    found = [figure for figure in figures.get((case.name, system), ()) if not math.isnan(figure)]
    return statistics.median(found) if found else None


def table(cases: Sequence[Case], figures: Figures, versions: Mapping[str, str], machine: str) -> str:
    """Return the table as Markdown."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"Medians of one run on {machine} ({told}). Less is better; ×: how many times Clew's figure.",
        "",
        "| case | unit | Clew | LangGraph | DBOS | floor |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in cases:
        ours = median(figures, case, "clew")
        cells = [_cell(median(figures, case, system), None if system == "clew" else ours) for system in SYSTEMS]
        lines.append(f"| {case.name} | {case.unit} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(figure: float | None, ours: float | None) -> str:
    if figure is None:
        return "–"
    times = f" (×{figure / ours:.3g})" if ours else ""
    return f"{figure:,.3g}{times}" if figure < 1000 else f"{figure:,.0f}{times}"


def chart(cases: Sequence[Case], figures: Figures, paths: Sequence[str]) -> None:
    """Draw how many times longer the others take than Clew, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = [case for case in cases if median(figures, case, "clew") and median(figures, case, "langgraph")][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.26 * len(rows) + 1.2))
    colours: dict[str, Any] = {"langgraph": "#c2703d", "dbos": "#6b5ca5", "floor": "#5f9e6e"}
    for system, colour in colours.items():
        points = [(place, _times(figures, case, system)) for place, case in enumerate(rows)]
        shown = [(place, times) for place, times in points if times is not None and times > 0]
        axes.scatter(
            [times for _, times in shown], [place for place, _ in shown], label=system, color=colour, s=26, zorder=3
        )
    axes.axvline(1, color="#33475b", linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [case.name for case in rows], fontsize=7)
    axes.set_xlabel("time or size, times Clew's (logarithmic); the line is Clew, left of it is less", fontsize=8)
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    for path in paths:
        figure.savefig(path, dpi=150)


def _times(figures: Figures, case: Case, system: str) -> float | None:
    ours, theirs = median(figures, case, "clew"), median(figures, case, system)
    return None if not ours or theirs is None else theirs / ours
