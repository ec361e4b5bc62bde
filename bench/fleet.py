"""Workers on one PostgreSQL database: what they bear, how much they do, and how soon they begin.

    python -m bench.fleet [--threads 200] [--messages 10] [--only suffering|hosts|rates|latency|appends]

A server of its own is started, unless CLEW_BENCH_POSTGRES names one (which is then not restarted).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.hosts import Host, hosts, why_not
from clew import PostgresSaver, task
from clew.engine.records import ThreadKey
from clew.storage.base import ListRuns
from support.fleet import LEASE_S, Fleet, Messages, Outcome, collecting, fleet, freeze, in_turn
from support.links import link_to
from support.postgres import Server, fresh_schema, own_server

_SUBMISSIONS = 300


def main() -> None:
    """Measure, and print a line for each figure."""
    options = _options()
    with _server() as (address, server):
        for name, measure in _MEASURES.items():
            if options.only in (None, name):
                with (
                    fresh_schema(address) as schema,
                    contextlib.closing(PostgresSaver(address, schema=schema)) as saver,
                ):
                    saver.setup()
                    measure(Place(address, server, schema, saver), options)


class Place:
    """Where something is measured."""

    def __init__(self, address: str, server: Server | None, schema: str, saver: PostgresSaver) -> None:
        self.address = address
        self.server = server
        self.schema = schema
        self.saver = saver

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[Fleet]:
        """Give workers for the length of a block."""
        with tempfile.TemporaryDirectory() as folder, fleet(Path(folder), self.schema) as made:
            for _ in range(count):
                made.start(self.address)
            made.wait_until_ready()
            yield made


def suffer(place: Place, options: argparse.Namespace) -> None:
    """Submit many messages while workers are killed and frozen, and the server is restarted."""
    messages = Messages(place.saver, options.threads, options.messages)
    total = options.threads * options.messages
    with place.workers(3) as workers:

        def replace() -> None:
            workers.living()[-1].kill()
            workers.start(place.address)

        def freeze_one() -> None:
            threading.Thread(target=freeze, args=(workers.living()[0], 2 * LEASE_S)).start()

        steps: list[Callable[[], object]] = [replace, freeze_one] * 3
        if place.server is not None:
            steps[2:2] = [place.server.restart]
            steps.append(place.server.restart)
        submitting = threading.Thread(target=messages.submit_all, args=(0.0,))
        submitting.start()
        in_turn(steps, lambda: messages.submitted / total)
        submitting.join()
        outcome = messages.outcome(patience_s=600)
    _check(outcome, options, "suffering")


def divide(place: Place, options: argparse.Namespace) -> None:
    """Submit many messages to workers on hosts of their own, whose links are cut for a while, in turn."""
    if reason := why_not():
        print(f"hosts: not measured, for {reason}")
        return
    messages = Messages(place.saver, options.threads, options.messages)
    total = options.threads * options.messages
    with hosts(2) as there, contextlib.ExitStack() as links, place.workers(0) as workers:
        for host in there:
            workers.start(links.enter_context(link_to(place.address, host.gateway)).address, host.inside)
        workers.wait_until_ready()

        def cut(host: Host) -> None:
            host.cut()
            time.sleep(2 * LEASE_S)
            host.mend()

        steps: list[Callable[[], object]] = [functools.partial(cut, host) for host in there * 2]
        submitting = threading.Thread(target=messages.submit_all, args=(0.0,))
        submitting.start()
        in_turn(steps, lambda: messages.submitted / total)
        submitting.join()
        outcome = messages.outcome(patience_s=600)
    _check(outcome, options, f"hosts: each of 2 cut off for {2 * LEASE_S:.0f} s twice")


def rates(place: Place, options: argparse.Namespace) -> None:
    """Say how many runs a second one, two and four workers carry out that were all submitted before."""
    for count in (1, 2, 4):
        with (
            fresh_schema(place.address) as schema,
            contextlib.closing(PostgresSaver(place.address, schema=schema)) as saver,
        ):
            messages = Messages(saver, options.threads, options.messages)
            began_s = time.monotonic()
            messages.submit_all(0.0)
            submitted_s = time.monotonic() - began_s
            with Place(place.address, None, schema, saver).workers(count):
                outcome = messages.outcome(patience_s=600)
            ends = sorted(
                run.ended_s or 0.0
                for name in outcome.threads
                for run in saver.execute(ListRuns(ThreadKey(name, "collect")))
            )
            total = len(ends)
            print(
                f"rates: {count} workers, {total / (ends[-1] - ends[0]):.0f} runs/s "
                f"(submitted at {total / submitted_s:.0f}/s)"
            )


def latency(place: Place, options: argparse.Namespace) -> None:
    """Say how soon after `submit` was called a run begins on a worker that had nothing to do."""
    collect = collecting(place.saver)
    waits_s = []
    with place.workers(1):
        collect.submit(0, _on("first")).result(60)
        time.sleep(3)  # until its wake-ups come
        for number in range(_SUBMISSIONS):
            began_s = time.time()
            handle = collect.submit(number, _on(f"latency {number}"))
            handle.result(60)
            (run,) = place.saver.execute(ListRuns(ThreadKey(handle.thread_id, "collect")))
            waits_s.append(run.created_s - began_s)
    parts = statistics.quantiles(waits_s, n=100)
    print(f"latency: submit to start p50 {parts[49] * 1e3:.1f} ms, p99 {parts[98] * 1e3:.1f} ms, of {len(waits_s)}")


def appends(place: Place, options: argparse.Namespace) -> None:
    """Say how many outcomes a second are kept, one after another and by many runs at once."""
    from clew import entrypoint

    @task
    def step(x: int) -> int:
        return x

    @entrypoint(checkpointer=place.saver)
    def steps(count: int) -> int:
        return sum(step(x).result() for x in range(count))

    for runs in (1, 8, 32):
        each = 2000 // runs
        began_s = time.monotonic()
        threads = [
            threading.Thread(target=steps.invoke, args=(each, _on(f"{runs} {number}"))) for number in range(runs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"appends: {runs} runs at once, {runs * each / (time.monotonic() - began_s):.0f} records/s")


_MEASURES = {"appends": appends, "latency": latency, "rates": rates, "suffering": suffer, "hosts": divide}


def _check(outcome: Outcome, options: argparse.Namespace, name: str) -> None:
    """Print what became of the messages, and fail unless each was applied once, in order."""
    wrong = [thread for thread, applied in outcome.threads.items() if applied != list(range(options.messages))]
    too_many = outcome.runs - options.threads * options.messages
    print(f"{name}: {outcome}; {len(wrong)} threads wrong, {too_many} runs too many")
    assert not wrong
    assert too_many == 0


def _on(thread_id: str) -> dict[str, dict[str, str]]:
    return {"configurable": {"thread_id": thread_id}}


@contextlib.contextmanager
def _server() -> Iterator[tuple[str, Server | None]]:
    given = os.environ.get("CLEW_BENCH_POSTGRES")
    if given:
        yield given, None
        return
    with own_server() as server:
        yield server.address, server


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=200)
    parser.add_argument("--messages", type=int, default=10, help="for each thread")
    parser.add_argument("--only", choices=list(_MEASURES), help="one of the measurements")
    return parser.parse_args()


if __name__ == "__main__":
    main()
