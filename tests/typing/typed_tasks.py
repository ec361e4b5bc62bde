"""What type checkers know of tasks and their futures. Never run; each line with an `ignore` must be an error."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import Any, assert_type

from clew import (
    BaseStore,
    CachePolicy,
    InMemoryCache,
    RetryPolicy,
    RunnableConfig,
    StreamWriter,
    Task,
    TaskFuture,
    TimeoutPolicy,
    get_config,
    get_runtime,
    get_store,
    get_stream_writer,
    task,
)
from clew.errors import NodeTimeoutError


@task
def add(a: int, b: int = 0, *, label: str = "") -> int:
    return a + b


@task
async def add_soon(a: int, b: int = 0) -> int:
    return a + b


@task()
def with_brackets(a: int) -> str:
    return str(a)


@task(
    name="named",
    retry_policy=[RetryPolicy(max_attempts=2, retry_on=ConnectionError), RetryPolicy(retry_on=(KeyError, OSError))],
    cache_policy=CachePolicy(key_func=str, ttl=60),
    timeout=TimeoutPolicy(run_timeout=timedelta(seconds=5), idle_timeout=1.5, refresh_on="heartbeat"),
)
async def with_keywords(a: int) -> list[str]:
    return [str(a)]


@task
def injected(
    a: int,
    *,
    store: BaseStore | None = None,
    config: RunnableConfig | None = None,
    writer: StreamWriter | None = None,
) -> None: ...


class Shop:
    @task
    def total(self, count: int, *, discount: float = 0.0) -> float:
        return count - discount

    @task(name="soon")
    async def total_soon(self, count: int) -> float:
        return count

    def plain(self, count: int) -> bytes:
        return bytes(count)

    async def plain_soon(self, count: int) -> bytes:
        return bytes(count)

    def __call__(self, count: int) -> bytearray:
        return bytearray(count)


def decorated() -> None:
    assert_type(add(1, 2), TaskFuture[int])
    assert_type(add(1, b=2, label="x").result(), int)
    assert_type(add_soon(1).result(timeout=1.0), int)
    assert_type(with_brackets(1).result(), str)
    assert_type(with_keywords(1).result(), list[str])
    assert_type(add(1).exception(), BaseException | None)
    assert_type(add(1).done(), bool)
    assert_type(add(1).cancel(), bool)
    assert_type(injected(1).result(), None)
    assert_type(add.name, str)
    add.clear_cache(InMemoryCache())


async def awaited() -> None:
    assert_type(await add(1), int)
    assert_type(await add_soon(1), int)
    assert_type(await with_keywords(1), list[str])
    assert_type(await asyncio.gather(add(1), with_brackets(2)), tuple[int, str])
    await add.aclear_cache(InMemoryCache())


def methods(shop: Shop) -> None:
    assert_type(shop.total(2, discount=0.5).result(), float)
    assert_type(shop.total_soon(2).result(), float)
    assert_type(Shop.total(shop, 2).result(), float)
    assert_type(task(shop.plain)(2).result(), bytes)
    assert_type(task(shop.plain_soon, name="x")(2).result(), bytes)
    assert_type(task(shop)(2).result(), bytearray)


def as_a_function() -> None:
    def half(number: int) -> float:
        return number / 2

    assert_type(task(half, name="halved")(3).result(), float)
    assert_type(task(functools.partial(half, 3))().result(), float)
    named: Task[[int], float] = task(half, retry_policy=RetryPolicy(), timeout=None)
    assert_type(named(3), TaskFuture[float])


def asked() -> None:
    assert_type(get_store(), BaseStore)
    assert_type(get_config(), dict[str, Any])
    assert_type(get_runtime(Shop).context, Shop)
    get_stream_writer()("anything")


def failures(error: NodeTimeoutError) -> None:
    assert_type(error.node, str)
    assert_type(error.run_timeout, float | None)


def refused(shop: Shop) -> None:
    add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add(1, 2, 3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    add(1, lable="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with_keywords("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shop.total("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = add(1).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text = add_soon(1).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text.upper()
    add(1) + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    add(1).value = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def refused_soon() -> None:
    text: str = await add_soon(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text.upper()


def refused_declarations() -> None:
    task(7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    task(name=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(retries=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    task(timeout="1 s")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(cache_policy=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    RetryPolicy(max_attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RetryPolicy(attempts=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RetryPolicy(retry_on="ValueError")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CachePolicy(ttl="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CachePolicy(key_func=int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TimeoutPolicy(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TimeoutPolicy(refresh_on="writes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
