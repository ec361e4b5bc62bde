"""DBOS under measurement: it keeps everything in a database, so that it has no run that is kept nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.killing import killed_once
from bench.peers.base import Peer, resident_bytes


class Dead(BaseException):
    """Ends a run without an outcome, as the end of its process does."""


class Dbos(Peer):
    kinds = ("none", "sqlite", "disk", "postgres")
    imports = "from dbos import DBOS"

    @contextlib.contextmanager
    def _launched(self, register: Callable[[Any], Any]) -> Iterator[Any]:
        """Give what `register` makes of DBOS, once that has been launched."""
        from dbos import DBOS

        url = self.postgres if self.where == "postgres" else f"sqlite:///{self.file}"
        DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "CRITICAL"})
        made = register(DBOS)
        DBOS.launch()
        try:
            yield made
        finally:
            DBOS.destroy()

    def sequence(self, n: int, colour: str) -> float | None:
        return self._timed("sequence", n, colour)

    def fan(self, n: int, colour: str) -> float | None:
        return None if colour == "sync" else self._timed("fan", n, colour)  # its blocking steps give no futures

    def empty(self, colour: str, times: int = 50) -> float | None:
        took = self._timed("sequence", 0, colour, times)
        return None if took is None else took / times

    def _timed(self, shape: str, n: int, colour: str, times: int = 1) -> float | None:
        if self.where == "none":
            return None
        with self._launched(_workflows) as flows:
            flow = flows[colour, shape]
            return asyncio.run(_atimed(flow, n, times)) if colour == "async" else _blocking_timed(flow, n, times)

    def resume(self, n: int) -> float:
        broken = [True]

        def register(dbos: Any) -> Any:
            step = dbos.step(name="step")(lambda number: number)

            @dbos.workflow(name="flow")
            def flow(n: int) -> int:
                for number in range(n):
                    step(number)
                if broken[0]:
                    raise Dead
                return n

            return dbos, flow

        with self._launched(register) as (dbos, flow):
            with contextlib.suppress(Dead):
                flow(n)
            broken[0] = False
            began = time.perf_counter()
            (handle,) = dbos._recover_pending_workflows()
            assert handle.get_result() == n
            return time.perf_counter() - began

    def many_runs(self, runs: int, tasks: int) -> float:
        with self._launched(_sleeping) as flow:
            return asyncio.run(_all_at_once(flow, runs, tasks))

    def many_runs_bytes(self, runs: int, tasks: int) -> float:
        with self._launched(_sleeping) as flow:
            asyncio.run(_all_at_once(flow, 2, tasks))
            before = resident_bytes("VmHWM")
            asyncio.run(_all_at_once(flow, runs, tasks))
            return (resident_bytes("VmHWM") - before) / runs

    def killed(self, tries: int, tasks: int) -> float:
        return float(sum(killed_once("dbos", self.folder, tasks) for _ in range(tries)))

    def mortal(self, tasks: int, body: Callable[[int], int], *, again: bool) -> None:
        """Run so many tasks in a process that may be killed, or go on with what one left."""
        from dbos import SetWorkflowID

        def register(dbos: Any) -> Any:
            step = dbos.step(name="step")(body)

            @dbos.workflow(name="flow")
            def flow(n: int) -> int:
                for number in range(n):
                    step(number)
                return n

            return dbos, flow

        with self._launched(register) as (dbos, flow):
            if again:  # to launch it takes up what was left
                assert dbos.retrieve_workflow("1").get_result() == tasks
                return
            with SetWorkflowID("1"):
                assert flow(tasks) == tasks


def _workflows(dbos: Any) -> dict[tuple[str, str], Callable[..., Any]]:
    @dbos.step()
    def step(number: int) -> int:
        return number

    @dbos.step()
    async def astep(number: int) -> int:
        return number

    @dbos.workflow()
    def sequence(n: int) -> int:
        for number in range(n):
            step(number)
        return n

    @dbos.workflow()
    async def asequence(n: int) -> int:
        for number in range(n):
            await astep(number)
        return n

    @dbos.workflow()
    async def afan(n: int) -> int:
        return len(await asyncio.gather(*[astep(number) for number in range(n)]))

    return {("sync", "sequence"): sequence, ("async", "sequence"): asequence, ("async", "fan"): afan}


def _sleeping(dbos: Any) -> Callable[..., Any]:
    @dbos.step()
    async def step(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    @dbos.workflow()
    async def flow(n: int) -> int:
        for number in range(n):
            await step(number)
        return n

    made: Callable[..., Any] = flow
    return made


def _blocking_timed(flow: Callable[[int], int], n: int, times: int) -> float:
    flow(3)
    began = time.perf_counter()
    for _ in range(times):
        flow(n)
    return time.perf_counter() - began


async def _atimed(flow: Callable[[int], Any], n: int, times: int) -> float:
    await flow(3)
    began = time.perf_counter()
    for _ in range(times):
        await flow(n)
    return time.perf_counter() - began


async def _all_at_once(flow: Callable[[int], Any], runs: int, tasks: int) -> float:
    await flow(1)
    began = time.perf_counter()
    assert await asyncio.gather(*[flow(tasks) for _ in range(runs)]) == [tasks] * runs
    return time.perf_counter() - began
