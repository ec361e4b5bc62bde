"""Replay refuses to lie: a record answers only the call that it was made for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    Database,
    ReplayMismatch,
    RetryPolicy,
    entrypoint,
    get_runtime,
    get_store,
    interrupt,
    task,
)
from support.colours import Colour, result, results, thread


class Changing:
    """A workflow whose code changes between its runs: calls is the list of arguments it passes to `work`."""

    def __init__(self, colour: Colour, saver: Checkpointer, **options: Any) -> None:
        self.ran: list[Any] = []
        self.calls: list[Any] = []

        @colour.task
        async def work(x: Any) -> Any:
            self.ran.append(x)
            return f"result of {x}"

        @colour.entrypoint(checkpointer=saver, **options)
        async def flow(x: Any) -> Any:
            done = [await result(work(x)) for x in self.calls]
            return done, interrupt("?")

        self.flow = flow
        self.colour = colour

    def ask(self, *calls: Any) -> None:
        """Run the code that makes these calls, up to its question."""
        self.calls = list(calls)
        self.colour.invoke(self.flow, 1, thread())
        self.ran.clear()

    def answer(self, *calls: Any) -> Any:
        """Resume with the code that makes these calls."""
        self.calls = list(calls)
        return self.colour.invoke(self.flow, Command(resume="ok"), thread())


def test_a_changed_argument_is_refused_and_both_sides_are_shown(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask(5)
    with pytest.raises(ReplayMismatch) as refused:
        changing.answer(7)
    for part in ("work#1", "'flow'", "'1'", "5", "7", "on_mismatch", "Bring back the old code"):
        assert part in str(refused.value)
    assert changing.ran == []


def test_a_changed_order_is_refused(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask("first", "second")
    with pytest.raises(ReplayMismatch, match=r"work#1"):
        changing.answer("second", "first")
    assert changing.ran == []


def test_a_call_inserted_before_others_of_its_name_is_refused(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask("a", "b")
    with pytest.raises(ReplayMismatch):
        changing.answer("new", "a", "b")
    assert changing.ran == []


def test_a_vanished_call_is_refused(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask("a", "b")
    with pytest.raises(ReplayMismatch, match=r"no longer makes.*work#2"):
        changing.answer("a")


def test_a_call_added_behind_the_recorded_ones_simply_runs(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask("a")
    assert changing.answer("a", "b") == (["result of a", "result of b"], "ok")
    assert changing.ran == ["b"]


def test_with_the_old_code_back_the_run_goes_on(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver)
    changing.ask("a", "b")
    with pytest.raises(ReplayMismatch):
        changing.answer("x", "b")
    changing.calls = ["a", "b"]
    assert colour.invoke(changing.flow, None, thread()) == (["result of a", "result of b"], "ok")
    assert changing.ran == []


def test_a_call_of_another_name_shifts_nothing(saver: Checkpointer, colour: Colour) -> None:
    ran: list[str] = []
    inserted: list[str] = []

    @colour.task
    async def work(x: int) -> int:
        ran.append("work")
        return x

    @colour.task
    async def other() -> None:
        ran.append("other")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        if inserted:
            await result(other())
        return await result(work(x)), interrupt("?")

    colour.invoke(flow, 1, thread())
    inserted.append("yes")
    assert colour.invoke(flow, Command(resume="ok"), thread()) == (1, "ok")
    assert ran == ["work", "other"]


def test_on_mismatch_rerun_runs_what_changed_and_nothing_else(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver, on_mismatch="rerun")
    changing.ask("a", "b", "c")
    assert changing.answer("a", "x") == (["result of a", "result of x"], "ok")
    assert changing.ran == ["x"]


def test_what_was_run_again_is_recorded_in_place_of_the_old(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []
    passed: list[Any] = ["old"]

    @colour.task
    async def work(x: Any) -> Any:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver, on_mismatch="rerun")
    async def flow(x: Any) -> Any:
        return await result(work(passed[0])), interrupt("first"), interrupt("second")

    colour.invoke(flow, 1, thread())
    passed[0] = "new"
    colour.invoke(flow, Command(resume=1), thread())
    assert colour.invoke(flow, Command(resume=2), thread()) == ("new", 1, 2)
    assert ran == ["old", "new"]


def test_on_mismatch_rerun_asks_a_changed_question_again(saver: Checkpointer, colour: Colour) -> None:
    question = ["old?"]

    @colour.entrypoint(checkpointer=saver, on_mismatch="rerun")
    async def flow(x: Any) -> Any:
        return interrupt(question[0]), interrupt("last")

    colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, Command(resume="to old"), thread())["__interrupt__"][0].value == "last"
    question[0] = "new?"
    assert colour.invoke(flow, None, thread())["__interrupt__"][0].value == "new?"
    colour.invoke(flow, Command(resume="to new"), thread())
    assert colour.invoke(flow, Command(resume="end"), thread()) == ("to new", "end")


def test_on_mismatch_accept_takes_what_was_recorded(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver, on_mismatch="accept")
    changing.ask("a", "b", "c")
    assert changing.answer("x", "y") == (["result of a", "result of b"], "ok")
    assert changing.ran == []


def test_a_changed_question_is_refused(saver: Checkpointer) -> None:
    question = ["delete file a?"]

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        return interrupt(question[0])

    flow.invoke(1, thread())
    question[0] = "delete everything?"
    with pytest.raises(ReplayMismatch, match=r"delete file a\?.*delete everything\?"):
        flow.invoke(Command(resume="yes"), thread())


def test_a_mismatch_that_the_code_catches_still_ends_the_run(saver: Checkpointer, colour: Colour) -> None:
    """`except Exception` around a call is for its failures, and a mismatch is none of them."""
    ran: list[Any] = []
    passed: list[Any] = ["old"]

    @colour.task
    async def work(x: Any) -> Any:
        return x

    @colour.task
    async def fallback() -> str:
        ran.append("fallback")
        return "fallback"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any) -> Any:
        try:
            got = await result(work(passed[0]))
        except Exception:
            got = await result(fallback())
        return got, interrupt("?")

    colour.invoke(flow, 1, thread())
    passed[0] = "new"
    with pytest.raises(ReplayMismatch):
        colour.invoke(flow, Command(resume=1), thread())
    assert ran == []
    passed[0] = "old"
    assert colour.invoke(flow, None, thread()) == ("old", 1)


def test_a_mismatch_is_not_retried(saver: Checkpointer, colour: Colour) -> None:
    changing = Changing(colour, saver, retry_policy=RetryPolicy(retry_on=Exception, initial_interval=0))
    changing.ask("a")
    with pytest.raises(ReplayMismatch):
        changing.answer("b")


def test_keywords_and_their_order_do_not_matter_but_their_values_do(saver: Checkpointer) -> None:
    passed: dict[str, Any] = {"a": 1, "b": {"x": 1, "y": 2}}
    ran: list[Any] = []

    @task
    def work(**kwargs: Any) -> Any:
        ran.append(kwargs)

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        work(**passed).result()
        return interrupt("first"), interrupt("second")

    flow.invoke(1, thread())
    passed = {"b": {"y": 2, "x": 1}, "a": 1}
    flow.invoke(Command(resume=1), thread())
    assert len(ran) == 1
    passed = {"b": {"y": 3, "x": 1}, "a": 1}
    with pytest.raises(ReplayMismatch):
        flow.invoke(Command(resume=2), thread())


def test_arguments_that_cannot_be_encoded_count_by_their_type(saver: Checkpointer) -> None:
    ran: list[Any] = []

    @task
    def work(client: Any, lock: Any) -> Any:
        ran.append(1)

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        class Client:
            pass

        work(Client(), threading.Lock()).result()
        return interrupt("?")

    flow.invoke(1, thread())
    assert flow.invoke(Command(resume=1), thread()) == 1
    assert ran == [1]


def test_a_fan_out_of_which_some_had_finished_is_no_mismatch(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []
    failing = {2}

    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        if x in failing:
            raise ConnectionError(str(x))
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await results(*[work(y) for y in range(4)])

    with pytest.raises(ConnectionError):
        colour.invoke(flow, 1, thread())
    failing.clear()
    assert colour.invoke(flow, None, thread()) == [0, 1, 2, 3]
    for x in (0, 1):
        assert ran.count(x) == 1
    assert ran.count(2) == 2


def test_changed_calls_inside_a_task_that_runs_again_are_refused(saver: Checkpointer, colour: Colour) -> None:
    passed: list[Any] = ["a", "b"]

    @colour.task
    async def inner(x: Any) -> Any:
        return x

    @colour.task
    async def outer() -> Any:
        done = [await result(inner(x)) for x in passed]
        return done, interrupt("?")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await result(outer())

    colour.invoke(flow, 1, thread("changed"))
    colour.invoke(flow, 1, thread("vanished"))
    passed[:] = ["a", "x"]
    with pytest.raises(ReplayMismatch, match=r"outer#1/inner#2"):
        colour.invoke(flow, Command(resume=1), thread("changed"))
    passed[:] = ["a"]
    with pytest.raises(ReplayMismatch, match=r"no longer makes.*outer#1/inner#2"):
        colour.invoke(flow, Command(resume=1), thread("vanished"))


def test_what_a_recorded_task_called_is_not_asked_for_again(saver: Checkpointer, colour: Colour) -> None:
    """A task that has its record may be rewritten freely: its body does not run."""
    passed: list[Any] = ["a", "b"]

    @colour.task
    async def inner(x: Any) -> Any:
        return x

    @colour.task
    async def outer() -> Any:
        return [await result(inner(x)) for x in passed]

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await result(outer()), interrupt("?")

    colour.invoke(flow, 1, thread())
    passed[:] = []
    assert colour.invoke(flow, Command(resume=1), thread()) == (["a", "b"], 1)


def test_an_attempt_may_call_otherwise_than_the_one_before(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.task
    async def inner(x: Any) -> Any:
        ran.append(x)
        return x

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False))
    async def outer(fixed: str) -> Any:
        attempt = get_runtime().execution_info.node_attempt
        got = await result(inner(fixed)), await result(inner(attempt))
        if attempt < 3:
            raise ConnectionError("lost")
        return got

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await result(outer("fixed"))

    assert colour.invoke(flow, 1, thread()) == ("fixed", 3)
    assert ran == ["fixed", 1, 2, 3]


def test_memory_that_is_written_otherwise_is_refused(colour: Colour) -> None:
    database = Database(":memory:")
    value = [1]

    @colour.entrypoint(database=database)
    async def flow(x: int) -> Any:
        if colour.workflow_is_async:
            await get_store().aput(("a",), "k", {"v": value[0]})
        else:
            get_store().put(("a",), "k", {"v": value[0]})
        return interrupt("?")

    colour.invoke(flow, 1, thread())
    value[0] = 2
    with pytest.raises(ReplayMismatch, match="write"):
        colour.invoke(flow, Command(resume=1), thread())


def test_a_replay_shows_the_failure_as_its_own_class(saver: Checkpointer, colour: Colour) -> None:
    seen: list[BaseException] = []

    class Unknown(Exception):
        pass

    @colour.task
    async def fail(known: bool) -> Any:
        raise KeyError("k") if known else Unknown("u", 1)

    @colour.entrypoint(checkpointer=saver, allow=[Unknown])
    async def flow(x: int) -> Any:
        for known in (True, False):
            try:
                await result(fail(known))
            except Exception as error:
                seen.append(error)
        return interrupt("?")

    colour.invoke(flow, 1, thread())
    colour.invoke(flow, Command(resume=1), thread())
    assert [type(error) for error in seen] == [KeyError, Unknown] * 2
    assert [error.args for error in seen] == [("k",), ("u", 1)] * 2


def test_os_threads_of_one_body_are_told_apart_even_if_they_follow_each_other(saver: Checkpointer) -> None:
    """The system gives the number of an OS thread that has ended to a later one: it must not name its calls."""
    ran: list[int] = []

    @task
    def work(x: int) -> int:
        ran.append(x)
        return x

    def on_a_thread_of_its_own(x: int, got: list[int]) -> threading.Thread:
        context = contextvars.copy_context()
        started = threading.Thread(target=context.run, args=(lambda: got.append(work(x).result()),))
        started.start()
        started.join()
        return started

    @entrypoint(checkpointer=saver)
    def flow(x: Any) -> Any:
        got: list[int] = []
        threads = [on_a_thread_of_its_own(number, got) for number in range(5)]
        if ran != [0, 1, 2, 3, 4] or len(threads) != 5:
            raise AssertionError(ran)
        return got, interrupt("first"), interrupt("second")

    flow.invoke(1, thread())
    flow.invoke(Command(resume=1), thread())
    assert flow.invoke(Command(resume=2), thread()) == ([0, 1, 2, 3, 4], 1, 2)


@pytest.mark.parametrize("where", ["to_thread", "pool"])
def test_calls_from_os_threads_replay_whichever_of_a_pool_made_them(saver: Checkpointer, where: str) -> None:
    ran: list[int] = []

    @task
    def work(number: int) -> int:
        ran.append(number)
        return number

    def job(number: int) -> int:
        return work(number).result() + work(number).result()

    @entrypoint(checkpointer=saver)
    async def on_threads_of_the_loop(x: int) -> Any:
        got = await asyncio.gather(*(asyncio.to_thread(job, number) for number in range(20)))
        return sum(got), interrupt("go on?")

    @entrypoint(checkpointer=saver)
    def on_a_pool(x: int) -> Any:
        with ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(copy_context().run, job, number) for number in range(20)]
            return sum(done.result() for done in jobs), interrupt("go on?")

    flow = on_threads_of_the_loop if where == "to_thread" else on_a_pool
    flow.invoke(1, thread())
    assert tuple(flow.invoke(Command(resume="yes"), thread())) == (380, "yes")
    assert sorted(ran) == sorted([*range(20)] * 2)


def test_branches_replay_in_whatever_order_they_begin(saver: Checkpointer) -> None:
    ran: list[int] = []

    @task
    async def work(number: int) -> int:
        ran.append(number)
        return number

    async def branch(number: int, waits_s: float) -> int:
        await asyncio.sleep(waits_s)
        return await work(number) + await work(number + 100)

    order = [0.02, 0.0]

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        got = await asyncio.gather(branch(1, order[0]), branch(2, order[1]))
        return got, interrupt("go on?")

    flow.invoke(1, thread())
    order.reverse()
    assert flow.invoke(Command(resume="yes"), thread())[0] == [102, 104]
    assert sorted(ran) == [1, 2, 101, 102]


def test_questions_are_shown_in_the_order_of_their_calls_whatever_their_names(saver: Checkpointer) -> None:
    @task
    def b() -> Any:
        return interrupt("first")

    @task
    def a() -> Any:
        return interrupt("second")

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return [future.result() for future in [b(), a()]]

    assert [question.value for question in flow.invoke(1, thread())["__interrupt__"]] == ["first", "second"]
