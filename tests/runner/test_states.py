"""What a thread shows of itself, its history, values set by hand, and going back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from clew import Checkpointer, Command, StateSnapshot, entrypoint, interrupt, task
from support.colours import Colour, result, thread


def add_up(saver: Checkpointer, colour: Colour, ran: list[Any] | None = None) -> Any:
    """Return a workflow that adds its input to what it saved before; 0 fails, negative numbers ask."""
    ran = [] if ran is None else ran

    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def adding(x: int, *, previous: Any) -> Any:
        await result(work(x))
        if x == 0:
            raise ValueError("nothing to add")
        more = interrupt("how much?") if x < 0 else x
        return (previous or 0) + more

    return adding


def history(flow: Any, config: Any = None, **options: Any) -> list[StateSnapshot]:
    return list(flow.get_state_history(config or thread(), **options))


def aget_state(flow: Any, config: Any) -> StateSnapshot:
    shown: StateSnapshot = asyncio.run(flow.aget_state(config))
    return shown


async def _listed(flow: Any, config: Any, **options: Any) -> list[StateSnapshot]:
    return [snapshot async for snapshot in flow.aget_state_history(config, **options)]


def test_a_finished_run_shows_what_it_returned(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    before = datetime.now(UTC)
    colour.invoke(flow, 5, thread())
    state = flow.get_state(thread())
    assert state.values == 5
    assert state.next == ()
    assert state.tasks == ()
    assert state.interrupts == ()
    assert state.metadata == {"source": "loop", "step": 0, "parents": {}}
    assert before <= datetime.fromisoformat(state.created_at) <= datetime.now(UTC)
    names = state.config["configurable"]
    assert (names["thread_id"], names["checkpoint_ns"]) == ("1", "")
    assert isinstance(names["checkpoint_id"], str)
    assert state.exists
    assert aget_state(flow, thread()) == state


def test_an_interrupted_run_shows_the_value_before_it_and_its_question(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    [question] = colour.invoke(flow, -1, thread())["__interrupt__"]
    state = flow.get_state(thread())
    assert state.values is None
    assert state.next == ("adding",)
    assert state.metadata["source"] == "input"
    [shown] = state.tasks
    assert (shown.name, shown.error, shown.interrupts, shown.result) == ("adding", None, (question,), None)
    assert isinstance(shown.id, str)
    colour.invoke(flow, Command(resume=3), thread())
    colour.invoke(flow, -1, thread())
    assert flow.get_state(thread()).values == 3


def test_a_failed_run_shows_the_value_before_it_and_its_error(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 5, thread())
    with pytest.raises(ValueError, match="nothing to add"):
        colour.invoke(flow, 0, thread())
    state = flow.get_state(thread())
    assert state.values == 5
    assert state.next == ("adding",)
    assert state.tasks[0].error == "ValueError('nothing to add')"
    assert state.interrupts == ()
    assert state.metadata["source"] == "input"


def test_a_thread_that_does_not_exist_shows_nothing_and_says_so(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def empty(x: Any) -> dict[str, Any]:
        return {}

    state = empty.get_state(thread("nowhere"))
    assert (state.values, state.next, state.tasks, state.interrupts) == ({}, (), (), ())
    assert (state.metadata, state.created_at, state.parent_config) == (None, None, None)
    assert not state.exists
    assert history(empty, thread("nowhere")) == []
    empty.invoke(1, thread())
    assert empty.get_state(thread()).values == {}
    assert empty.get_state(thread()).exists
    unknown = {"configurable": {"thread_id": "1", "checkpoint_id": "0" * 32}}
    assert not empty.get_state(unknown).exists
    assert empty.get_state(unknown).values == {}


def test_the_value_saved_for_the_next_run_is_shown_beside_the_returned_one(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        return entrypoint.final(value=("returned", x), save=("saved", x))

    flow.invoke(1, thread())
    assert flow.get_state(thread()).values == ("returned", 1)
    assert flow.get_state(thread()).saved == ("saved", 1)
    flow.invoke(2, thread())
    end, begun, *_ = history(flow)
    assert (end.values, end.saved) == (("returned", 2), ("saved", 2))
    assert (begun.values, begun.saved) == (("returned", 1), ("saved", 1))


def test_history_has_two_checkpoints_for_each_run_newest_first(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    for x in (1, 2, 3):
        colour.invoke(flow, x, thread())
    shown = history(flow)
    assert [snapshot.metadata["step"] for snapshot in shown] == [4, 3, 2, 1, 0, -1]
    assert [snapshot.metadata["source"] for snapshot in shown] == ["loop", "input"] * 3
    assert [snapshot.values for snapshot in shown] == [6, 3, 3, 1, 1, None]
    assert [snapshot.parent_config for snapshot in shown] == [*[older.config for older in shown[1:]], None]
    assert [snapshot.next for snapshot in shown] == [(), ("adding",)] * 3
    assert shown[0] == flow.get_state(thread())
    assert asyncio.run(_listed(flow, thread())) == shown
    for snapshot in shown:
        assert flow.get_state(snapshot.config) == snapshot


def test_history_shows_what_became_of_each_run(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 1, thread())
    with pytest.raises(ValueError, match="nothing"):
        colour.invoke(flow, 0, thread())
    colour.invoke(flow, -1, thread())
    colour.invoke(flow, -1, thread())
    colour.invoke(flow, Command(resume=10), thread())
    end, answered, abandoned, failed, _, first = history(flow)
    assert end.values == 11
    assert answered.tasks[0].result == 11
    assert [question.value for question in answered.tasks[0].interrupts] == ["how much?"]
    assert [question.value for question in abandoned.tasks[0].interrupts] == ["how much?"]
    assert abandoned.tasks[0].result is None
    assert failed.tasks[0].error == "ValueError('nothing to add')"
    assert first.tasks[0].result == 1


def test_history_can_be_narrowed(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    for x in (1, 2, 3):
        colour.invoke(flow, x, thread(metadata={"round": x}))
    shown = history(flow)
    assert history(flow, limit=2) == shown[:2]
    assert history(flow, limit=0) == []
    assert history(flow, filter={"source": "loop"}) == shown[::2]
    assert history(flow, filter={"source": "loop"}, limit=1) == shown[:1]
    assert history(flow, filter={"round": 2}) == shown[2:4]
    assert history(flow, filter={"unknown": 2}) == []
    for place in range(6):
        assert history(flow, before=shown[place].config) == shown[place + 1 :]
    assert asyncio.run(_listed(flow, thread(), before=shown[1].config, limit=2)) == shown[2:4]


def test_update_state_sets_a_value_and_returns_its_checkpoint(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 1, thread())
    config = flow.update_state(thread(), 100)
    state = flow.get_state(thread())
    assert state.config == config
    assert (state.values, state.next) == (100, ())
    assert state.metadata == {"source": "update", "step": 1, "parents": {}}
    assert state.parent_config == history(flow)[1].config
    assert colour.invoke(flow, 1, thread()) == 101
    assert flow.get_state(thread()).metadata["step"] == 3
    assert colour.invoke(flow, None, thread()) == 101


def test_update_state_begins_a_thread(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: Any, *, previous: Any) -> Any:
        return previous

    asyncio.run(flow.aupdate_state(thread(), {"by": "hand"}))
    assert flow.get_state(thread()).values == {"by": "hand"}
    assert flow.get_state(thread()).parent_config is None
    assert flow.invoke(1, thread()) == {"by": "hand"}


def test_update_state_with_nothing_saves_nothing(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 1, thread())
    flow.update_state(thread(), None)
    assert flow.get_state(thread()).values is None
    assert flow.get_state(thread()).exists
    assert colour.invoke(flow, 1, thread()) == 1


def test_update_state_with_final_shows_one_value_and_saves_the_other(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    flow.update_state(thread(), entrypoint.final(value="shown", save=50))
    assert (flow.get_state(thread()).values, flow.get_state(thread()).saved) == ("shown", 50)
    assert colour.invoke(flow, 1, thread()) == 51


def test_update_state_may_name_the_workflow_and_nothing_else(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    flow.update_state(thread(), 1, as_node="adding")
    with pytest.raises(ValueError, match="adding"):
        flow.update_state(thread(), 2, as_node="other")
    assert flow.get_state(thread()).values == 1


def test_update_state_of_an_older_checkpoint_forks_there(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    for x in (1, 2):
        colour.invoke(flow, x, thread())
    _, _, older, _ = history(flow)
    config = flow.update_state(older.config, 1000)
    state = flow.get_state(thread())
    assert (state.config, state.parent_config, state.metadata["step"]) == (config, older.config, 1)
    assert colour.invoke(flow, 1, thread()) == 1001


def test_update_state_ends_an_interrupted_run(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, -1, thread())
    flow.update_state(thread(), 7)
    assert flow.get_state(thread()).interrupts == ()
    assert colour.invoke(flow, None, thread()) == 7


def test_continuing_from_an_older_input_runs_again_and_forgets_its_calls(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []
    flow = add_up(saver, colour, ran)
    for x in (1, 2, 3):
        colour.invoke(flow, x, thread())
    begun = history(flow)[3]
    ran.clear()
    assert colour.invoke(flow, None, begun.config) == 3
    assert ran == [2]
    newest = history(flow)[0]
    assert newest.values == flow.get_state(thread()).values == 3
    assert len(history(flow)) == 8
    assert history(flow)[1].parent_config == begun.config
    assert colour.invoke(flow, 10, thread()) == 13


def test_continuing_from_an_older_end_returns_its_value_and_forks(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []
    flow = add_up(saver, colour, ran)
    for x in (1, 2, 3):
        colour.invoke(flow, x, thread())
    ended = history(flow)[2]
    ran.clear()
    assert colour.invoke(flow, None, ended.config) == 3
    assert ran == []
    newest = flow.get_state(thread())
    assert newest.metadata["source"] == "fork"
    assert (newest.values, newest.next, newest.parent_config) == (3, (), ended.config)
    assert colour.invoke(flow, 10, thread()) == 13


def test_a_new_input_at_an_older_checkpoint_has_its_previous(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    for x in (1, 2, 3):
        colour.invoke(flow, x, thread())
    shown = history(flow)
    assert colour.invoke(flow, 10, shown[4].config) == 11  # the end of the first run
    assert colour.invoke(flow, 10, thread()) == 21
    assert colour.invoke(flow, 10, shown[1].config) == 13  # the input of the third


def test_continuing_from_the_newest_checkpoint_is_continuing_the_thread(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, -1, thread())
    config = flow.get_state(thread()).config
    assert colour.invoke(flow, Command(resume=4), config) == 4
    assert len(history(flow)) == 2
    assert colour.invoke(flow, None, thread()) == 4
    assert len(history(flow)) == 2


def test_going_on_from_an_end_that_is_named_adds_a_fork_also_where_it_is_the_newest(
    saver: Checkpointer, colour: Colour
) -> None:
    flow = add_up(saver, colour)
    for n in (1, 2):
        colour.invoke(flow, n, thread())
    newest, _, older, _ = flow.get_state_history(thread())
    for end in (newest, older):
        assert colour.invoke(flow, None, end.config) == end.values
        fork = flow.get_state(thread())
        assert (fork.values, fork.metadata["source"], fork.parent_config) == (end.values, "fork", end.config)
        assert fork.metadata["step"] == end.metadata["step"] + 1


def test_a_checkpoint_that_is_not_there_is_refused(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 1, thread())
    colour.invoke(flow, 1, thread("other"))
    elsewhere = flow.get_state(thread("other")).config["configurable"]["checkpoint_id"]
    for checkpoint_id in ("nonsense", elsewhere):
        config = {"configurable": {"thread_id": "1", "checkpoint_id": checkpoint_id}}
        with pytest.raises(ValueError, match="no checkpoint"):
            colour.invoke(flow, None, config)
        with pytest.raises(ValueError, match="no checkpoint"):
            flow.update_state(config, 1)


def test_old_values_stay_as_they_were(saver: Checkpointer, colour: Colour) -> None:
    """A thread that grows keeps every older value readable."""

    @colour.entrypoint(checkpointer=saver)
    async def growing(x: str, *, previous: Any) -> list[str]:
        return [*(previous or []), x]

    for x in "abc":
        colour.invoke(growing, x, thread())
    assert [snapshot.values for snapshot in history(growing, filter={"source": "loop"})] == [
        ["a", "b", "c"],
        ["a", "b"],
        ["a"],
    ]


def test_state_needs_a_checkpointer() -> None:
    @entrypoint()
    def flow(x: Any) -> Any:
        return x

    with pytest.raises(ValueError, match="no checkpointer"):
        flow.get_state(thread())
    with pytest.raises(ValueError, match="no checkpointer"):
        flow.update_state(thread(), 1)
    with pytest.raises(ValueError, match="no checkpointer"):
        history(flow)


def test_state_needs_a_thread(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    for look in (lambda: flow.get_state({}), lambda: flow.update_state({}, 1), lambda: history(flow, {"tags": []})):
        with pytest.raises(ValueError, match="thread_id"):
            look()


def test_scalars_of_the_config_are_kept_with_the_checkpoints(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    config = {
        "configurable": {"thread_id": "1", "user": "ada", "__private": 1, "client": object(), "n": 3},
        "metadata": {"ratio": 0.5, "flag": True, "many": [1]},
    }
    colour.invoke(flow, 1, config)
    kept = {"user": "ada", "n": 3, "ratio": 0.5, "flag": True}
    for snapshot in history(flow):
        assert {key: snapshot.metadata[key] for key in kept} == kept
        assert set(snapshot.metadata) == {*kept, "source", "step", "parents"}


def test_a_deleted_thread_is_gone(saver: Checkpointer, colour: Colour) -> None:
    flow = add_up(saver, colour)
    colour.invoke(flow, 1, thread())
    colour.invoke(flow, -1, thread())
    colour.invoke(flow, 1, thread("other"))
    saver.delete_thread("1")
    assert not flow.get_state(thread()).exists
    assert history(flow) == []
    assert colour.invoke(flow, 5, thread()) == 5
    asyncio.run(saver.adelete_thread("other"))
    assert not flow.get_state(thread("other")).exists


def test_a_run_under_way_can_be_looked_at(saver: Checkpointer) -> None:
    seen: list[StateSnapshot] = []

    @task
    def look() -> None:
        seen.append(flow.get_state(thread()))

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        look().result()
        return x

    flow.invoke(1, thread())
    assert seen[0].next == ("flow",)
    assert seen[0].tasks[0].error is None
