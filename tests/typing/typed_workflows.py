"""What type checkers know of workflows. Never run; each line with an `ignore` must be an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from clew import (
    BaseStore,
    CachePolicy,
    Command,
    Database,
    InMemoryCache,
    InMemorySaver,
    InMemoryStore,
    Interrupt,
    Output,
    RetryPolicy,
    RunnableConfig,
    Runtime,
    SqliteSaver,
    StateSnapshot,
    StreamWriter,
    Workflow,
    entrypoint,
    get_runtime,
    interrupt,
)


@dataclass
class Context:
    user: str


@entrypoint
def bare(number: int) -> str:
    return str(number)


@entrypoint
async def bare_soon(number: int) -> str:
    return str(number)


@entrypoint()
def with_brackets(number: int, *, previous: int | None = None) -> int:
    return (previous or 0) + number


@entrypoint(
    checkpointer=InMemorySaver(),
    store=InMemoryStore(),
    cache=InMemoryCache(),
    context_schema=Context,
    cache_policy=CachePolicy(),
    retry_policy=[RetryPolicy()],
    timeout=5,
    on_mismatch="rerun",
    allow=[Context],
    name="named",
)
async def with_keywords(
    number: int,
    config: RunnableConfig,
    previous: Any,
    *,
    store: BaseStore,
    writer: StreamWriter,
    runtime: Runtime[Context],
) -> dict[str, int]:
    assert_type(runtime.context, Context)
    assert_type(runtime.override(context=Context("x")), Runtime[Context])
    assert_type(get_runtime(Context).context.user, str)
    writer(number)
    return {"number": number}


@entrypoint(database=Database(":memory:"))
def final(number: int, *, previous: str = "") -> entrypoint.final[int, str]:
    return entrypoint.final(value=number, save=previous + "x")


@entrypoint()
async def final_soon(number: int) -> entrypoint.final[int, list[str]]:
    return entrypoint.final(value=number, save=["x"])


@entrypoint(checkpointer=True)
def of_anything(*args: Any, **kwargs: Any) -> Any:
    return interrupt(args, timeout_s=5, default=None)


class Shop:
    @entrypoint
    def total(self, count: int) -> float:
        return count


def declared() -> None:
    assert_type(bare, Workflow[int, str])
    assert_type(bare_soon, Workflow[int, str])
    assert_type(with_brackets, Workflow[int, int])
    assert_type(with_keywords, Workflow[int, dict[str, int]])
    assert_type(final, Workflow[int, int])
    assert_type(final_soon, Workflow[int, int])
    assert_type(of_anything, Workflow[Any, Any])
    assert_type(entrypoint(checkpointer=SqliteSaver(":memory:"))(str), Workflow[object, str])
    assert_type(Shop().total.invoke(2, version="v2"), Output[float])


def called(config: RunnableConfig) -> None:
    answer: int = with_brackets.invoke(1, config)
    answer = with_brackets.invoke(None, {"configurable": {"thread_id": "1"}})
    answer = with_brackets.invoke(Command(resume=answer), config, durability="exit")
    assert_type(with_brackets.invoke(1, config, version="v2"), Output[int])
    assert_type(with_brackets.invoke(1, version="v2").value, int | None)
    assert_type(with_brackets.invoke(1, version="v2").interrupts, tuple[Interrupt, ...])
    assert_type(with_brackets.stream(1, stream_mode=["values", "custom"], subgraphs=True), Iterator[Any])
    assert_type(with_brackets.batch([1, 2], [config, config]), list[Any])
    assert_type(with_brackets.get_state(config), StateSnapshot)
    assert_type(with_brackets.get_state_history(config, limit=1), Iterator[StateSnapshot])
    assert_type(with_brackets.update_state(config, 1), dict[str, Any])
    assert_type(with_brackets.with_config(tags=["x"]), Workflow[int, int])
    with_keywords.invoke(1, context=Context("ann"))
    with_keywords.invoke(1, context={"user": "ann"}, stream_mode="updates", debug=True)


async def called_soon(config: RunnableConfig) -> None:
    answer: int = await with_brackets.ainvoke(1, config)
    answer = await with_brackets.ainvoke(Command(resume=answer), config, context=None)
    assert_type(await with_brackets.ainvoke(1, version="v2"), Output[int])
    assert_type(with_brackets.astream(1, on_close="detach"), AsyncIterator[Any])
    assert_type(await with_brackets.abatch([1, 2]), list[Any])
    assert_type(await with_brackets.aget_state(config), StateSnapshot)
    assert_type(with_brackets.aget_state_history(config), AsyncIterator[StateSnapshot])


def refused_calls(config: RunnableConfig) -> None:
    bare.invoke("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    bare.stream("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.batch(["1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    bare.invoke()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    bare.invoke(1, contxt=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    bare.invoke(1, durability="synch")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    bare.invoke(1, version="v3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    bare.stream(1, stream_mode="update")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.stream(1, on_close="leave")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.get_state()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bare(1)  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    text: str = with_brackets.invoke(1, version="v2")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text.upper()


async def refused_calls_soon() -> None:
    await bare.ainvoke("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    bare.astream("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def refused_declarations() -> None:
    entrypoint(checkpointer="threads.db")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    entrypoint(checkpoint=InMemorySaver())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    entrypoint(on_mismatch="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    entrypoint(timeout="1 s")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    entrypoint(InMemorySaver())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    entrypoint.final(value=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    entrypoint.final(1, "x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    def without_input() -> int:
        return 1

    entrypoint(without_input)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    entrypoint()(without_input)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

    def another_type(number: int) -> entrypoint.final[int, str]:
        return entrypoint.final(value="x", save="x")  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]

    def one_type(number: int) -> entrypoint.final[int]:  # type: ignore[type-arg]  # pyright: ignore[reportInvalidTypeArguments, reportUnknownParameterType]
        return entrypoint.final(value=1, save=1)
