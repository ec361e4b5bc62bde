"""What a workflow writes to its stream, for Clew and LangGraph."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.peers.functional import Functional


class Streaming(Functional):
    """Chunks in the mode "custom"."""

    def chunk(self, n: int, colour: str) -> float:
        self._streamed(1, colour)  # which warms everything up
        return self._streamed(n, colour)[1] / n

    def first_chunk(self, colour: str) -> float:
        return sorted(self._streamed(1, colour)[0] for _ in range(41))[20]

    def _streamed(self, n: int, colour: str) -> tuple[float, float]:
        """Return when the first chunk came, and how long all of them took."""
        flow, aflow = self._writing()
        if colour == "async":
            return asyncio.run(self._astreamed(aflow, n))
        began, first, got = time.perf_counter(), 0.0, 0
        for _ in flow.stream(n, stream_mode="custom"):
            first = first or time.perf_counter() - began
            got += 1
        assert got == n
        return first, time.perf_counter() - began

    async def _astreamed(self, flow: Any, n: int) -> tuple[float, float]:
        began, first, got = time.perf_counter(), 0.0, 0
        async for _ in flow.astream(n, stream_mode="custom"):
            first = first or time.perf_counter() - began
            got += 1
        assert got == n
        return first, time.perf_counter() - began

    def _writing(self) -> tuple[Any, Any]:
        def write_all(count: int) -> int:
            writer = self.get_stream_writer()
            for number in range(count):
                writer(number)
            return count

        @self.entrypoint()
        def flow(count: int) -> int:
            return write_all(count)

        @self.entrypoint()
        async def aflow(count: int) -> int:
            return write_all(count)

        return flow, aflow
