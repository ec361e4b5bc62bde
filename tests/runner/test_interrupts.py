"""Questions that stop a run, and their answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    InMemorySaver,
    Interrupt,
    InvalidResume,
    NotRecordable,
    RetryPolicy,
    entrypoint,
    interrupt,
    task,
)
from clew.errors import UsageError
from clew.testing import fake_clock
from support.colours import Colour, Meeting, result, results, thread


def asked(stopped: Any) -> list[Any]:
    """Return what was asked, in order."""
    return [question.value for question in stopped["__interrupt__"]]


async def call(workflow: Any, input: Any) -> Any:
    """Call a workflow from a body, by the verb of the body's colour."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return workflow.invoke(input)
    return await workflow.ainvoke(input)


def test_an_answer_is_given_to_the_question_in_the_workflow(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return x, interrupt({"question": x})

    stopped = colour.invoke(flow, "name?", thread())
    assert list(stopped) == ["__interrupt__"]
    assert isinstance(stopped["__interrupt__"], list)
    [question] = stopped["__interrupt__"]
    assert isinstance(question, Interrupt)
    assert question.value == {"question": "name?"}
    assert isinstance(question.id, str)
    assert colour.invoke(flow, Command(resume="Ada"), thread()) == ("name?", "Ada")


def test_an_answer_is_given_to_the_question_in_a_task(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask() -> Any:
        return "task", interrupt("?")

    @colour.task
    async def outer() -> Any:
        return "outer", await result(ask())

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await result(ask()), await result(outer())

    assert asked(colour.invoke(flow, 1, thread())) == ["?"]
    assert asked(colour.invoke(flow, Command(resume=1), thread())) == ["?"]
    assert colour.invoke(flow, Command(resume=2), thread()) == (("task", 1), ("outer", ("task", 2)))


def test_an_answer_is_given_to_the_question_in_a_nested_workflow(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint()
    async def inner(x: str) -> Any:
        return "inner", interrupt(x)

    @colour.task
    async def through() -> Any:
        return await call(inner, "below a task")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await call(inner, "direct"), await result(through())

    assert asked(colour.invoke(flow, 1, thread())) == ["direct"]
    assert asked(colour.invoke(flow, Command(resume=1), thread())) == ["below a task"]
    assert colour.invoke(flow, Command(resume=2), thread()) == (("inner", 1), ("inner", 2))


def test_a_stream_shows_a_question_once_and_as_a_tuple(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask() -> Any:
        return interrupt("?")

    @colour.task
    async def outer() -> Any:
        return await result(ask())

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await result(outer())

    [chunk] = colour.stream(flow, 1, thread())
    assert list(chunk) == ["__interrupt__"]
    [question] = chunk["__interrupt__"]
    assert isinstance(chunk["__interrupt__"], tuple)
    assert question == Interrupt(value="?", id=question.id)
    assert question != Interrupt(value="?", id="other")
    state = flow.get_state(thread())
    assert state.tasks[0].interrupts == state.interrupts == (question,)
    assert colour.stream(flow, Command(resume="!"), thread()) == [{"ask": "!"}, {"outer": "!"}, {"flow": "!"}]
    assert flow.get_state(thread()).interrupts == ()


def test_the_state_shows_only_the_questions_that_wait(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return interrupt("first"), interrupt("second")

    colour.invoke(flow, 1, thread())
    first = flow.get_state(thread()).tasks[0].interrupts
    colour.invoke(flow, Command(resume=1), thread())
    second = flow.get_state(thread()).tasks[0].interrupts
    assert [question.value for question in (*first, *second)] == ["first", "second"]
    assert first[0].id != second[0].id


def test_questions_in_loops_are_answered_in_order(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.task
    async def work(x: Any) -> Any:
        ran.append(x)
        return x

    @colour.task
    async def ask_twice(x: Any) -> Any:
        return interrupt(("first", x)), interrupt(("second", x))

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        heard = []
        for turn in range(3):
            heard.append(await result(work(turn)))
            heard.append(interrupt(turn))
            heard.append(await result(ask_twice(turn)))
        return heard

    stopped, answer = colour.invoke(flow, 1, thread()), 0
    questions = []
    while isinstance(stopped, dict):
        questions += asked(stopped)
        stopped = colour.invoke(flow, Command(resume=answer), thread())
        answer += 1
    assert questions == [0, ("first", 0), ("second", 0), 1, ("first", 1), ("second", 1), 2, ("first", 2), ("second", 2)]
    assert stopped == [0, 0, (1, 2), 1, 3, (4, 5), 2, 6, (7, 8)]
    assert ran == [0, 1, 2]


@pytest.mark.parametrize("answer", [None, False, 0, "", [], {}, {"a": 1}, {"0" * 31: 1}])
def test_any_value_is_an_answer(saver: Checkpointer, answer: Any) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return [interrupt("?")]

    flow.invoke(1, thread())
    assert flow.invoke(Command(resume=answer), thread()) == [answer]


def test_a_question_is_answered_by_its_id(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return interrupt("first"), interrupt("second")

    [first] = colour.invoke(flow, 1, thread())["__interrupt__"]
    assert len(first.id) == 32
    [second] = colour.invoke(flow, Command(resume={first.id: {"any": "value"}}), thread())["__interrupt__"]
    assert colour.invoke(flow, Command(resume={second.id: None}), thread()) == ({"any": "value"}, None)


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Command()


@pytest.mark.parametrize("meaningless", [{"update": {"a": 1}}, {"goto": "node"}])
def test_commands_that_mean_nothing_to_a_workflow_are_refused(meaningless: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="means nothing"):
        Command(resume=1, **meaningless)


def test_an_answered_id_is_refused_and_the_pending_one_named(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("first"), interrupt("second")

    [first] = flow.invoke(1, thread())["__interrupt__"]
    [second] = flow.invoke(Command(resume={first.id: 1}), thread())["__interrupt__"]
    with pytest.raises(InvalidResume, match=f"answered already.*{second.id}"):
        flow.invoke(Command(resume={first.id: 2}), thread())
    assert flow.get_state(thread()).interrupts == (second,)
    assert flow.invoke(Command(resume=3), thread()) == (1, 3)


def test_an_unknown_id_is_refused_and_the_pending_one_named(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("first")

    [question] = flow.invoke(1, thread())["__interrupt__"]
    with pytest.raises(InvalidResume, match=f"not known.*{question.id}"):
        flow.invoke(Command(resume={"0" * 32: 2}), thread())
    assert flow.invoke(Command(resume=3), thread()) == 3


def test_the_id_of_another_thread_is_unknown(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("first")

    [here] = flow.invoke(1, thread("here"))["__interrupt__"]
    [there] = flow.invoke(1, thread("there"))["__interrupt__"]
    assert here.id != there.id
    with pytest.raises(InvalidResume, match="not known"):
        flow.invoke(Command(resume={there.id: 2}), thread("here"))


def test_all_questions_asked_in_parallel_are_shown_at_once(saver: Checkpointer, colour: Colour) -> None:
    ran: list[str] = []
    meeting = Meeting(3)

    @colour.task
    async def ask(name: str) -> Any:
        if len(ran) < 3:
            await meeting.all_here()
        ran.append(name)
        return name, interrupt(name)

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await results(*[ask(name) for name in "abc"])

    [chunk] = colour.stream(flow, 1, thread())
    questions = chunk["__interrupt__"]
    assert sorted(question.value for question in questions) == ["a", "b", "c"]
    assert len({question.id for question in questions}) == 3
    assert set(flow.get_state(thread()).interrupts) == set(questions)
    again = colour.invoke(flow, None, thread())["__interrupt__"]
    assert set(again) == set(questions)
    answers = {question.id: question.value.upper() for question in questions}
    assert colour.invoke(flow, Command(resume=answers), thread()) == [("a", "A"), ("b", "B"), ("c", "C")]


def test_one_answer_for_several_questions_is_refused(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask(name: str) -> Any:
        return interrupt(name)

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await results(*[ask(name) for name in "ab"])

    questions = colour.invoke(flow, 1, thread())["__interrupt__"]
    with pytest.raises(RuntimeError, match="specify the interrupt id") as refused:
        colour.invoke(flow, Command(resume="x"), thread())
    for question in questions:
        assert question.id in str(refused.value)
    assert set(flow.get_state(thread()).interrupts) == set(questions)


def test_questions_asked_in_parallel_may_be_answered_one_by_one(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask(name: str) -> Any:
        return name, interrupt(name)

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await results(*[ask(name) for name in "abc"])

    waiting = {question.value: question for question in colour.invoke(flow, 1, thread())["__interrupt__"]}
    left = colour.invoke(flow, Command(resume={waiting["b"].id: "B"}), thread())["__interrupt__"]
    assert set(left) == {waiting["a"], waiting["c"]}
    left = colour.invoke(flow, Command(resume={waiting["c"].id: "C"}), thread())["__interrupt__"]
    assert left == [waiting["a"]]
    assert colour.invoke(flow, Command(resume="A"), thread()) == [("a", "A"), ("b", "B"), ("c", "C")]


def test_continuing_without_an_answer_asks_the_same_question_again(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return interrupt(x)

    first = colour.invoke(flow, "?", thread())
    assert colour.invoke(flow, None, thread()) == first
    assert colour.invoke(flow, Command(resume="yes"), thread()) == "yes"


def test_without_a_checkpointer_a_question_stops_the_run_and_cannot_be_answered(colour: Colour) -> None:
    @colour.entrypoint()
    async def flow(x: str) -> Any:
        return interrupt(x)

    assert asked(colour.invoke(flow, "?")) == ["?"]
    with pytest.raises(RuntimeError, match="checkpointer"):
        colour.invoke(flow, Command(resume=1), thread())


def test_an_answer_on_a_thread_that_never_ran_is_refused(saver: Checkpointer) -> None:
    ran: list[int] = []

    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        ran.append(1)
        return interrupt("?")

    with pytest.raises(InvalidResume, match=r"nothing is waiting.*never ran"):
        flow.invoke(Command(resume=1), thread())
    assert ran == []
    assert not flow.get_state(thread()).exists


def test_an_answer_on_a_finished_thread_is_refused(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("?") if x == "ask" else x

    flow.invoke("ask", thread())
    flow.invoke(Command(resume=1), thread())
    with pytest.raises(InvalidResume, match=r"nothing is waiting.*finished"):
        flow.invoke(Command(resume=2), thread())


def test_an_answer_after_update_state_is_refused(saver: Checkpointer, caplog: pytest.LogCaptureFixture) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("what now")

    flow.invoke("ask", thread())
    flow.update_state(thread(), "value")
    assert flow.get_state(thread()).interrupts == ()
    assert "what now" in caplog.text
    with pytest.raises(InvalidResume, match=r"nothing is waiting"):
        flow.invoke(Command(resume=2), thread())


def test_an_answer_on_a_failed_thread_is_refused(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        raise ValueError(x)

    with pytest.raises(ValueError, match="x"):
        flow.invoke("x", thread())
    with pytest.raises(InvalidResume, match=r"nothing is waiting"):
        flow.invoke(Command(resume=2), thread())


def test_except_exception_does_not_swallow_a_question(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask() -> Any:
        try:
            return interrupt("in the task")
        except Exception:
            return "swallowed"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        try:
            here = interrupt("in the body")
            return here, await result(ask())
        except Exception:
            return "swallowed"

    assert asked(colour.invoke(flow, 1, thread())) == ["in the body"]
    assert asked(colour.invoke(flow, Command(resume=1), thread())) == ["in the task"]
    assert colour.invoke(flow, Command(resume=2), thread()) == (1, 2)


def test_not_even_a_bare_except_swallows_a_question(saver: Checkpointer, colour: Colour) -> None:
    ran: list[str] = []

    @colour.task
    async def ask() -> Any:
        ran.append("ask")
        try:
            return interrupt("in the task")
        except BaseException:
            return "swallowed"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        heard = []
        for ask_it in (lambda: interrupt("in the body"), lambda: result(ask())):
            try:
                answer = ask_it()
                heard.append(answer if isinstance(answer, int) else await answer)
            except BaseException:
                heard.append("swallowed")
        return heard

    first = colour.invoke(flow, 1, thread())["__interrupt__"]
    answers = {question.id: place for place, question in enumerate(first)}
    assert {question.value for question in first} == {"in the body", "in the task"}
    assert colour.invoke(flow, Command(resume=answers), thread()) == [0, 1]


def test_a_question_below_a_gather_that_returns_exceptions_is_asked(saver: Checkpointer) -> None:
    @task
    async def ask(name: str) -> Any:
        return interrupt(name)

    @task
    async def outer() -> Any:
        return await asyncio.gather(ask("a"), ask("b"), return_exceptions=True)

    @entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await outer()

    questions = flow.invoke(1, thread())["__interrupt__"]
    assert [question.value for question in questions] == ["a", "b"]
    answers = {question.id: question.value.upper() for question in questions}
    assert flow.invoke(Command(resume=answers), thread()) == ["A", "B"]


def test_a_question_in_a_task_group_is_asked(saver: Checkpointer) -> None:
    @task
    async def ask(name: str) -> Any:
        return interrupt(name)

    async def wait_for(future: Any) -> Any:
        return await future

    @entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(wait_for(ask("a")))
        return asking.result()

    assert asked(flow.invoke(1, thread())) == ["a"]
    assert flow.invoke(Command(resume="A"), thread()) == "A"


def test_questions_are_not_retried(saver: Checkpointer, colour: Colour) -> None:
    ran: list[str] = []
    always = RetryPolicy(retry_on=lambda error: True, initial_interval=0, jitter=False)

    @colour.task(retry_policy=always)
    async def ask() -> Any:
        ran.append("task")
        return interrupt("?")

    @colour.entrypoint(checkpointer=saver, retry_policy=always)
    async def flow(x: str) -> Any:
        ran.append("body")
        return await result(ask())

    colour.invoke(flow, 1, thread())
    assert ran == ["body", "task"]
    assert colour.invoke(flow, Command(resume=1), thread()) == 1


def test_an_answer_to_an_older_question_forks_there(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.task
    async def work(x: Any) -> Any:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        before = await result(work("before"))
        answer = interrupt("?")
        return before, answer, await result(work(answer))

    colour.invoke(flow, 1, thread())
    older = flow.get_state(thread()).config
    assert colour.invoke(flow, Command(resume="old"), thread()) == ("before", "old", "old")
    assert colour.invoke(flow, Command(resume="new"), older) == ("before", "new", "new")
    assert ran == ["before", "old", "new"]
    assert flow.get_state(thread()).values == ("before", "new", "new")
    [question] = flow.get_state(older).interrupts
    assert colour.invoke(flow, Command(resume={question.id: "by id"}), older) == ("before", "by id", "by id")


def test_an_abandoned_question_can_still_be_answered_where_it_was_asked(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return x, interrupt(x)

    colour.invoke(flow, "first", thread())
    abandoned = flow.get_state(thread()).config
    colour.invoke(flow, "second", thread())
    assert colour.invoke(flow, Command(resume="answer"), abandoned) == ("first", "answer")


def test_a_default_answers_once_its_time_is_over(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return interrupt("?", timeout_s=0.0, default="nobody came"), interrupt("?", timeout_s=3600.0, default="later")

    assert asked(colour.invoke(flow, 1, thread())) == ["?"]
    assert asked(colour.invoke(flow, None, thread())) == ["?"]
    assert asked(colour.invoke(flow, None, thread())) == ["?"]
    assert colour.invoke(flow, Command(resume="in time"), thread()) == ("nobody came", "in time")


def test_a_late_answer_wins_over_the_default(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("?", timeout_s=0.0, default="nobody came")

    flow.invoke(1, thread())
    assert flow.invoke(Command(resume="late"), thread()) == "late"


def test_the_default_may_be_nothing(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return [interrupt("?", timeout_s=0.0)]

    flow.invoke(1, thread())
    assert flow.invoke(None, thread()) == [None]


def test_the_time_of_a_question_is_counted_from_when_it_was_first_asked(saver: Checkpointer) -> None:
    @task
    def ask(name: str) -> Any:
        return interrupt(name, timeout_s=60.0, default="default")

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> list[Any]:
        return [future.result() for future in [ask("first"), ask("second")]]

    with fake_clock() as clock:
        flow.invoke(1, thread())
        clock.advance(40.0)
        (first, second) = flow.get_state(thread()).interrupts
        asked = flow.invoke(Command(resume={first.id: "answered"}), thread())["__interrupt__"]
        assert [question.id for question in asked] == [second.id]
        clock.advance(40.0)
        assert flow.invoke(None, thread()) == ["answered", "default"]


def test_an_answer_to_one_question_takes_the_defaults_of_those_overdue(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask(name: str, timeout_s: float | None) -> Any:
        return interrupt(name, timeout_s=timeout_s, default="default")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        return await results(ask("patient", None), ask("impatient", 0.0))

    questions = {question.value: question.id for question in colour.invoke(flow, 1, thread())["__interrupt__"]}
    assert colour.invoke(flow, Command(resume={questions["patient"]: "yes"}), thread()) == ["yes", "default"]


@pytest.mark.parametrize("what", ["value", "default"])
def test_a_question_that_cannot_be_kept_is_refused_where_it_is_asked(saver: Checkpointer, what: str) -> None:
    @task
    def ask() -> Any:
        unkeepable = {"inside": [lambda: None]}
        return interrupt("?", timeout_s=1.0, default=unkeepable) if what == "default" else interrupt(unkeepable)

    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return ask().result()

    with pytest.raises(NotRecordable, match=r"'ask'.*inside"):
        flow.invoke(1, thread())
    assert flow.get_state(thread()).tasks[0].error is not None
    with pytest.raises(NotRecordable):
        flow.invoke(None, thread())  # the thread is free


def test_an_answer_that_cannot_be_kept_is_refused_and_the_question_stays(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("?")

    flow.invoke(1, thread())
    with pytest.raises(NotRecordable):
        flow.invoke(Command(resume={"f": lambda: None}), thread())
    assert len(flow.get_state(thread()).interrupts) == 1
    assert flow.invoke(Command(resume="ok"), thread()) == "ok"


def test_an_answer_that_cannot_be_kept_is_named_by_its_place_in_the_answer(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        return interrupt("go?")

    flow.invoke("x", thread())
    with pytest.raises(NotRecordable, match=r"^the answer\['how'\]\[0\]: a function"):
        flow.invoke(Command(resume={"how": [print]}), thread())


def test_an_answer_to_a_run_that_failed_is_refused_with_what_to_do(saver: Checkpointer) -> None:
    fails = [True]

    @entrypoint(checkpointer=saver)
    def flow(x: str) -> Any:
        answer = interrupt("go?")
        if fails:
            raise ValueError("down")
        return answer

    flow.invoke("x", thread())
    with pytest.raises(ValueError, match="down"):
        flow.invoke(Command(resume="first"), thread())
    fails.clear()
    with pytest.raises(InvalidResume, match="with None to go on"):
        flow.invoke(Command(resume="second"), thread())
    assert flow.invoke(None, thread()) == "first"


def test_parallel_questions_are_shown_in_the_order_of_their_calls() -> None:
    first_may_ask = Meeting(2)

    @task
    def ask(number: int) -> Any:
        if number == 0:
            first_may_ask_wait()
        answer = None
        try:
            answer = interrupt(number)
        finally:
            if number == 11:
                first_may_ask_wait()
        return answer

    def first_may_ask_wait() -> None:
        from clew.runner.io import run_blocking

        run_blocking(first_may_ask.all_here())

    @entrypoint(checkpointer=InMemorySaver())
    def flow(x: str) -> Any:
        return [future.result() for future in [ask(number) for number in range(12)]]

    assert asked(flow.invoke(1, thread())) == list(range(12))
    assert [question.value for question in flow.get_state(thread()).interrupts] == list(range(12))


def test_a_plain_answer_in_the_past_is_to_the_first_question(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        first = interrupt("one?")
        return [first, interrupt(f"two, after {first}?")]

    flow.invoke(1, thread())
    older = flow.get_state(thread()).config
    flow.invoke(Command(resume="A"), thread())
    assert flow.invoke(Command(resume="B"), thread()) == ["A", "B"]
    assert asked(flow.invoke(Command(resume="X"), older)) == ["two, after X?"]
    assert flow.invoke(Command(resume="Y"), thread()) == ["X", "Y"]
