"""Who holds a thread: names this process so that others can tell whether it lives, and keeps held leases fresh."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
import time

from clew.errors import Conflict, StorageError
from clew.storage.base import Checkpointer, Lease, Renew

LEASE_S = 30.0
_RENEW_EVERY_S = LEASE_S / 3

log = logging.getLogger("clew")


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


class Keeper:
    """Renews the leases of runs that go on for long, on one daemon OS thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Lease, tuple[Checkpointer, float]] = {}
        self._thread: threading.Thread | None = None
        self._pid = 0

    def hold(self, saver: Checkpointer, lease: Lease) -> None:
        """Renew a lease from now on."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._held, self._thread = os.getpid(), {}, None
            self._held[lease] = (saver, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_all, name="clew-leases", daemon=True)
                self._thread.start()

    def let_go(self, lease: Lease) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.pop(lease, None)

    def _renew_all(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_RENEW_EVERY_S / 2)
            now = time.monotonic()
            with self._lock:
                due = [(lease, saver) for lease, (saver, at) in self._held.items() if now - at >= _RENEW_EVERY_S]
            for lease, saver in due:
                self._renew(lease, saver)

    def _renew(self, lease: Lease, saver: Checkpointer) -> None:
        try:
            saver.execute(Renew(lease, time.time() + LEASE_S))
        except Conflict:
            self.let_go(lease)  # taken over; the next append of this run says so to its caller
        except StorageError as error:
            log.warning("could not renew the lease of thread %r: %s", lease.thread.thread_id, error)
        else:
            with self._lock:
                if lease in self._held:
                    self._held[lease] = (saver, time.monotonic())


keeper = Keeper()
