"""What becomes of a run whose reader leaves, and of a reader who is slow."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from clew import Checkpointer, InMemorySaver, Workflow, entrypoint, get_stream_writer, task
from clew.runner import channels
from support.colours import PATIENCE_S, Colour, Gate, result, thread
from support.processes import start


class Steps:
    """A workflow of three tasks that counts what ran; the second waits at a gate."""

    def __init__(self, colour: Colour, saver: Checkpointer) -> None:
        self.ran: list[int] = []
        self.gate = Gate()
        self.in_second = Gate()

        @colour.task
        async def step(number: int) -> int:
            if number == 2:
                self.in_second.open()
                await self.gate.passed()
            self.ran.append(number)
            return number

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> str:
            for number in (1, 2, 3):
                await result(step(number))
            return "done"

        self.flow: Workflow[int, str] = flow


async def eventually(holds: Any) -> None:
    """Let other work go on until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)


def status(flow: Any) -> tuple[str, ...]:
    return tuple(flow.get_state(thread()).next)


def test_a_closed_stream_stops_the_run_at_its_next_task(colour: Colour, saver: Checkpointer) -> None:
    steps = Steps(colour, saver)
    chunks = steps.flow.stream(1, thread())
    assert next(chunks) == {"step": 1}
    steps.in_second.wait()
    chunks.close()  # type: ignore[attr-defined]
    steps.gate.open()
    assert steps.flow.invoke(None, thread()) == "done"  # it waits for the stopped run to be over
    assert steps.ran == [1, 2, 3]


def test_a_stream_that_is_left_detached_goes_on_to_its_end(colour: Colour, saver: Checkpointer) -> None:
    steps = Steps(colour, saver)
    chunks = steps.flow.stream(1, thread(), on_close="detach")
    assert next(chunks) == {"step": 1}
    chunks.close()  # type: ignore[attr-defined]
    steps.gate.open()
    asyncio.run(eventually(lambda: status(steps.flow) == ()))
    assert steps.flow.get_state(thread()).values == "done"
    assert steps.ran == [1, 2, 3]


def test_a_stream_that_nobody_holds_any_more_is_closed(saver: Checkpointer) -> None:
    steps = Steps(Colour(False, False), saver)
    assert next(iter(steps.flow.stream(1, thread()))) == {"step": 1}
    gc.collect()
    steps.gate.open()
    assert steps.flow.invoke(None, thread()) == "done"
    assert steps.ran == [1, 2, 3]


def test_an_error_of_the_reader_stops_the_run_too(saver: Checkpointer) -> None:
    steps = Steps(Colour(False, False), saver)
    chunks: Any = steps.flow.stream(1, thread())
    next(chunks)
    steps.in_second.wait()
    with pytest.raises(ZeroDivisionError):
        chunks.throw(ZeroDivisionError())
    steps.gate.open()
    assert steps.flow.invoke(None, thread()) == "done"
    assert steps.ran == [1, 2, 3]


def test_closing_an_async_stream_cancels_the_running_async_task(saver: Checkpointer) -> None:
    seen: list[str] = []
    never = Gate()

    @task
    async def quick() -> int:
        return 1

    @task
    async def slow() -> int:
        try:
            await never.passed()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return 2

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> int:
        await quick()
        return await slow()

    async def leave_early() -> None:
        chunks: Any = flow.astream(1, thread(), stream_mode=["updates", "tasks"])
        async for mode, chunk in chunks:
            if mode == "tasks" and chunk["name"] == "slow":
                break
        await chunks.aclose()
        assert seen == ["cancelled"]  # closing waits until all of it has ended

    asyncio.run(leave_early())
    never.open()
    assert asyncio.run(flow.ainvoke(None, thread())) == 2


def test_an_async_stream_left_detached_goes_on_to_its_end(saver: Checkpointer) -> None:
    steps = Steps(Colour(True, True), saver)

    async def leave_early() -> None:
        chunks: Any = steps.flow.astream(1, thread(), on_close="detach")
        async for chunk in chunks:
            assert chunk == {"step": 1}
            break
        await chunks.aclose()
        steps.gate.open()
        await eventually(lambda: status(steps.flow) == ())

    asyncio.run(leave_early())
    assert steps.ran == [1, 2, 3]


def test_an_async_reader_of_a_blocking_workflow_stops_it_at_its_next_task(saver: Checkpointer) -> None:
    steps = Steps(Colour(False, False), saver)

    async def leave_early() -> None:
        chunks: Any = steps.flow.astream(1, thread())
        async for _ in chunks:
            break
        await asyncio.to_thread(steps.in_second.wait)
        await chunks.aclose()
        steps.gate.open()
        assert await steps.flow.ainvoke(None, thread()) == "done"

    asyncio.run(leave_early())
    assert steps.ran == [1, 2, 3]


def test_a_run_that_has_not_begun_when_its_stream_is_closed_does_nothing(saver: Checkpointer) -> None:
    steps = Steps(Colour(False, False), saver)
    first = threading.Thread(target=steps.flow.invoke, args=(1, thread()))
    first.start()
    steps.in_second.wait()

    async def leave_before_its_turn() -> None:
        chunks: Any = steps.flow.astream(1, thread())
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(leave_before_its_turn())
    steps.gate.open()
    first.join()
    assert steps.flow.invoke(None, thread()) == "done"
    assert steps.ran == [1, 2, 3]
    assert len(list(steps.flow.get_state_history(thread()))) == 2


@pytest.mark.parametrize("reader_is_async", [False, True])
def test_a_slow_reader_holds_the_run_back(
    colour: Colour, reader_is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MOST_WAITING", 10)
    written = 0

    @colour.task
    async def talk() -> int:
        nonlocal written
        write = get_stream_writer()
        for number in range(100):
            write(number)
            written += 1
            if colour.task_is_async:
                await asyncio.sleep(0)
        return written

    @colour.entrypoint
    async def flow(x: int) -> int:
        return int(await result(talk()))

    def check(number: int) -> None:
        assert written <= number + 25  # what waits, and what the reader took at once

    async def read_async() -> list[int]:
        seen = []
        async for number in flow.astream(1, stream_mode="custom"):
            await asyncio.sleep(0.0005)
            check(number)
            seen.append(number)
        return seen

    def read() -> list[int]:
        seen = []
        for number in flow.stream(1, stream_mode="custom"):
            threading.Event().wait(0.0005)
            check(number)
            seen.append(number)
        return seen

    assert (asyncio.run(read_async()) if reader_is_async else read()) == list(range(100))


def test_a_reader_who_leaves_lets_go_a_run_that_was_held_back(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_MOST_WAITING", 10)
    over = Gate()

    @colour.task
    async def talk() -> None:
        write = get_stream_writer()
        for number in range(100):
            write(number)
            if colour.task_is_async:
                await asyncio.sleep(0)

    @colour.entrypoint(checkpointer=InMemorySaver())
    async def flow(x: int) -> None:
        try:
            await result(talk())
        finally:
            over.open()

    chunks: Any = flow.stream(1, thread(), stream_mode="custom", on_close="detach")
    next(chunks)
    chunks.close()
    over.wait()


def test_a_slow_blocking_reader_may_run_other_workflows_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_MOST_WAITING", 10)

    @task
    async def talk() -> None:
        for number in range(100):
            get_stream_writer()(number)
            await asyncio.sleep(0)

    @entrypoint
    def talking(x: int) -> None:
        talk().result()

    @task
    async def other() -> int:
        await asyncio.sleep(0)
        return 1

    @entrypoint
    def meanwhile(x: int) -> int:
        return other().result()

    # Async tasks of blocking workflows share one loop: holding it up would hold up the reader as well.
    assert [meanwhile.invoke(number) for number in talking.stream(1, stream_mode="custom")] == [1] * 100


@pytest.mark.parametrize("colour_of_task", ["def", "async def"])
def test_a_program_ends_although_it_left_a_stream_unread(colour_of_task: str) -> None:
    program = f"""
from clew.runner import channels
channels._MOST_WAITING, channels._LOOK_EVERY_S = 10, 0.02

@entrypoint
{colour_of_task} flow(x):
    import asyncio
    for number in range(100):
        get_stream_writer()(number)
        {"await asyncio.sleep(0)" if colour_of_task == "async def" else ""}

chunks = flow.stream(1, stream_mode="custom")
say(next(chunks))
"""
    with start(program) as process:
        process.hears("0")
        process.ends_well()
