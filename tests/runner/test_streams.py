"""What a stream yields, in which order and shape (section 7 of what people expect)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew import (
    CachePolicy,
    Checkpointer,
    Command,
    InMemoryCache,
    InMemorySaver,
    Interrupt,
    entrypoint,
    get_stream_writer,
    interrupt,
    task,
)
from clew.errors import UsageError
from support.colours import Colour, Gate, result, results, thread

Chunk = Any


def doubling(colour: Colour, **options: Any) -> Any:
    """Return a workflow that doubles its input and then the outcome, with a task for each."""

    @colour.task
    async def double(x: int) -> int:
        get_stream_writer()(f"double {x}")
        return 2 * x

    @colour.entrypoint(**options)
    async def flow(x: int) -> int:
        get_stream_writer()("begin")
        twice: int = await result(double(await result(double(x))))
        return twice

    return flow


def test_updates_are_the_default_and_one_mode_gives_bare_chunks(colour: Colour) -> None:
    assert colour.stream(doubling(colour), 1) == [{"double": 2}, {"double": 4}, {"flow": 4}]


def test_a_list_of_modes_gives_pairs_also_a_list_of_one(colour: Colour) -> None:
    assert colour.stream(doubling(colour), 1, stream_mode=["values"]) == [("values", 4)]
    both = colour.stream(doubling(colour), 1, stream_mode=["updates", "values"])
    assert both == [("updates", {"double": 2}), ("updates", {"double": 4}), ("updates", {"flow": 4}), ("values", 4)]


def test_with_subgraphs_each_chunk_comes_with_its_namespace(colour: Colour) -> None:
    assert colour.stream(doubling(colour), 1, stream_mode="values", subgraphs=True) == [((), 4)]
    assert colour.stream(doubling(colour), 1, stream_mode=["values"], subgraphs=True) == [((), "values", 4)]


def test_unknown_modes_versions_and_ways_to_close_are_refused() -> None:
    flow = doubling(Colour(False, False))
    with pytest.raises(UsageError, match=r"no stream_mode 'valeus'.*values"):
        flow.stream(1, stream_mode="valeus")
    with pytest.raises(UsageError, match="version"):
        flow.stream(1, version="v3")
    with pytest.raises(UsageError, match="on_close"):
        flow.astream(1, on_close="leave")


def test_invoke_with_another_mode_returns_the_list_of_chunks(colour: Colour) -> None:
    assert colour.invoke(doubling(colour), 1, stream_mode="updates") == [{"double": 2}, {"double": 4}, {"flow": 4}]
    assert colour.invoke(doubling(colour), 1, stream_mode="values") == 4


def test_calls_made_by_tasks_are_told_in_the_order_in_which_they_finish(colour: Colour) -> None:
    @colour.task
    async def inner(x: int) -> int:
        return x + 1

    @colour.task
    async def outer(x: int) -> int:
        return 10 * int(await result(inner(x)))

    @colour.entrypoint
    async def flow(x: int) -> int:
        return int(await result(outer(x)))

    assert colour.stream(flow, 1) == [{"inner": 2}, {"outer": 20}, {"flow": 20}]


def test_parallel_calls_are_told_in_the_order_in_which_they_finish(colour: Colour) -> None:
    gate = Gate()

    @colour.task
    async def late() -> str:
        await gate.passed()
        return "late"

    @colour.task
    async def early() -> str:
        return "early"

    @colour.entrypoint
    async def flow(x: int) -> list[str]:
        first, second = late(), early()
        await result(second)
        gate.open()
        return await results(first, second)

    assert colour.stream(flow, 1) == [{"early": "early"}, {"late": "late"}, {"flow": ["late", "early"]}]


def test_chunks_come_while_the_run_goes_on(colour: Colour) -> None:
    gate = Gate()

    @colour.task
    async def first() -> int:
        return 1

    @colour.task
    async def second() -> int:
        await gate.passed()
        return 2

    @colour.entrypoint
    async def flow(x: int) -> int:
        await result(first())
        return int(await result(second()))

    async def read_async() -> list[Chunk]:
        seen = []
        async for chunk in flow.astream(1):
            seen.append(chunk)
            gate.open()
        return seen

    def read() -> list[Chunk]:
        seen = []
        for chunk in flow.stream(1):
            seen.append(chunk)
            gate.open()
        return seen

    seen = asyncio.run(read_async()) if colour.workflow_is_async else read()
    assert seen == [{"first": 1}, {"second": 2}, {"flow": 2}]


def test_a_call_that_nobody_awaited_is_told_after_the_workflow(colour: Colour) -> None:
    gate = Gate()

    @colour.task
    async def left_alone() -> int:
        await gate.passed()
        return 1

    @colour.entrypoint
    async def flow(x: int) -> int:
        left_alone()
        return 2

    def chunks() -> list[Chunk]:
        seen = []
        for chunk in flow.stream(1):
            seen.append(chunk)
            gate.open()
        return seen

    assert chunks() == [{"flow": 2}, {"left_alone": 1}]


def asking(colour: Colour, saver: Checkpointer | None) -> Any:
    """Return a workflow whose second task asks."""

    @colour.task
    async def prepare(x: int) -> int:
        return x + 1

    @colour.task
    async def ask(x: int) -> str:
        return f"{x} {interrupt('go on?')}"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> str:
        return str(await result(ask(await result(prepare(x)))))

    return flow


def test_a_question_is_one_chunk_and_what_is_replayed_gives_none(colour: Colour, saver: Checkpointer) -> None:
    flow = asking(colour, saver)
    first = colour.stream(flow, 1, thread())
    assert first == [{"prepare": 2}, {"__interrupt__": (Interrupt("go on?", first[1]["__interrupt__"][0].id),)}]
    assert colour.stream(flow, Command(resume="yes"), thread()) == [{"ask": "2 yes"}, {"flow": "2 yes"}]


def test_values_are_the_final_value_once_and_a_resumed_run_gives_no_older_one(
    colour: Colour, saver: Checkpointer
) -> None:
    flow = asking(colour, saver)
    (asked,) = colour.stream(flow, 1, thread(), stream_mode="values")
    assert [question.value for question in asked["__interrupt__"]] == ["go on?"]
    assert colour.stream(flow, Command(resume="yes"), thread(), stream_mode="values") == ["2 yes"]
    assert colour.stream(flow, None, thread(), stream_mode="values") == ["2 yes"]


def test_a_cached_result_says_so(colour: Colour) -> None:
    @colour.task(cache_policy=CachePolicy())
    async def slow(x: int) -> int:
        return x

    @colour.entrypoint(cache=InMemoryCache())
    async def flow(x: int) -> int:
        return int(await result(slow(x)))

    assert colour.stream(flow, 1) == [{"slow": 1}, {"flow": 1}]
    assert colour.stream(flow, 1) == [{"slow": 1, "__metadata__": {"cached": True}}, {"flow": 1}]
    ends = [chunk for chunk in colour.stream(flow, 1, stream_mode="tasks") if "result" in chunk]
    assert [end.get("cached") for end in ends] == [True, None]


def test_custom_chunks_come_unchanged_and_in_order(colour: Colour) -> None:
    assert colour.stream(doubling(colour), 1, stream_mode="custom") == ["begin", "double 1", "double 2"]


def test_the_injected_writer_is_the_same_thing(colour: Colour) -> None:
    @colour.task
    async def told(x: int, writer: Any = None) -> int:
        writer({"x": x})
        return x

    @colour.entrypoint
    async def flow(x: int, writer: Any) -> int:
        writer(None)
        return int(await result(told(x)))

    assert colour.stream(flow, 1, stream_mode="custom") == [None, {"x": 1}]
    assert colour.invoke(flow, 1) == 1  # nobody listens, nothing happens


def nesting(colour: Colour) -> Any:
    @colour.task
    async def add(x: int) -> int:
        get_stream_writer()(f"add {x}")
        return x + 1

    @colour.entrypoint
    async def inner(x: int) -> int:
        get_stream_writer()("inner")
        return int(await result(add(x)))

    @colour.entrypoint
    async def outer(x: int) -> int:
        once = await inner.ainvoke(x) if colour.workflow_is_async else inner.invoke(x)
        return int(await result(add(once)))

    return outer


def test_what_a_nested_workflow_says_appears_only_with_subgraphs(colour: Colour) -> None:
    modes = ["updates", "custom", "values"]
    assert colour.stream(nesting(colour), 1, stream_mode=modes) == [
        ("custom", "add 2"),
        ("updates", {"add": 3}),
        ("updates", {"outer": 3}),
        ("values", 3),
    ]


def test_everything_a_nested_workflow_says_has_the_namespace_of_its_call(colour: Colour) -> None:
    chunks = colour.stream(nesting(colour), 1, stream_mode=["updates", "custom", "values"], subgraphs=True)
    within = {namespace for namespace, _, _ in chunks if namespace}
    ((label,),) = within
    name, _, call_id = label.partition(":")
    assert name == "inner"
    assert len(call_id) == 32
    assert [chunk[1:] for chunk in chunks if chunk[0]] == [
        ("custom", "inner"),
        ("custom", "add 1"),
        ("updates", {"add": 2}),
        ("updates", {"inner": 2}),
        ("values", 2),
    ]
    assert [chunk[1:] for chunk in chunks if not chunk[0]] == [
        ("custom", "add 2"),
        ("updates", {"add": 3}),
        ("updates", {"outer": 3}),
        ("values", 3),
    ]


def test_a_workflow_nested_in_a_nested_one_has_a_longer_namespace() -> None:
    @entrypoint
    def innermost(x: int) -> int:
        return x

    @entrypoint
    def inner(x: int) -> Any:
        return innermost.invoke(x)

    @entrypoint
    def outer(x: int) -> Any:
        return [inner.invoke(x), inner.invoke(x)]

    namespaces = [namespace for namespace, _ in outer.stream(1, subgraphs=True)]
    assert [[label.partition(":")[0] for label in namespace] for namespace in namespaces] == [
        ["inner", "innermost"],
        ["inner"],
        ["inner", "innermost"],
        ["inner"],
        [],
    ]
    assert namespaces[0][0] == namespaces[1][0] != namespaces[2][0]


def test_every_start_has_an_end_the_workflow_first_and_last(colour: Colour, saver: Checkpointer) -> None:
    chunks = colour.stream(asking(colour, saver), 1, thread(), stream_mode="tasks")
    starts = [chunk for chunk in chunks if "triggers" in chunk]
    ends = [chunk for chunk in chunks if "triggers" not in chunk]
    assert [start["name"] for start in starts] == ["flow", "prepare", "ask"]
    assert [start["input"] for start in starts] == [1, ((1,), {}), ((2,), {})]
    assert [end["name"] for end in ends] == ["prepare", "ask", "flow"]
    assert {start["id"] for start in starts} == {end["id"] for end in ends}
    assert ends[0] == {**ends[0], "error": None, "result": {"__return__": 2}, "interrupts": []}
    assert [[asked["value"] for asked in end["interrupts"]] for end in ends] == [[], ["go on?"], ["go on?"]]


def test_a_replayed_call_has_a_start_and_an_end_that_says_so(colour: Colour, saver: Checkpointer) -> None:
    flow = asking(colour, saver)
    before = colour.stream(flow, 1, thread(), stream_mode="tasks")
    after = colour.stream(flow, Command(resume="yes"), thread(), stream_mode="tasks")
    ends = {chunk["name"]: chunk for chunk in after if "triggers" not in chunk}
    assert [chunk["name"] for chunk in after] == ["flow", "prepare", "prepare", "ask", "ask", "flow"]
    assert ends["prepare"]["replayed"] is True
    assert ends["prepare"]["result"] == {"__return__": 2}
    assert "replayed" not in ends["ask"]
    assert ends["flow"]["result"] == {"__end__": "2 yes"}
    assert {c["name"]: c["id"] for c in before} == {c["name"]: c["id"] for c in after}


def test_a_failure_ends_its_call_and_the_workflow_and_leaves_the_stream(colour: Colour) -> None:
    failure = KeyError("broken")

    @colour.task
    async def fails() -> None:
        raise failure

    @colour.entrypoint
    async def flow(x: int) -> None:
        await result(fails())

    async def read_async(chunks: list[Chunk]) -> None:
        async for chunk in flow.astream(1, stream_mode=["tasks", "updates"]):
            chunks.append(chunk)

    def read(chunks: list[Chunk]) -> None:
        for chunk in flow.stream(1, stream_mode=["tasks", "updates"]):
            chunks.append(chunk)

    chunks: list[Chunk] = []
    with pytest.raises(KeyError) as caught:
        asyncio.run(read_async(chunks)) if colour.workflow_is_async else read(chunks)
    assert caught.value is failure
    assert [(mode, chunk["name"], chunk.get("error")) for mode, chunk in chunks] == [
        ("tasks", "flow", None),
        ("tasks", "fails", None),
        ("tasks", "fails", failure),
        ("tasks", "flow", failure),
    ]


def test_checkpoints_are_told_when_the_input_and_when_the_end_is_kept(colour: Colour, saver: Checkpointer) -> None:
    flow = doubling(colour, checkpointer=saver)
    begun, ended = colour.stream(flow, 1, thread(), stream_mode="checkpoints")
    assert begun["metadata"] == {"source": "input", "step": -1, "parents": {}}
    assert begun["next"] == ["flow"]
    assert [task["name"] for task in begun["tasks"]] == ["flow"]
    assert begun["parent_config"] is None
    assert ended["metadata"]["source"] == "loop"
    assert ended["values"] == 4
    assert (ended["next"], ended["tasks"]) == ([], [])
    assert ended["parent_config"] == begun["config"]
    assert set(begun) == set(ended) == {"config", "parent_config", "values", "metadata", "next", "tasks"}


def test_an_interrupted_run_tells_only_the_first_checkpoint(colour: Colour, saver: Checkpointer) -> None:
    flow = asking(colour, saver)
    (begun,) = colour.stream(flow, 1, thread(), stream_mode="checkpoints")
    again, ended = colour.stream(flow, Command(resume="yes"), thread(), stream_mode="checkpoints")
    assert again["config"] == begun["config"]
    assert ended["values"] == "2 yes"


def test_without_a_checkpointer_there_are_no_checkpoints(colour: Colour) -> None:
    assert colour.stream(doubling(colour), 1, stream_mode="checkpoints") == []


def test_debug_wraps_the_records_of_tasks_and_checkpoints(colour: Colour, saver: Checkpointer) -> None:
    flow = doubling(colour, checkpointer=saver)
    chunks = colour.stream(flow, 1, thread(), stream_mode=["debug", "tasks", "checkpoints"])
    wrapped = [chunk for mode, chunk in chunks if mode == "debug"]
    plain = [chunk for mode, chunk in chunks if mode != "debug"]
    assert [record["payload"] for record in wrapped] == plain
    assert [(record["type"], record["step"]) for record in wrapped] == [
        ("checkpoint", -1),
        ("task", 0),
        ("task", 0),
        ("task_result", 0),
        ("task", 0),
        ("task_result", 0),
        ("task_result", 0),
        ("checkpoint", 0),
    ]
    assert all(set(record) == {"step", "timestamp", "type", "payload"} for record in wrapped)


def test_the_order_within_a_run(colour: Colour, saver: Checkpointer) -> None:
    flow = doubling(colour, checkpointer=saver)
    modes = ["values", "updates", "custom", "tasks", "checkpoints"]
    chunks = colour.stream(flow, 1, thread(), stream_mode=modes)
    assert [mode if mode != "tasks" else f"{chunk['name']} {len(chunk)}" for mode, chunk in chunks] == [
        "checkpoints",
        "flow 4",
        "custom",
        *["double 4", "custom", "updates", "double 5"],
        *["double 4", "custom", "updates", "double 5"],
        "updates",
        "flow 5",
        "values",
        "checkpoints",
    ]


def test_version_2_makes_every_chunk_a_dict(colour: Colour) -> None:
    chunks = colour.stream(
        asking(colour, InMemorySaver()), 1, thread(), stream_mode=["updates", "values"], version="v2"
    )
    assert [(chunk["type"], chunk["ns"]) for chunk in chunks] == [("updates", ()), ("updates", ()), ("values", ())]
    assert chunks[0]["data"] == {"prepare": 2}
    assert [question.value for question in chunks[1]["data"]["__interrupt__"]] == ["go on?"]
    assert chunks[2]["interrupts"] == chunks[1]["data"]["__interrupt__"]
    assert chunks[2]["data"] == {}
    assert "interrupts" not in chunks[0]


def test_version_2_of_invoke_returns_value_and_interrupts(colour: Colour, saver: Checkpointer) -> None:
    flow = asking(colour, saver)
    asked = colour.invoke(flow, 1, thread(), version="v2")
    assert [question.value for question in asked.interrupts] == ["go on?"]
    done = colour.invoke(flow, Command(resume="yes"), thread(), version="v2")
    assert (done.value, done.interrupts) == ("2 yes", ())


def test_version_2_of_a_nested_workflow_names_its_namespace() -> None:
    chunks = list(nesting(Colour(False, False)).stream(1, stream_mode=["values"], subgraphs=True, version="v2"))
    assert [(len(chunk["ns"]), chunk["data"], chunk["interrupts"]) for chunk in chunks] == [(1, 2, ()), (0, 3, ())]


def test_a_blocking_stream_reads_an_async_workflow_also_inside_a_running_loop() -> None:
    flow = doubling(Colour(True, True))
    assert list(flow.stream(1, stream_mode="values")) == [4]

    async def notebook() -> list[Any]:
        return list(flow.stream(1, stream_mode="values"))

    assert asyncio.run(notebook()) == [4]


def test_an_async_stream_reads_a_blocking_workflow_with_tasks_of_both_colours() -> None:
    @task
    async def wait() -> int:
        await asyncio.sleep(0)
        return 1

    @task
    def add(x: int) -> int:
        return x + 1

    @entrypoint
    def flow(x: int) -> int:
        return add(wait().result()).result()

    async def read() -> list[Chunk]:
        return [chunk async for chunk in flow.astream(1)]

    assert asyncio.run(read()) == [{"wait": 1}, {"add": 2}, {"flow": 2}]


def test_streaming_inside_a_running_workflow_is_refused_with_advice() -> None:
    inner = doubling(Colour(False, False))

    @entrypoint
    def outer(x: int) -> Any:
        return list(inner.stream(x))

    with pytest.raises(UsageError, match="subgraphs=True"):
        outer.invoke(1)
