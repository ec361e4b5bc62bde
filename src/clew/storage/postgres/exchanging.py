"""Carries out calls in one round trip, spoken to libpq directly: a cursor of psycopg costs as much as an insert.

Written once as a conversation that says when it has to wait for the server, so that an OS thread and an event loop can
wait for it, each in its own way, and hold up nobody else. (libpq's own way of waiting for a pipeline would hold up
every OS thread of the process.)
"""

from __future__ import annotations

import select
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from clew.storage.postgres.addresses import driver
from clew.storage.postgres.calls import Call, Found, Function, Statement, found, joined
from clew.storage.postgres.failing import NOT_PREPARED

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

T = TypeVar("T")
#: Yields whenever it is to go on only once there is something to read, or, where it yields True, room to write.
Talk = Generator[bool, None, T]


def carry_out(connection: psycopg.Connection, call: Call[T], prefix: str = "", prepared: set[bytes] | None = None) -> T:
    """Carry out one call, by itself or as part of a transaction. See `exchanging`.

    Raises:
        ClewError: the call's own, where the database refuses it.
        psycopg.Error: something else.
    """
    try:
        values = exchange(connection, [call], prefix, prepared)
    except driver().Error as error:
        refusal = call.refused(error)
        if refusal is None:
            raise
        raise refusal from error
    return call.result(values)


def exchange(
    connection: psycopg.Connection, calls: Sequence[Call[Any]], prefix: str = "", prepared: set[bytes] | None = None
) -> Mapping[Function, Found]:
    """Carry out calls; this OS thread waits for them. See `exchanging`."""
    return _waited(connection.pgconn, exchanging(connection.pgconn, calls, prefix, prepared))


def exchanging(
    pgconn: PGconn, calls: Sequence[Call[Any]], prefix: str = "", prepared: set[bytes] | None = None
) -> Talk[Mapping[Function, Found]]:
    """Carry out calls in one round trip; outside a transaction they are one.

    Args:
        pgconn: idle, or in a transaction.
        calls: those of one function are joined.
        prefix: see Function.called.
        prepared: names of the statements that the session knows, to be added to; None where none may be prepared, as
            in a transaction, or on a session that others use.

    Raises:
        psycopg.Error: nothing of them was kept.
    """
    rows = joined(calls)
    statements = [function.called(prefix, those) for function, those in rows.items()]
    results = yield from _answers(pgconn, statements, prepared)
    return {function: found(function, result) for function, result in zip(rows, results, strict=True)}


def say(connection: psycopg.Connection, statements: str) -> None:
    """Carry out statements without parameters that give nothing.

    Raises:
        psycopg.Error: the first that went wrong. psycopg itself would forget what is prepared when it hears of a
            ROLLBACK, and libpq, for a session that the server ended, why.
    """
    connection.pgconn.send_query(statements.encode())
    _waited(connection.pgconn, _all_ok(connection.pgconn))


def _waited(pgconn: PGconn, talk: Talk[T]) -> T:
    try:
        writes = next(talk)
        while True:
            wait(pgconn.socket, writes=writes)
            writes = next(talk)
    except StopIteration as end:
        value: T = end.value
        return value


def wait(descriptor: int, *, writes: bool = False, timeout_s: float | None = None) -> bool:
    """Wait until there is something to read, or room to write; say whether there is."""
    if not hasattr(select, "poll"):
        return any(select.select([descriptor], [descriptor] if writes else [], [], timeout_s))
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLOUT if writes else select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def _answers(pgconn: PGconn, statements: Sequence[Statement], prepared: set[bytes] | None) -> Talk[list[PGresult]]:
    if prepared is not None and any(spelled.name not in prepared for spelled, _ in statements):
        yield from _prepare(pgconn, statements, prepared)
    try:
        if len(statements) > 1:
            return (yield from _piped(pgconn, statements, prepared))
        _send(pgconn, statements[0], prepared)
        return [(yield from _all_ok(pgconn))]
    except driver().Error as error:
        if prepared is not None and error.sqlstate == NOT_PREPARED:
            prepared.clear()  # somebody has made the session forget them
        raise


def _prepare(pgconn: PGconn, statements: Sequence[Statement], prepared: set[bytes]) -> Talk[None]:
    """Let the session know statements that it does not know yet: it makes plans for them once."""
    for (name, sql, oids, _), _ in statements:
        if name not in prepared:
            pgconn.send_prepare(name, sql, oids)
            yield from _all_ok(pgconn)
            prepared.add(name)


def _send(pgconn: PGconn, statement: Statement, prepared: set[bytes] | None) -> None:
    (name, sql, oids, formats), values = statement
    if prepared is None:
        pgconn.send_query_params(sql, values, oids, formats, 1)
    else:
        pgconn.send_query_prepared(name, values, formats, 1)


def _piped(pgconn: PGconn, statements: Sequence[Statement], prepared: set[bytes] | None) -> Talk[list[PGresult]]:
    """Send statements in a pipeline. Between two synchronizations the server takes them as one transaction."""
    pgconn.enter_pipeline_mode()
    for statement in statements:
        _send(pgconn, statement, prepared)
    pgconn.pipeline_sync()
    results = yield from _results(pgconn, len(statements), is_piped=True)
    # Not where somebody interrupts this: then the session is of no use any more, and its pool closes it.
    if pgconn.status == driver().pq.ConnStatus.OK:
        pgconn.exit_pipeline_mode()
    return [_checked(result) for result in results]


def _all_ok(pgconn: PGconn) -> Talk[PGresult]:
    """Give the last result of what was sent, or raise the error of the first that is one."""
    return _checked((yield from _results(pgconn, 1))[0])


def _results(pgconn: PGconn, count: int, *, is_piped: bool = False) -> Talk[list[PGresult | None]]:
    """Give the last result of each query that was sent; all are the first that is an error, if one is."""
    results: list[PGresult | None] = []
    failed: PGresult | None = None
    try:
        while pgconn.flush():
            yield True
            pgconn.consume_input()
        for place in range(count):
            results.append(None)
            while True:
                if pgconn.is_busy():
                    yield from _until_read(pgconn)
                if (result := pgconn.get_result()) is None:
                    break
                results[place] = result
                failed = failed if failed is not None or _is_ok(result) else result
        if is_piped:
            yield from _until_read(pgconn)
            pgconn.get_result()  # of the synchronization
    except driver().OperationalError:
        if failed is None:
            raise
        # The connection went after the server had said why, such as that a transaction was idle for too long.
    return [failed or result for result in results]


def _until_read(pgconn: PGconn) -> Talk[None]:
    """Wait until there is a result, or known to be none."""
    while pgconn.is_busy():
        yield False
        pgconn.consume_input()


def _checked(result: PGresult | None) -> PGresult:
    psycopg = driver()
    if result is None:
        raise psycopg.OperationalError("the connection was lost")
    if not _is_ok(result):
        raise psycopg.errors.error_from_result(result)
    return result


def _is_ok(result: PGresult) -> bool:
    ok = driver().pq.ExecStatus
    return result.status in (ok.TUPLES_OK, ok.COMMAND_OK)
