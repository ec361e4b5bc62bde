"""The same few workflows for each system. Clew and LangGraph share their code: only the imports differ."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.memories import ClewMemories, FloorMemories, LangGraphMemories

WORDS = ("lorem ipsum dolor sit amet " * 20)[:400]


class Peer:
    """A system under measurement.

    Args:
        where: see Case.
        folder: an empty folder for its files.
        postgres: address of a PostgreSQL server, or "".
    """

    kinds: tuple[str, ...] = ("none", "memory", "sqlite", "disk", "postgres")
    imports: str

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        self.where, self.folder, self.postgres = where, folder, postgres
        self.file = os.path.join(folder, "bench.db")

    def can(self, where: str) -> bool:
        return where in self.kinds and (where != "postgres" or bool(self.postgres))

    def import_s(self) -> float:
        return min(self._fresh("time.perf_counter() - began") for _ in range(3))

    def import_bytes(self) -> float:
        return self._fresh("resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0")

    def import_distributions(self) -> float:
        found = "{d for m in list(sys.modules) for d in names.get(m.partition('.')[0], ())}"
        return self._fresh(
            f"float(len({found}))", "from importlib.metadata import packages_distributions as p; names=p()"
        )

    def _fresh(self, figure: str, after: str = "") -> float:
        """Evaluate a figure in a process that has imported this system alone."""
        code = (
            f"import time, sys; began = time.perf_counter()\n{self.imports}\nimport resource; {after}\nprint({figure})"
        )
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


class Functional(Peer):
    """Clew and LangGraph: what differs is in the attributes."""

    task: Any
    entrypoint: Any
    get_stream_writer: Any
    options: dict[str, Any]

    def saver(self, *, asynchronous: bool = False) -> Any:
        raise NotImplementedError

    def config(self, thread: str) -> dict[str, Any]:
        return {"configurable": {"thread_id": thread}, "recursion_limit": 100_000}

    def empty(self, colour: str, times: int = 300) -> float:
        return self._per_run(
            self._workflows(self.saver(asynchronous=colour == "async"))[colour, "sequence"], colour, times
        )

    def sequence(self, n: int, colour: str) -> float:
        return self._timed("sequence", n, colour)

    def fan(self, n: int, colour: str) -> float:
        return self._timed("fan", n, colour)

    def _timed(self, shape: str, n: int, colour: str) -> float:
        if colour == "sync":
            flow = self._workflows(self.saver())[colour, shape]
            flow.invoke(3, self.config("warm"), **self.options)
            began = time.perf_counter()
            flow.invoke(n, self.config("1"), **self.options)
            return time.perf_counter() - began

        async def main() -> float:
            async with Closing(self.saver(asynchronous=True)) as saver:
                flow = self._workflows(saver)[colour, shape]
                await flow.ainvoke(3, self.config("warm"), **self.options)
                began = time.perf_counter()
                await flow.ainvoke(n, self.config("1"), **self.options)
                return time.perf_counter() - began

        return asyncio.run(main())

    def _per_run(self, flow: Any, colour: str, times: int) -> float:
        async def main() -> float:
            await flow.ainvoke(0, self.config("warm"), **self.options)
            began = time.perf_counter()
            for number in range(times):
                await flow.ainvoke(0, self.config(str(number)), **self.options)
            return (time.perf_counter() - began) / times

        if colour == "async":
            return asyncio.run(main())
        flow.invoke(0, self.config("warm"), **self.options)
        began = time.perf_counter()
        for number in range(times):
            flow.invoke(0, self.config(str(number)), **self.options)
        return (time.perf_counter() - began) / times

    def _workflows(self, saver: Any) -> dict[tuple[str, str], Any]:
        @self.task
        def step(number: int) -> int:
            return number

        @self.task
        async def astep(number: int) -> int:
            return number

        @self.entrypoint(checkpointer=saver)
        def sequence(n: int) -> int:
            for number in range(n):
                step(number).result()
            return n

        @self.entrypoint(checkpointer=saver)
        def fan(n: int) -> int:
            return len([future.result() for future in [step(number) for number in range(n)]])

        @self.entrypoint(checkpointer=saver)
        async def asequence(n: int) -> int:
            for number in range(n):
                await astep(number)
            return n

        @self.entrypoint(checkpointer=saver)
        async def afan(n: int) -> int:
            return len(await asyncio.gather(*[astep(number) for number in range(n)]))

        return {
            ("sync", "sequence"): sequence, ("sync", "fan"): fan,
            ("async", "sequence"): asequence, ("async", "fan"): afan,
        }  # fmt: skip

    def resume(self, n: int) -> float:
        broken = [True]

        @self.task
        def step(number: int) -> int:
            return number

        @self.entrypoint(checkpointer=self.saver())
        def flow(n: int) -> int:
            for number in range(n):
                step(number).result()
            if broken[0]:
                raise KeyError("broken")
            return n

        try:
            flow.invoke(n, self.config("1"), **self.options)
        except KeyError:
            broken[0] = False
        began = time.perf_counter()
        assert flow.invoke(None, self.config("1"), **self.options) == n
        return time.perf_counter() - began

    def many_runs(self, runs: int, tasks: int) -> float:
        return asyncio.run(self._many_runs(runs, tasks))

    def many_runs_bytes(self, runs: int, tasks: int) -> float:
        import resource

        def peak() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        asyncio.run(self._many_runs(2, tasks, "warm"))
        before = peak()
        asyncio.run(self._many_runs(runs, tasks))
        return (peak() - before) / runs

    async def _many_runs(self, runs: int, tasks: int, name: str = "") -> float:
        @self.task
        async def step(number: int) -> int:
            await asyncio.sleep(0.01)
            return number

        async with Closing(self.saver(asynchronous=True)) as saver:

            @self.entrypoint(checkpointer=saver)
            async def flow(n: int) -> int:
                for number in range(n):
                    await step(number)
                return n

            began = time.perf_counter()
            calls = [flow.ainvoke(tasks, self.config(f"{name}{run}"), **self.options) for run in range(runs)]
            assert await asyncio.gather(*calls) == [tasks] * runs
            return time.perf_counter() - began

    def turn(self, n: int) -> float:
        return self._turns(n)[0]

    def thread_bytes(self, n: int) -> float:
        return self._turns(n)[1]

    def _turns(self, n: int) -> tuple[float, float]:
        saver = self.saver()

        @self.entrypoint(checkpointer=saver)
        def chat(message: dict[str, Any], *, previous: Any) -> Any:
            messages = [*(previous or []), message, {"role": "assistant", "content": WORDS, "id": f"a{message['id']}"}]
            return self.entrypoint.final(value=messages[-1], save=messages)

        times: list[float] = []
        for number in range(n):
            message = {"role": "user", "content": WORDS, "id": str(number)}
            began = time.perf_counter()
            chat.invoke(message, self.config("1"), **self.options)
            times.append(time.perf_counter() - began)
        size = sum(os.path.getsize(self.file + end) for end in ("", "-wal") if os.path.exists(self.file + end))
        return sorted(times[-5:])[2], float(size)

    def chunk(self, n: int, colour: str) -> float:
        return self._streamed(n, colour)[1] / n

    def first_chunk(self, colour: str) -> float:
        return min(self._streamed(1, colour)[0] for _ in range(20))

    def _streamed(self, n: int, colour: str) -> tuple[float, float]:
        """Return when the first chunk came, and how long the others took."""

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

        async def main() -> tuple[float, float]:
            began, first, got = time.perf_counter(), 0.0, 0
            async for _ in aflow.astream(n, stream_mode="custom"):
                first = first or time.perf_counter() - began
                got += 1
            assert got == n
            return first, time.perf_counter() - began

        if colour == "async":
            return asyncio.run(main())
        began, first, got = time.perf_counter(), 0.0, 0
        for _ in flow.stream(n, stream_mode="custom"):
            first = first or time.perf_counter() - began
            got += 1
        assert got == n
        return first, time.perf_counter() - began

    def start(self, threads: int) -> float:
        @self.entrypoint(checkpointer=self.saver())
        def flow(number: int) -> int:
            return number

        for number in range(threads):
            flow.invoke(number, self.config(str(number)), **self.options)
        began = time.perf_counter()

        @self.entrypoint(checkpointer=self.saver())
        def again(number: int) -> int:
            return number

        again.invoke(1, self.config("0"), **self.options)
        return time.perf_counter() - began

    def growth(self, runs: int) -> float:
        flow = self._workflows(None)["sync", "sequence"]

        def now() -> int:
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        for _ in range(2000):
            flow.invoke(2, **self.options)
        before = now()
        for _ in range(runs):
            flow.invoke(2, **self.options)
        return float(now() - before)

    def killed(self, tries: int, tasks: int) -> float:
        return float(sum(self._killed_once(number, tasks) for number in range(tries)))

    def _killed_once(self, number: int, tasks: int) -> int:
        """Kill a process in the middle of a run, go on in another, and count the tasks that ran twice."""
        marks = os.path.join(self.folder, f"marks{number}")
        command = [sys.executable, "-m", "bench.victim", type(self).__name__, self.file, str(number), str(tasks), marks]
        child = subprocess.Popen(command)
        while not os.path.exists(marks) or os.path.getsize(marks) < 2 * tasks // 2:
            time.sleep(0.0005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        subprocess.run([*command, "again"], check=True)
        with open(marks, "rb") as file:
            return len(file.read()) // 2 - tasks


class Closing:
    """Enters a saver that wants to be entered, and leaves it."""

    def __init__(self, saver: Any) -> None:
        self.saver = saver

    async def __aenter__(self) -> Any:
        if hasattr(self.saver, "__aenter__"):
            self.entered = await self.saver.__aenter__()
            if hasattr(self.entered, "setup"):
                await self.entered.setup()
            return self.entered
        return self.saver

    async def __aexit__(self, *error: object) -> None:
        if hasattr(self.saver, "__aexit__"):
            await self.saver.__aexit__(*error)


class Clew(Functional, ClewMemories):
    imports = "from clew import entrypoint, task"

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        super().__init__(where, folder, postgres)
        import clew

        self.task, self.entrypoint, self.get_stream_writer = clew.task, clew.entrypoint, clew.get_stream_writer
        self.options = {}

    def saver(self, *, asynchronous: bool = False) -> Any:
        import clew

        if self.where == "postgres":
            return clew.PostgresSaver(self.postgres)
        if self.where in ("sqlite", "disk"):
            return clew.SqliteSaver(self.file)
        return clew.InMemorySaver() if self.where == "memory" else None


class LangGraph(Functional, LangGraphMemories):
    imports = "from langgraph.func import entrypoint, task"

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        super().__init__(where, folder, postgres)
        from langgraph.config import get_stream_writer
        from langgraph.func import entrypoint, task

        self.task, self.entrypoint, self.get_stream_writer = task, entrypoint, get_stream_writer
        self.options = {"durability": "sync"} if where != "none" else {}

    def saver(self, *, asynchronous: bool = False) -> Any:
        if self.where in ("sqlite", "disk"):
            return self._async_sqlite() if asynchronous else self._sqlite()
        if self.where == "postgres":
            return self._postgres(asynchronous)
        from langgraph.checkpoint.memory import InMemorySaver

        return InMemorySaver() if self.where == "memory" else None

    def _sqlite(self) -> Any:
        from langgraph.checkpoint.sqlite import SqliteSaver

        connection = sqlite3.connect(self.file, check_same_thread=False)
        saver = SqliteSaver(connection)
        saver.setup()
        connection.execute("PRAGMA synchronous=FULL")
        return saver

    def _async_sqlite(self) -> Any:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        return AsyncSqliteSaver.from_conn_string(self.file)

    def _postgres(self, asynchronous: bool) -> Any:
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        if asynchronous:
            return AsyncPostgresSaver.from_conn_string(self.postgres)
        self._entered = PostgresSaver.from_conn_string(self.postgres)
        saver = self._entered.__enter__()
        saver.setup()
        return saver


class Dbos(Peer):
    """DBOS keeps everything in a database: it has no run that is kept nowhere."""

    kinds = ("none", "sqlite", "disk", "postgres")
    imports = "from dbos import DBOS"

    def can(self, where: str) -> bool:
        return super().can(where)

    def _launched(self) -> Any:
        from dbos import DBOS

        url = self.postgres if self.where == "postgres" else f"sqlite:///{self.file}"
        DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
        return DBOS

    def sequence(self, n: int, colour: str) -> float | None:
        return self._timed("sequence", n, colour)

    def fan(self, n: int, colour: str) -> float | None:
        return self._timed("fan", n, colour)

    def empty(self, colour: str, times: int = 50) -> float | None:
        return self._timed("empty", times, colour, divided=times)

    def _timed(self, shape: str, n: int, colour: str, divided: int = 1) -> float:
        if self.where == "none" or (shape == "fan" and colour == "sync"):
            return float("nan")
        dbos = self._launched()
        flows = self._workflows(dbos)
        dbos.launch()
        try:
            if colour == "sync":
                flows["sync", "sequence"](3)
                began = time.perf_counter()
                for _ in range(divided):
                    flows[colour, "sequence" if shape == "empty" else shape](0 if shape == "empty" else n)
                return (time.perf_counter() - began) / divided
            return asyncio.run(self._atimed(flows, shape, n, divided))
        finally:
            dbos.destroy()

    async def _atimed(self, flows: Any, shape: str, n: int, divided: int) -> float:
        await flows["async", "sequence"](3)
        began = time.perf_counter()
        for _ in range(divided):
            await flows["async", "sequence" if shape == "empty" else shape](0 if shape == "empty" else n)
        return (time.perf_counter() - began) / divided

    def _workflows(self, dbos: Any) -> dict[tuple[str, str], Callable[..., Any]]:
        @dbos.step()
        def step(number: int) -> int:
            return number

        @dbos.step()
        async def astep(number: int) -> int:
            return number

        @dbos.workflow()
        def sequence(n: int) -> int:
            for number in range(n):
                step(number)
            return n

        @dbos.workflow()
        async def asequence(n: int) -> int:
            for number in range(n):
                await astep(number)
            return n

        @dbos.workflow()
        async def afan(n: int) -> int:
            return len(await asyncio.gather(*[astep(number) for number in range(n)]))

        return {("sync", "sequence"): sequence, ("async", "sequence"): asequence, ("async", "fan"): afan}

    def many_runs(self, runs: int, tasks: int) -> float:
        dbos = self._launched()

        @dbos.step()
        async def step(number: int) -> int:
            await asyncio.sleep(0.01)
            return number

        @dbos.workflow()
        async def flow(n: int) -> int:
            for number in range(n):
                await step(number)
            return n

        async def main() -> float:
            began = time.perf_counter()
            assert await asyncio.gather(*[flow(tasks) for _ in range(runs)]) == [tasks] * runs
            return time.perf_counter() - began

        dbos.launch()
        try:
            return asyncio.run(main())
        finally:
            dbos.destroy()


class Floor(Peer, FloorMemories):
    """The least code that keeps the same promise: an INSERT and a COMMIT a task; one commit for all who wait at once."""

    imports = "import asyncio, sqlite3, msgspec"

    def sequence(self, n: int, colour: str) -> float:
        calls = [(f"step#{number}", str(number)) for number in range(n)]
        if self.where in ("none", "memory"):
            return self._plain(n, colour)
        if self.where == "postgres":
            return self._postgres(calls, together=False)
        return self._sqlite(calls, together=False)

    def fan(self, n: int, colour: str) -> float:
        calls = [(f"step#{number}", str(number)) for number in range(n)]
        if self.where in ("none", "memory"):
            return self._pooled(n) if colour == "sync" else self._plain(n, colour)
        return self._postgres(calls, together=True) if self.where == "postgres" else self._sqlite(calls, together=True)

    def empty(self, colour: str) -> float:
        return self.sequence(100, colour) / 100

    def _plain(self, n: int, colour: str) -> float:
        def step(number: int) -> int:
            return number

        async def astep(number: int) -> int:
            return number

        async def asequence() -> float:
            began = time.perf_counter()
            for number in range(n):
                await astep(number)
            return time.perf_counter() - began

        if colour == "async":
            return asyncio.run(asequence())
        began = time.perf_counter()
        for number in range(n):
            step(number)
        return time.perf_counter() - began

    def _pooled(self, n: int) -> float:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as pool:
            began = time.perf_counter()
            for future in [pool.submit(int, number) for number in range(n)]:
                future.result()
            return time.perf_counter() - began

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, run, key, value, UNIQUE (run, key))"
        )
        return connection

    def _sqlite(self, calls: list[tuple[str, str]], *, together: bool) -> float:
        connection = self._opened()
        insert = "INSERT INTO records (run, key, value) VALUES (1, ?, ?)"
        began = time.perf_counter()
        if together:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, calls)
            connection.execute("COMMIT")
        else:
            for call in calls:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(insert, call)
                connection.execute("COMMIT")
        return time.perf_counter() - began

    def _postgres(self, calls: list[tuple[str, str]], *, together: bool) -> float:
        import psycopg

        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE records (run int, key text, value text, UNIQUE (run, key))")
            insert = "INSERT INTO records (run, key, value) VALUES (1, %s, %s)"
            began = time.perf_counter()
            if together:
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(insert, calls)
            else:
                for call in calls:
                    connection.execute(insert, call)
            return time.perf_counter() - began

    def resume(self, n: int) -> float:
        if self.where == "postgres":
            import psycopg

            with psycopg.connect(self.postgres, autocommit=True) as connection:
                connection.execute("CREATE TEMPORARY TABLE records (run int, key text, value text)")
                connection.execute(
                    "INSERT INTO records SELECT 1, 'step#' || i, i::text FROM generate_series(1, %s) i", (n,)
                )
                began = time.perf_counter()
                assert len(connection.execute("SELECT * FROM records WHERE run = 1").fetchall()) == n
                return time.perf_counter() - began
        self._sqlite([(f"step#{number}", "1") for number in range(n)], together=True)
        connection = self._opened()
        began = time.perf_counter()
        assert len(connection.execute("SELECT * FROM records WHERE run = 1").fetchall()) == n
        return time.perf_counter() - began

    def many_runs(self, runs: int, tasks: int) -> float:
        """Insert everything that the runs record, one commit for those of one round, and sleep as they do."""
        began = time.perf_counter()
        for _ in range(tasks):
            time.sleep(0.01)
        waited = time.perf_counter() - began
        calls = [(f"{run}#{number}", "1") for run in range(runs) for number in range(tasks)]
        keep = self._postgres if self.where == "postgres" else self._sqlite
        return waited + keep(calls, together=True)

    def turn(self, n: int) -> float:
        connection = self._opened()
        body = WORDS * 2
        with_all = [(f"turn#{number}", body) for number in range(n)]
        self._sqlite(with_all, together=True)
        began = time.perf_counter()
        connection.execute("SELECT value FROM records WHERE run = 1").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO records (run, key, value) VALUES (1, ?, ?)", ("last", body))
        connection.execute("COMMIT")
        return time.perf_counter() - began

    def thread_bytes(self, n: int) -> float:
        self._sqlite([(f"turn#{number}", WORDS * 2) for number in range(n)], together=True)
        connection = self._opened()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return float(os.path.getsize(self.file))

    def chunk(self, n: int, colour: str) -> float:
        import queue

        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        began = time.perf_counter()
        writer = threading.Thread(target=lambda: [chunks.put(number) for number in range(n)])
        writer.start()
        for _ in range(n):
            chunks.get()
        writer.join()
        return (time.perf_counter() - began) / n


PEERS: dict[str, type[Peer]] = {"clew": Clew, "langgraph": LangGraph, "dbos": Dbos, "floor": Floor}
SHM = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
DISTRIBUTIONS = ("clew", "langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "dbos")


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "?"
    return {**found, "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
