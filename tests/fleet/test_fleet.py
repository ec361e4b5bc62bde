"""Workers are killed, frozen and cut off, and their server is restarted: nothing is lost, nothing done twice."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest

from clew import PostgresSaver
from support.fleet import LEASE_S, Messages, Outcome, fleet, freeze, in_turn
from support.links import link_to
from support.postgres import fresh_schema, own_server
from support.working import eventually

THREADS, MESSAGES = 10, 20
PATIENCE_S = 60.0


def is_right(outcome: Outcome) -> None:
    """Check that every message was applied once, in order."""
    print(outcome)
    assert all(applied == list(range(MESSAGES)) for applied in outcome.threads.values())
    assert outcome.runs == THREADS * MESSAGES


def test_each_message_is_applied_once_and_in_order_whatever_happens_to_workers_and_server(tmp_path: Path) -> None:
    with (
        own_server() as server,
        contextlib.closing(PostgresSaver(server.address)) as saver,
        fleet(tmp_path, "public") as workers,
    ):
        saver.setup()
        first, second, _ = [workers.start(server.address) for _ in range(3)]
        workers.wait_until_ready()
        messages = Messages(saver, THREADS, MESSAGES)
        submitting = threading.Thread(target=messages.submit_all, args=(0.3,))
        submitting.start()
        freezing = threading.Thread(target=freeze, args=(second, 1.5 * LEASE_S))
        steps = [first.kill, lambda: workers.start(server.address), freezing.start, server.restart]
        in_turn(steps, lambda: messages.submitted / (THREADS * MESSAGES))
        submitting.join()
        freezing.join()
        is_right(messages.outcome(PATIENCE_S))


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_each_message_is_applied_once_and_in_order_although_a_host_is_cut_off(
    how: str, postgres: str, tmp_path: Path
) -> None:
    with (
        fresh_schema(postgres) as schema,
        contextlib.closing(PostgresSaver(postgres, schema=schema)) as saver,
        link_to(postgres) as far,
        fleet(tmp_path, schema) as workers,
    ):
        saver.setup()
        for address in (postgres, far.address):
            workers.start(address)
        workers.wait_until_ready()
        messages = Messages(saver, THREADS, MESSAGES)
        submitting = threading.Thread(target=messages.submit_all, args=(0.2,))
        submitting.start()
        eventually(lambda: messages.submitted > THREADS * MESSAGES / 4)
        getattr(far, how)()
        time.sleep(1.5 * LEASE_S)
        far.mend()
        submitting.join()
        is_right(messages.outcome(PATIENCE_S))
