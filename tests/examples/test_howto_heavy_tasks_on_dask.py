"""Heavy tasks on Dask: what its workers found is recorded here, and found once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from distributed import Client, LocalCluster

from support.colours import thread


def test_pieces_are_computed_on_dask_and_once(
    example: Any, open_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example("heavy_tasks_on_dask")
    submitted: list[object] = []
    with Client(processes=False, dashboard_address=None, n_workers=2, threads_per_worker=1) as client:
        executor = client.get_executor()
        submit = executor.submit

        def counting(*given: Any, **named: Any) -> Any:
            submitted.append(given)
            return submit(*given, **named)

        monkeypatch.setattr(executor, "submit", counting)
        flow = module.build(executor, open_database())
        guess = flow.invoke(2_000, thread())
        assert guess == pytest.approx(3.14, abs=0.1)
        assert len(submitted) == module.PIECES
        [checkpoint, *_] = flow.get_state_history(thread())
        assert flow.invoke(None, checkpoint.config) == guess
        assert len(submitted) == module.PIECES


def test_it_runs_as_a_program_beside_a_cluster(play: Callable[..., Any]) -> None:
    with LocalCluster(
        processes=False, protocol="tcp://", dashboard_address=None, n_workers=1, threads_per_worker=2
    ) as cluster:
        said = play("heavy_tasks_on_dask", cluster.scheduler_address)
    assert said.stdout.startswith("pi is about 3.1"), said.stderr
