"""The queue between a run and the reader of its stream: nothing is lost, whoever writes and whoever reads."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from clew.engine.events import Event
from clew.runner.channels import Channel

WRITERS, EACH = 4, 4_000


@pytest.fixture(autouse=True)
def often_interrupted() -> Iterator[None]:
    """Let OS threads take turns far more often than they do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def write_all(channel: Channel) -> threading.Thread:
    """Write from several OS threads, and end the channel when all have written."""

    def write(writer: int) -> None:
        for number in range(EACH):
            channel.put(("custom", (), (writer, number)))

    def end() -> None:
        for thread in writers:
            thread.join()
        channel.end()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    ending = threading.Thread(target=end)
    for thread in (*writers, ending):
        thread.start()
    return ending


def check(events: list[Event]) -> None:
    for writer in range(WRITERS):
        assert [number for _, _, (by, number) in events if by == writer] == list(range(EACH))


def test_a_blocking_reader_gets_everything_in_order() -> None:
    channel, events = Channel(), list[Event]()
    ending = write_all(channel)
    while taken := channel.take():
        events += taken
    ending.join()
    check(events)


def test_an_async_reader_gets_everything_in_order() -> None:
    async def read() -> list[Event]:
        channel, events = Channel(), list[Event]()
        write_all(channel)
        while taken := await channel.atake():
            events += taken
        return events

    check(asyncio.run(read()))


def test_what_is_written_after_the_reader_has_gone_is_dropped() -> None:
    channel = Channel()
    channel.put(("custom", (), 1))
    channel.close()
    ending = write_all(channel)
    ending.join()
    assert channel.take() == []
