"""`@task(executor=...)`: the function runs elsewhere, and everything else stays here."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from clew import Checkpointer, entrypoint, task
from clew.errors import InvalidOption
from clew.storage.base import LoadRecords
from support.colours import Colour, result, results, thread
from support.heavy import at_large, fails, late, where
from support.working import head


@pytest.fixture(scope="module", autouse=True)
def _other_processes() -> Iterator[None]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        late.inner = executor
        yield
        late.inner = None


def test_the_function_runs_in_another_process_and_is_recorded_here(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        found = await results(where(x), where(x, times=2))
        if x == 1:
            raise RuntimeError(found)
        return found

    with pytest.raises(RuntimeError) as caught:
        colour.invoke(flow, 1, thread())
    ((first, one), (second, two)) = caught.value.args[0]
    assert (one, two) == (1, 2)
    assert os.getpid() not in (first, second)
    with pytest.raises(RuntimeError) as replayed:
        colour.invoke(flow, None, thread())
    assert replayed.value.args == caught.value.args


def test_what_it_raises_there_is_raised_here(colour: Colour) -> None:
    @colour.entrypoint
    async def flow(x: int) -> int:
        failed: int = await result(fails(x))
        return failed

    with pytest.raises(ValueError, match="too heavy") as caught:
        colour.invoke(flow, 3)
    assert caught.value.args == ("too heavy", 3)


def test_outside_of_a_run_it_runs_there_too() -> None:
    pid, product = where(3, times=3).result()
    assert product == 9
    assert pid != os.getpid()


def test_a_function_without_a_name_of_its_own_runs_where_it_need_not_travel() -> None:
    with ThreadPoolExecutor(1) as threads:

        @task(executor=threads)
        def double(x: int) -> int:
            return 2 * x

        @entrypoint
        def flow(x: int) -> int:
            return double(x).result()

        assert flow.invoke(4) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of a process with several OS threads
def test_a_forked_process_is_outside_of_the_run(
    saver: Checkpointer, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    forking = multiprocessing.get_context("fork")

    @colour.task
    async def by_a_pool(x: int) -> list[Any]:
        with forking.Pool(1) as pool:
            return pool.map(at_large, [x])[0]

    by_an_executor = task(at_large, executor=late)

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return [await result(by_a_pool(x)), await result(by_an_executor(x))]

    with ProcessPoolExecutor(1, mp_context=forking) as executor:
        monkeypatch.setattr(late, "inner", executor)
        found = colour.invoke(flow, 1, thread("a"))
    assert found == [["NotInWorkflow"] * 4 + [2]] * 2
    records = saver.execute(LoadRecords(head(saver, "flow", "a").id))
    assert [record.name for record in records] == ["by_a_pool", "at_large"]


def test_what_could_not_work_is_refused() -> None:
    with pytest.raises(InvalidOption, match="async"):

        @task(executor=late)
        async def waits() -> None: ...

    with pytest.raises(InvalidOption, match="cannot be given store, config"):

        @task(executor=late)
        def asks(x: int, *, store: Any, config: Any) -> None: ...

    with pytest.raises(InvalidOption, match="Executor"):
        task(executor=7)(len)
