"""How a caller waits for its thread: for its turn among the callers of this process, and for other processes.

Processes serve each other in the order of arrival by the queue in the database. Whoever gets a thread at once takes no
place in it.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import Literal

from clew.engine.identity import keyed_run_id
from clew.engine.pacing import Limit
from clew.engine.records import Queued, Run, ThreadKey
from clew.errors import Conflict, StorageError, ThreadBusy
from clew.runner.io import RunnerIO
from clew.runner.leases import LEASE_S, called, this_process
from clew.runner.turns import Turn
from clew.storage.base import Ask, Asked, Checkpointer
from clew.storage.queueing import Enqueue, LeaveQueue, ListQueue, StayQueued

#: What a new input does where another run has the thread; see `entrypoint`.
OnConflict = Literal["queue", "reject", "interrupt", "rollback"]

_WANTS: dict[OnConflict, Asked] = {"interrupt": "interrupt", "rollback": "rollback"}
_STAY_EVERY_S = LEASE_S / 6
_POLL_S = 0.02
_LONGEST_POLL_S = 0.5


class Waiting:
    """A caller that may have to wait.

    Args:
        saver: where the thread is kept.
        thread: whose turn it is about.
        wait_s: for how long at most, in seconds.
        on_conflict: what is done where another run has the thread.
        goes_on: whether the call goes on with what is there: it does not wait for new inputs, and stops nobody.
        run_key: the caller's name for the run, or None.
        served: id of the submitted call that is carried out, and that has a place already, or None.
        limit: of the thread's workflow, for a caller that it concerns, or None.
    """

    def __init__(
        self,
        saver: Checkpointer,
        thread: ThreadKey,
        *,
        wait_s: float,
        on_conflict: OnConflict = "queue",
        goes_on: bool = False,
        run_key: str | None = None,
        served: str | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._saver = saver
        self._thread = thread
        self._wait_s = wait_s
        self._until_s = time.monotonic() + wait_s
        self._rejects = on_conflict == "reject"
        self.goes_on = goes_on
        self.run_key = run_key
        self.limit = limit
        self.run_id = None if run_key is None else keyed_run_id(thread, run_key)
        self.wants: Asked | None = None if goes_on or served else _WANTS.get(on_conflict)
        self._served = served
        self._own: str | None = None  # the place taken here
        self._stay_at_s = 0.0
        self._poll_s = _POLL_S
        self._asked: str | None = None  # the run that was asked to stop

    @property
    def place(self) -> str | None:
        """The place in the queue, if there is one."""
        return self._served or self._own

    async def for_turn(self, io: RunnerIO, turn: Turn) -> None:
        """Wait for the callers of this process that come before.

        Raises:
            ThreadBusy: that is not wanted, or took too long.
        """
        if turn.ready:
            return
        if self._wait_s <= 0 or (self._rejects and not turn.is_behind_itself):
            raise await self._busy(io, this_process())
        if not self.goes_on:
            await self._take_place(io)
        while not await io.wait_for(turn, min(_STAY_EVERY_S, self._remaining_s)):
            if self._remaining_s <= 0:
                raise await self._busy(io, this_process())
            await self._stay(io)

    async def for_others(self, io: RunnerIO, busy: ThreadBusy, head: Run | None, run: Run) -> None:
        """Wait a moment for whoever comes first, and see to it that they stop if that is wanted.

        Args:
            io: the verbs.
            busy: how the thread was refused.
            head: the newest run of the thread.
            run: that is to be begun, or to be continued.

        Raises:
            ThreadBusy: that is not wanted, or took too long.
        """
        is_new = head is None or head.id != run.id
        if self._remaining_s <= 0 or (self._rejects and (is_new or run.id != self.run_id)):
            raise await self._busy(io, busy.owner) from busy
        if is_new and head is not None and head.status == "running":
            await self._ask(io, head.id)
        if is_new and self.place is None:
            await self._take_place(io)
            return
        await self._stay(io)
        await io.sleep(min(self._poll_s, self._remaining_s))
        self._poll_s = min(self._poll_s * 1.5, _LONGEST_POLL_S)

    async def _ask(self, io: RunnerIO, run_id: str) -> None:
        """Ask the run that has the thread to stop, once, if that is wanted."""
        if self.wants is not None and self._asked != run_id:
            is_there = await io.keep(self._saver, Ask(self._thread, self.wants, run_id))
            self._asked = run_id if is_there else None

    async def for_change(self, io: RunnerIO, conflict: Conflict) -> None:
        """Look again at a thread that was changed meanwhile.

        Raises:
            Conflict: it was changed again and again.
        """
        if self._remaining_s <= 0:
            raise conflict
        self._stay_at_s = 0.0  # the own place may be gone
        await self._stay(io)

    async def leave(self, io: RunnerIO) -> None:
        """Give up the place that was taken, if any."""
        if self._own is not None:
            place, self._own = self._own, None
            with contextlib.suppress(StorageError):  # it runs out by itself
                await io.keep(self._saver, LeaveQueue(place))

    def is_served(self) -> None:
        """Note that the run has begun, and the place is gone with that."""
        self._own = None

    @property
    def _remaining_s(self) -> float:
        return self._until_s - time.monotonic()

    async def _take_place(self, io: RunnerIO) -> None:
        if self.place is not None:
            return
        self._own, now_s = uuid.uuid4().hex, time.time()
        place = Queued(
            id=self._own, thread=self._thread, owner=this_process(), until_s=now_s + LEASE_S, created_s=now_s
        )
        await io.keep(self._saver, Enqueue(place))
        self._stay_at_s = time.monotonic() + _STAY_EVERY_S

    async def _stay(self, io: RunnerIO) -> None:
        """Say now and then that the caller still waits; take another place if the own one was given away."""
        if self._own is None or time.monotonic() < self._stay_at_s:
            return
        self._stay_at_s = time.monotonic() + _STAY_EVERY_S
        if not await io.keep(self._saver, StayQueued(self._own, time.time() + LEASE_S)):
            self._own = None
            await self._take_place(io)

    async def _busy(self, io: RunnerIO, owner: str) -> ThreadBusy:
        """Return the error that says who comes first."""
        queue = [place.id for place in await io.keep(self._saver, ListQueue(self._thread))]
        before = queue.index(self.place) if self.place in queue else len(queue)
        holder = f"{called(owner)} holds" if owner else "a submitted call comes first on"
        why = "on_conflict='reject' does not wait" if self._rejects else f"gave up after {self._wait_s:g} s"
        return ThreadBusy(
            f"{holder} thread {self._thread.thread_id!r} of workflow {self._thread.workflow!r}, and {before} wait "
            f"before this call; {why}",
            owner,
        )
