"""What may go of a thread: old runs, unless something that stays needs them, and pieces of values that are left over.

A run stays whole, or only its end stays because another run was given what it saved, or it goes. Whatever stays reads
as before. How values name their pieces is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from clew.engine.records import Run


class Keeping(Struct, frozen=True, kw_only=True):
    """Which runs of a thread stay: the newest ones, and those that changed lately.

    Args:
        last: how many of the newest stay.
        since_s: those stay that began or ended then or later, in seconds since the epoch; None: age saves none.
    """

    last: int = 0
    since_s: float | None = None

    def holds(self, run: Run, place: int) -> bool:
        """Say whether a run stays for its own sake; `place` counts from 0, the newest run."""
        if place < self.last:
            return True
        return self.since_s is not None and max(run.created_s, run.ended_s or 0.0) >= self.since_s


class Outcome(Struct, frozen=True, kw_only=True):
    """What becomes of the runs of a thread.

    Args:
        stay: those that stay, whole or with their end alone.
        trimmed: ids of runs of which from now on only the end stays.
        gone: ids of runs that go.
    """

    stay: Sequence[Run]
    trimmed: Sequence[str]
    gone: Sequence[str]


def decide(runs: Sequence[Run], keeping: Keeping) -> Outcome:
    """Decide which runs of a thread go.

    The newest run always stays: whole as long as it is not done, for it can be continued or answered, and otherwise at
    least with its end, from which the thread goes on.

    Args:
        runs: all of a thread, newest first.
        keeping: which are to stay for their own sake.
    """
    whole = [run for place, run in enumerate(runs) if keeping.holds(run, place) or (place == 0 and _is_open(run))]
    # Only a run with an input shows what it was given; the end of a run stands for itself.
    needed = {run.previous for run in whole if run.has_input_checkpoint}
    needed.update(run.id for run in runs[:1])
    kept_whole = {run.id for run in whole}
    only_end = [run for run in runs if run.id in needed and run.id not in kept_whole]
    return Outcome(
        stay=[*whole, *only_end],
        trimmed=[run.id for run in only_end if run.has_input_checkpoint],
        gone=[run.id for run in runs if run.id not in kept_whole and run.id not in needed],
    )


def left_over(before: Mapping[str, str | None], needed: Iterable[str]) -> list[str]:
    """Return the ids of pieces that nothing needs any more.

    Args:
        before: each piece of a thread, and the one before it.
        needed: the last piece of every list of every value that stays.
    """
    reached: set[str] = set()
    for last in needed:
        piece: str | None = last
        while piece is not None and piece not in reached:
            reached.add(piece)
            piece = before.get(piece)
    return [piece for piece in before if piece not in reached]


def _is_open(run: Run) -> bool:
    return run.status != "done"
