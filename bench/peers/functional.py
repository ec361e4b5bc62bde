"""Workflows of tasks, written once for Clew and LangGraph: only what they are imported from differs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.peers.base import Peer, resident_bytes


class Functional(Peer):
    """What differs between the two is in the attributes."""

    first_run = """
@task
def step(number):
    return number

@entrypoint()
def flow(number):
    return step(number).result()

flow.invoke(1)
"""
    task: Any
    entrypoint: Any
    get_stream_writer: Any
    options: dict[str, Any]

    def saver(self, *, asynchronous: bool = False) -> Any:
        """Open what keeps the runs; None keeps nothing."""
        raise NotImplementedError

    def config(self, thread: str) -> dict[str, Any]:
        """Return the config that names a thread."""
        return {"configurable": {"thread_id": thread}, "recursion_limit": 100_000}

    def sequence(self, n: int, colour: str) -> float:
        return self._timed("sequence", n, colour)

    def fan(self, n: int, colour: str) -> float:
        return self._timed("fan", n, colour)

    def empty(self, colour: str, times: int = 300) -> float:
        return self._timed("sequence", 0, colour, times) / times

    def _timed(self, shape: str, n: int, colour: str, times: int = 1) -> float:
        """Return the seconds of so many runs, after one that warms everything up."""
        if colour == "async":
            return asyncio.run(self._atimed(shape, n, times))
        flow = self._workflows(self.saver())[colour, shape]
        flow.invoke(3, self.config("warm"), **self.options)
        began = time.perf_counter()
        for number in range(times):
            flow.invoke(n, self.config(str(number)), **self.options)
        return time.perf_counter() - began

    async def _atimed(self, shape: str, n: int, times: int) -> float:
        async with Closing(self.saver(asynchronous=True)) as saver:
            flow = self._workflows(saver)["async", shape]
            await flow.ainvoke(3, self.config("warm"), **self.options)
            began = time.perf_counter()
            for number in range(times):
                await flow.ainvoke(n, self.config(str(number)), **self.options)
            return time.perf_counter() - began

    def _workflows(self, saver: Any) -> dict[tuple[str, str], Any]:
        @self.task
        def step(number: int) -> int:
            return number

        @self.task
        async def astep(number: int) -> int:
            return number

        @self.entrypoint(checkpointer=saver)
        def sequence(n: int) -> int:
            for number in range(n):
                step(number).result()
            return n

        @self.entrypoint(checkpointer=saver)
        def fan(n: int) -> int:
            return len([future.result() for future in [step(number) for number in range(n)]])

        @self.entrypoint(checkpointer=saver)
        async def asequence(n: int) -> int:
            for number in range(n):
                await astep(number)
            return n

        @self.entrypoint(checkpointer=saver)
        async def afan(n: int) -> int:
            return len(await asyncio.gather(*[astep(number) for number in range(n)]))

        return {
            ("sync", "sequence"): sequence, ("sync", "fan"): fan,
            ("async", "sequence"): asequence, ("async", "fan"): afan,
        }  # fmt: skip

    def resume(self, n: int) -> float:
        broken = [True]

        @self.task
        def step(number: int) -> int:
            return number

        @self.entrypoint(checkpointer=self.saver())
        def flow(n: int) -> int:
            for number in range(n):
                step(number).result()
            if broken[0]:
                raise KeyError("broken")
            return n

        try:
            flow.invoke(n, self.config("1"), **self.options)
        except KeyError:
            broken[0] = False
        began = time.perf_counter()
        assert flow.invoke(None, self.config("1"), **self.options) == n
        return time.perf_counter() - began

    def many_runs(self, runs: int, tasks: int) -> float:
        return asyncio.run(self._many_runs(runs, tasks))

    def many_runs_bytes(self, runs: int, tasks: int) -> float:
        asyncio.run(self._many_runs(2, tasks, "warm"))
        before = resident_bytes("VmHWM")
        asyncio.run(self._many_runs(runs, tasks))
        return (resident_bytes("VmHWM") - before) / runs

    async def _many_runs(self, runs: int, tasks: int, name: str = "") -> float:
        @self.task
        async def step(number: int) -> int:
            await asyncio.sleep(0.01)
            return number

        async with Closing(self.saver(asynchronous=True)) as saver:

            @self.entrypoint(checkpointer=saver)
            async def flow(n: int) -> int:
                for number in range(n):
                    await step(number)
                return n

            await flow.ainvoke(1, self.config(f"{name}warm"), **self.options)
            began = time.perf_counter()
            calls = [flow.ainvoke(tasks, self.config(f"{name}{run}"), **self.options) for run in range(runs)]
            assert await asyncio.gather(*calls) == [tasks] * runs
            return time.perf_counter() - began


class Closing:
    """Enters a saver that wants to be entered, and leaves it."""

    def __init__(self, saver: Any) -> None:
        self._saver = saver

    async def __aenter__(self) -> Any:
        if not hasattr(self._saver, "__aenter__"):
            return self._saver
        entered = await self._saver.__aenter__()
        if asyncio.iscoroutinefunction(getattr(entered, "setup", None)):
            await entered.setup()
        return entered

    async def __aexit__(self, *error: object) -> None:
        if hasattr(self._saver, "__aexit__"):
            await self._saver.__aexit__(*error)
