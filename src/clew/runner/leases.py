"""Who holds a thread: names this process so that others can tell whether it lives, and keeps held leases fresh.

A run whose end could not be kept still holds its thread. Only its own process can know that nobody runs it any more.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from clew.engine.records import ThreadKey
from clew.errors import Conflict
from clew.late import late
from clew.runner.dispatching import heed
from clew.runner.logs import fields
from clew.storage.base import Asked, Checkpointer, End, Lease, Renew, Watch

if TYPE_CHECKING:
    import socket
else:
    late(globals(), "socket")  # only runs that are kept have leases

LEASE_S = float(os.environ.get("CLEW_LEASE_S") or 30)  # the same in all processes; tests of frozen ones shorten it
_RENEW_EVERY_S = LEASE_S / 3
_WATCH_EVERY_S = 1.0

log = logging.getLogger("clew.leases")


@functools.cache
def this_machine() -> str:
    """Name this machine since its last start, as far as process numbers mean the same on it."""
    boot = _text("/proc/sys/kernel/random/boot_id").strip()
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"


@functools.cache
def _process(pid: int) -> str:
    return f"{this_machine()}/{pid}/{_started(pid)}"


def this_process() -> str:
    """Name this process: machine, process number, and when it started."""
    return _process(os.getpid())


def is_dead(owner: str) -> bool:
    """Say whether the process that took a lease is known to have ended; False where that cannot be known."""
    machine, pid, started = [*owner.rsplit("/", 2), "", ""][:3]
    if machine != this_machine() or not pid.isdigit():
        return False
    if started:
        return _started(int(pid)) != started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def called(owner: str) -> str:
    """Return what people call an owner."""
    if owner == this_process():
        return "another run of this process"
    machine, _, rest = owner.partition("/")
    pid = rest.rsplit("/", 2)[-2:-1]
    return f"process {pid[0]} on {machine}" if pid else repr(owner)


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks, or "" if it has ended or the system does not tell."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    # One that has ended but was not collected by its parent yet is a zombie ("Z").
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class _Held(Struct):
    """A lease that is kept fresh."""

    saver: Checkpointer
    tell: Callable[[Asked], object]
    renewed_at_s: float


class Unended(Struct, frozen=True):
    """A run that is over, and whose end could not be kept."""

    lease: Lease
    end: End
    left_at_s: float


class Keeper:
    """Looks after the leases of runs that go on for long, on one daemon OS thread.

    It renews them, and hears what their runs are asked to do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Lease, _Held] = {}
        self._unended: dict[tuple[Hashable, ThreadKey], Unended] = {}  # by database and thread
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._asked = threading.Event()  # something was, perhaps

    def hold(self, saver: Checkpointer, lease: Lease, tell: Callable[[Asked], object]) -> None:
        """Renew a lease from now on, and tell its run what it is asked to do."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._held, self._thread = os.getpid(), {}, None
            self._held[lease] = _Held(saver, tell, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_after_all, name="clew-leases", daemon=True)
                self._thread.start()

    def let_go(self, lease: Lease) -> None:
        """Look after it no more."""
        with self._lock:
            self._held.pop(lease, None)

    def leave_unended(self, saver: Checkpointer, lease: Lease, end: End) -> None:
        """Note how a run ended that still holds its thread, for whoever wants the thread next in this process."""
        now_s = time.monotonic()
        with self._lock:
            self._unended = {key: each for key, each in self._unended.items() if now_s - each.left_at_s < LEASE_S}
            self._unended[saver.database.identity, lease.thread] = Unended(lease, end, now_s)

    def unended(self, saver: Checkpointer, thread: ThreadKey) -> Unended | None:
        """Return what was noted of a thread, once."""
        with self._lock:
            return self._unended.pop((saver.database.identity, thread), None)

    def _look_after_all(self) -> None:
        heeded: dict[Lease, Callable[[], None]] = {}
        while True:
            self._asked.wait(min(_WATCH_EVERY_S, _RENEW_EVERY_S / 2))
            self._asked.clear()
            with self._lock:
                held = dict(self._held)
            self._watch({lease: each for lease, each in held.items() if lease in heeded})
            for lease in heeded.keys() - held.keys():
                heeded.pop(lease)()
            for lease, each in held.items():
                if lease not in heeded:
                    heeded[lease] = self._heed(lease, each)
                if time.monotonic() - each.renewed_at_s >= _RENEW_EVERY_S:
                    self._renew(lease, each)

    def _heed(self, lease: Lease, held: _Held) -> Callable[[], None]:
        """Hear at once what a run is asked, where its database calls; give what ends that."""
        try:
            return heed(held.saver, lease.thread, self._asked.set)
        except Exception as error:  # here and below: whatever one database does, the leases of others are kept
            log.warning(
                "what the run on thread %r is asked is looked for from time to time: %s", lease.thread[0], error
            )
            return lambda: None

    def _watch(self, held: Mapping[Lease, _Held]) -> None:
        """Hear what is asked of runs, in one operation for each database."""
        by_database: dict[Hashable, list[Lease]] = {}
        for lease, each in held.items():
            by_database.setdefault(each.saver.database.identity, []).append(lease)
        for leases in by_database.values():
            try:
                asked = held[leases[0]].saver.execute(Watch(leases))
                for lease in leases:
                    if lease.run_id in asked:
                        held[lease].tell(asked[lease.run_id])
            except Exception as error:
                log.warning("could not look what is asked of %d runs: %s", len(leases), error)

    def _renew(self, lease: Lease, held: _Held) -> None:
        try:
            held.saver.execute(Renew(lease, time.time() + LEASE_S))
        except Conflict:
            self.let_go(lease)  # the next append of this run says so to its caller
            text = "thread %r of workflow %r was taken over by another process, or deleted"
            log.warning(text, *lease.thread, extra=fields(lease.thread, lease.run_id))
        except Exception as error:
            text = "could not renew the lease of thread %r of workflow %r: %s"
            log.warning(text, *lease.thread, error, extra=fields(lease.thread, lease.run_id))
        else:
            held.renewed_at_s = time.monotonic()


keeper = Keeper()
