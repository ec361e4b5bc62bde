"""When outcomes are kept, and what can be kept."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import threading
import uuid
from typing import Any

import numpy as np
import pytest

from clew import Checkpointer, Command, InMemorySaver, NotRecordable, SqliteSaver, entrypoint, interrupt, task
from clew.errors import UsageError
from clew.storage.base import Append, Operation
from support.colours import Colour, result, results, thread


class Watched(InMemorySaver):
    """Notes what is appended, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.appended: list[list[str]] = []
        self.may_append = threading.Event()
        self.may_append.set()

    def execute(self, operation: Operation[Any]) -> Any:
        if isinstance(operation, Append):
            assert self.may_append.wait(5)
            self.appended.append([record.key for record in operation.records])
        return super().execute(operation)


def working(colour: Colour, saver: Checkpointer, ran: list[Any]) -> Any:
    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        if x == 13 and ran.count(13) == 1:
            raise ConnectionError("unlucky")
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(numbers: list[int]) -> Any:
        done = [await result(work(x)) for x in numbers]
        return done, interrupt("?")

    return flow


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_interrupts_failures_and_results_are_the_same_however_they_are_kept(
    saver: Checkpointer, colour: Colour, durability: str
) -> None:
    ran: list[Any] = []
    flow = working(colour, saver, ran)
    with pytest.raises(ConnectionError):
        colour.invoke(flow, [1, 2, 13, 4], thread(), durability=durability)
    assert len(colour.invoke(flow, None, thread(), durability=durability)["__interrupt__"]) == 1
    assert colour.invoke(flow, Command(resume="ok"), thread(), durability=durability) == ([1, 2, 13, 4], "ok")
    assert ran == [1, 2, 13, 13, 4]
    assert flow.get_state(thread()).values == ([1, 2, 13, 4], "ok")


def test_by_default_every_outcome_is_kept_before_its_caller_sees_it(colour: Colour) -> None:
    saver, seen = Watched(), []

    @colour.task
    async def work(x: int) -> int:
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        for number in range(3):
            await result(work(number))
            seen.append([key for keys in saver.appended for key in keys])

    colour.invoke(flow, 1, thread())
    assert seen == [["work#1"], ["work#1", "work#2"], ["work#1", "work#2", "work#3"]]


def test_with_exit_outcomes_are_kept_in_one_append_at_the_end(colour: Colour) -> None:
    saver = Watched()
    flow = working(colour, saver, [])
    colour.invoke(flow, [1, 2, 3], thread(), durability="exit")
    assert saver.appended == [["work#1", "work#2", "work#3"]]
    with pytest.raises(ConnectionError):
        colour.invoke(flow, [1, 13], thread("fails"), durability="exit")
    assert saver.appended[1][0] == "work#1"
    assert len(saver.appended) == 2


def test_with_async_no_call_waits_for_the_database(colour: Colour) -> None:
    saver, ran = Watched(), []

    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        saver.may_append.clear()
        got = [await result(work(number)) for number in range(5)]
        assert ran == [0, 1, 2, 3, 4]  # and nothing could be appended meanwhile
        assert saver.appended == []
        saver.may_append.set()
        return got

    assert colour.invoke(flow, 1, thread(), durability="async") == [0, 1, 2, 3, 4]
    assert sorted(key for keys in saver.appended for key in keys) == [f"work#{n}" for n in range(1, 6)]
    assert saver.appended[-1] == [] or len(saver.appended) == 1  # the end comes last


def test_a_misspelt_durability_is_refused(saver: Checkpointer, colour: Colour) -> None:
    flow = working(colour, saver, [])
    with pytest.raises(UsageError, match="durability"):
        colour.invoke(flow, [1], thread(), durability="sink")


@pytest.mark.parametrize("where", ["file", ":memory:"])
def test_a_sqlite_saver_opens_from_a_path(tmp_path: pathlib.Path, where: str) -> None:
    @task
    def work(x: int) -> int:
        return x

    def ask(x: int) -> Any:
        return work(x).result(), interrupt("?")

    where = str(tmp_path / "threads.db") if where == "file" else where
    with SqliteSaver.from_conn_string(where) as saver:
        saver.setup()
        flow = entrypoint(checkpointer=saver)(ask)
        flow.invoke(1, thread())
        assert asyncio.run(flow.ainvoke(Command(resume=2), thread())) == (1, 2)


def test_another_process_finds_everything_in_the_file(tmp_path: pathlib.Path, colour: Colour) -> None:
    """Two savers on one file stand for two processes: they share nothing else."""
    ran: list[Any] = []
    with SqliteSaver.from_conn_string(tmp_path / "threads.db") as first:
        colour.invoke(working(colour, first, ran), [1, 2], thread())
    with SqliteSaver.from_conn_string(tmp_path / "threads.db") as second:
        flow = working(colour, second, ran)
        assert len(flow.get_state(thread()).interrupts) == 1
        assert colour.invoke(flow, Command(resume="ok"), thread()) == ([1, 2], "ok")
    assert ran == [1, 2]


class Shade(enum.Enum):
    DARK = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: tuple[str, ...] = ()


VALUES = [
    {"a": [1, 2.5, None, True, "text"]},
    (1, (2, [3])),
    {1, 2}, frozenset({"a"}), b"\x00\xff", bytearray(b"ab"),
    datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC), datetime.date(2024, 1, 2),
    datetime.time(1, 2), datetime.timedelta(days=1, microseconds=3), datetime.timezone(datetime.timedelta(hours=2)),
    decimal.Decimal("1.10"), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"), re.compile("a+", re.I),
    collections.deque([1, 2], maxlen=3), ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("10.0.0.0/8"),
    fractions.Fraction(1, 3), {1: "a", (2, 3): "b", None: "c"}, "text with \x00 in it", 2**100, 1e300, float("inf"),
    Shade.DARK, Point(1, ("a", "b")),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_a_task_returned_comes_back_equal_and_of_its_type(saver: Checkpointer, value: Any) -> None:
    seen: list[Any] = []

    @task
    def work() -> Any:
        return value

    @entrypoint(checkpointer=saver, allow=[Shade, Point])
    def flow(x: Any, *, previous: Any) -> Any:
        seen.append((x, work().result(), previous))
        return entrypoint.final(value=interrupt(value), save=value)

    flow.update_state(thread(), value)
    flow.invoke(value, thread())
    assert flow.get_state(thread()).interrupts[0].value == value
    returned = flow.invoke(Command(resume=value), thread())
    for got in (*seen[0], *seen[1], returned, flow.get_state(thread()).saved):
        assert got == value
        assert type(got) is type(value)


def test_arrays_come_back(saver: Checkpointer) -> None:
    @task
    def work() -> Any:
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        interrupt("?")
        return work().result()

    flow.invoke(1, thread())
    array = flow.invoke(Command(resume=1), thread())
    assert array.dtype == np.float32
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_a_task_returns_and_cannot_be_kept_is_refused_by_task_and_place(
    saver: Checkpointer, colour: Colour
) -> None:
    @colour.task
    async def work() -> Any:
        return {"rows": [1, {"lock": threading.Lock()}]}

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any) -> Any:
        return len(await result(work()))

    with pytest.raises(TypeError, match=r"'work'.*\['rows'\]\[1\]\['lock'\]") as refused:
        colour.invoke(flow, 1, thread())
    assert isinstance(refused.value, NotRecordable)
    assert flow.get_state(thread()).tasks[0].error is not None


def test_what_a_workflow_returns_and_cannot_be_kept_is_refused_by_name_and_place(
    saver: Checkpointer, colour: Colour
) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any) -> Any:
        return {"fine": x, "bad": [lambda: None]} if x == 1 else x

    with pytest.raises(TypeError, match=r"'flow'.*\['bad'\]\[0\]"):
        colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, 2, thread()) == 2  # the thread is free


def test_an_input_that_cannot_be_kept_is_refused_before_any_code_runs(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any) -> Any:
        ran.append(1)

    with pytest.raises(TypeError, match=r"input.*\['bad'\]"):
        colour.invoke(flow, {"bad": object()}, thread())
    assert ran == []
    assert not flow.get_state(thread()).exists


def test_without_a_checkpointer_anything_may_be_passed_and_returned(colour: Colour) -> None:
    @colour.task
    async def work(x: Any) -> Any:
        return x, lambda: x

    @colour.entrypoint()
    async def flow(x: Any) -> Any:
        return await result(work(x))

    lock = threading.Lock()
    same, call = colour.invoke(flow, lock)
    assert same is lock
    assert call() is lock


def test_a_large_fan_out_is_kept_whole(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        done = await results(*[work(number) for number in range(x)])
        return sum(done) + interrupt("?")

    colour.invoke(flow, 200, thread(), durability="async")
    assert colour.invoke(flow, Command(resume=0), thread()) == sum(range(200))
    assert sorted(ran) == list(range(200))
