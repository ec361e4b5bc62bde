"""A worker of procrastinate that does nothing but pass wake-ups on, on an event loop and an OS thread of its own.

It works over our connections: in short transactions, checked, and good behind a pooler, too. What is to be done, and
who may do it, is not its business: when it fails, or is not there, work is found later, not differently.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from clew.errors import ClewError, MissingDependency
from clew.storage.postgres.addresses import driver
from clew.storage.postgres.listening import Listener
from clew.storage.postgres.wakeups import TASK

if TYPE_CHECKING:
    import psycopg
    from procrastinate import App
    from procrastinate.connector import BaseAsyncConnector, Notify

    from clew.storage.postgres.transactions import Work

log = logging.getLogger("clew.database")

_RETRY_S = 1.0
_PATIENCE_S = 10.0


class Writes(Protocol):
    """The part of a PostgresDatabase that is needed here."""

    def awrite(self, work: Work[Any]) -> Awaitable[Any]: ...


class Waker:
    """Calls somebody for each wake-up that is sent to some queues, until it is stopped.

    Args:
        database: carries out what procrastinate wants to know and to change.
        listener: hears that there are wake-ups.
        queues: their names.
        woken: called with none, on an OS thread; while it has not returned, no other wake-up is taken.
    """

    def __init__(
        self, database: Writes, listener: Listener, queues: Sequence[str], woken: Callable[[], object]
    ) -> None:
        self._database = database
        self._listener = listener
        self._queues = queues
        self._woken = woken
        self._lock = threading.Lock()
        self._stops = False
        self._cancel: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="clew-postgres-wakeups", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more wake-ups. `woken` is let finish."""
        with self._lock:
            self._stops = True
            if self._cancel is not None:
                self._cancel()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._work_until_stopped())
        except asyncio.CancelledError:
            pass
        except MissingDependency as error:
            log.warning("work that is submitted elsewhere is looked for from time to time, for %s", error)

    async def _work_until_stopped(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with self._lock:
            if self._stops:
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            app = _app(_connector(self._database, self._listener), self._woken)
            while not self._stops:
                try:
                    await self._work(app)
                except Exception as error:  # whatever it is, work is found without it
                    if not self._stops:
                        log.warning("no wake-ups come until this is over, and work is looked for instead: %s", error)
                        await asyncio.sleep(_RETRY_S)
        finally:
            with self._lock:
                self._cancel = None

    async def _work(self, app: App) -> None:
        from procrastinate.jobs import Status

        jobs = app.job_manager
        for queue in self._queues:
            for job in await jobs.get_stalled_jobs(queue=queue):  # of workers that were killed; this one looks anyway
                await jobs.finish_job(job, Status.ABORTED, delete_job=True)
        await app.run_worker_async(
            queues=self._queues, concurrency=1, delete_jobs="always", install_signal_handlers=False
        )


def _app(connector: BaseAsyncConnector, woken: Callable[[], object]) -> App:
    from procrastinate import App

    app = App(connector=connector)

    def wake(thread: int) -> None:
        woken()

    app.task(name=TASK)(wake)
    return app


def _connector(database: Writes, listener: Listener) -> BaseAsyncConnector:
    """Return what lets procrastinate work on our connections.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        from procrastinate import exceptions
        from procrastinate.connector import BaseAsyncConnector
    except ImportError as error:
        raise MissingDependency("procrastinate is not installed: pip install 'clew[postgres]'") from error

    class Connector(BaseAsyncConnector):
        async def open_async(self, pool: Any = None) -> None:
            pass

        async def close_async(self) -> None:
            pass

        async def execute_query_async(self, query: str, **arguments: Any) -> None:
            await self.execute_query_all_async(query, **arguments)

        async def execute_query_one_async(self, query: str, **arguments: Any) -> dict[str, Any]:
            found = await self.execute_query_all_async(query, **arguments)
            if not found:
                raise exceptions.NoResult
            return found[0]

        async def execute_query_all_async(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
            try:
                found: list[dict[str, Any]] = await database.awrite(partial(_carry_out, query, arguments))
            except ClewError as error:
                raise exceptions.ConnectorException(str(error)) from error
            return found

        async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
            await _hear(listener, on_notification, channels)

    return Connector()


def _carry_out(query: str, arguments: dict[str, Any], connection: psycopg.Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=driver().rows.dict_row) as cursor:
        cursor.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


async def _hear(listener: Listener, on_notification: Notify, channels: Iterable[str]) -> None:
    """Pass on what is heard on some channels, until this is cancelled."""
    loop, calls = asyncio.get_running_loop(), asyncio.Queue[tuple[str, str]]()

    def tell(channel: str, payload: str | None) -> None:
        if payload is not None:  # else calls may have been missed; it looks by itself every few seconds
            with contextlib.suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(calls.put_nowait, (channel, payload))

    leaving = [listener.follow(channel, partial(tell, channel)) for channel in channels]
    try:
        while True:
            channel, payload = await calls.get()
            await on_notification(channel=channel, payload=payload)
    finally:
        for leave in leaving:
            leave()
