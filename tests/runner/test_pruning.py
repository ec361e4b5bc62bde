"""Pruning takes what is old and leaves everything that stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clew
from clew import (
    Checkpointer,
    Command,
    Conflict,
    EncryptionKeys,
    InMemorySaver,
    SqliteSaver,
    StateSnapshot,
    Workflow,
    entrypoint,
    interrupt,
    task,
)  # fmt: skip
from clew.engine.records import ThreadKey
from clew.errors import InvalidOption
from clew.storage.base import Begin, Keep, ListRuns, LoadRecords
from clew.storage.encrypted import EncryptedSaver
from clew.storage.upkeep import ListPieces
from support.colours import PATIENCE_S, thread

KEYS = EncryptionKeys([EncryptionKeys.new_key()])
LONG = "a message that is long enough to be kept as a piece of its own, and longer " * 4


@task
def shout(text: str) -> str:
    return text.upper()


def chat_on(saver: Checkpointer) -> Workflow[Any, Any]:
    """A conversation: a list that grows, with turns that ask, fail, or return something else than they save."""

    @entrypoint(checkpointer=saver)
    def chat(turn: str, *, previous: Any = None) -> Any:
        messages = [*(previous or []), shout(f"{turn} {LONG}").result()]
        if turn.startswith("ask"):
            messages.append(interrupt(turn))
        if turn.startswith("fail"):
            raise ValueError(turn)
        return entrypoint.final(value=turn, save=messages) if turn.startswith("final") else messages

    return chat


def key(workflow: Workflow[Any, Any], thread_id: str = "1") -> ThreadKey:
    return ThreadKey(thread_id, workflow.name)


def history(workflow: Workflow[Any, Any]) -> list[StateSnapshot]:
    return list(workflow.get_state_history(thread()))


def runs(saver: Checkpointer, workflow: Workflow[Any, Any]) -> list[str]:
    return [run.id for run in saver.execute(ListRuns(key(workflow)))]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), st.sampled_from(["say", "ask", "fail", "final"])),
        st.tuples(st.just("fork"), st.integers(0, 30)),
        st.tuples(st.just("set"), st.integers(0, 30)),
        st.tuples(st.just("answer"), st.integers(0, 30)),
    ),
    min_size=1,
    max_size=10,
)


def take(step: tuple[str, Any], number: int, chat: Workflow[Any, Any]) -> None:
    """Carry out one step on a thread, as far as it can be."""
    kind, what = step
    known = history(chat) if kind != "turn" else []
    config = known[what % len(known)].config if known else thread()
    with contextlib.suppress(ValueError, clew.InvalidResume):
        if kind == "turn":
            chat.invoke(f"{what} {number}", thread())
        elif kind == "fork":
            chat.invoke(f"say {number}" if what % 2 else None, config)
        elif kind == "set":
            chat.update_state(config, ["set", LONG * (what % 3)])
        else:
            chat.invoke(Command(resume=f"answer {number}"), config)


@contextlib.contextmanager
def engines() -> Iterator[list[Checkpointer]]:
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteSaver(Path(folder) / "threads.db")
        try:
            yield [InMemorySaver(), file, EncryptedSaver(InMemorySaver(), KEYS)]
        finally:
            file.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.lists(st.integers(1, 4), min_size=1, max_size=2), st.data())
def test_everything_that_stays_reads_as_before(
    steps: list[tuple[str, Any]], prunings: list[int], data: st.DataObject
) -> None:
    with engines() as savers:
        for saver in savers:
            chat = chat_on(saver)
            for number, step in enumerate(steps):
                take(step, number, chat)
            for keep_last in prunings:
                before = {str(snapshot.config): snapshot for snapshot in history(chat)}
                newest = chat.get_state(thread())
                kept = runs(saver, chat)[:keep_last]
                clew.prune(saver, keep_last=keep_last)
                after = history(chat)
                assert [before[str(snapshot.config)] for snapshot in after] == after
                assert chat.get_state(thread()) == newest
                assert runs(saver, chat)[:keep_last] == kept
                reachable = {str(snapshot.config) for snapshot in after}
                for name, snapshot in before.items():
                    again = chat.get_state(snapshot.config)
                    assert again == snapshot if name in reachable else not again.exists
                take(data.draw(STEPS.map(lambda drawn: drawn[0])), 99, chat)


def test_a_question_that_waits_can_be_answered_afterwards(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for turn in ("say 1", "say 2", "ask 3"):
        chat.invoke(turn, thread())
    clew.prune(saver, keep_for=timedelta())
    assert len(chat.invoke(Command(resume="yes"), thread())) == 4


def test_old_runs_go_with_their_journals_and_pieces(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(6):
        chat.invoke(f"say {number}", thread())
    chat.update_state(thread(), ["nothing of what was said"])
    ids = runs(saver, chat)
    pruned = clew.prune(saver, keep_last=1)
    assert (pruned.threads, pruned.runs, pruned.trimmed, pruned.pieces) == (1, 6, 0, 6)
    assert runs(saver, chat) == ids[:1]
    assert not saver.execute(ListPieces(key(chat)))
    assert not any(saver.execute(LoadRecords(run_id)) for run_id in ids[1:])


def test_a_run_that_is_kept_for_what_it_saved_loses_its_journal_and_its_input(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(3):
        chat.invoke(f"say {number}", thread())
    end = chat.get_state(thread())
    trimmed = clew.prune(saver, keep_for=timedelta())
    assert (trimmed.runs, trimmed.trimmed) == (2, 1)
    assert [(snapshot.next, snapshot.values) for snapshot in history(chat)] == [((), end.values)]
    assert chat.get_state(end.parent_config).exists is False
    assert not saver.execute(LoadRecords(runs(saver, chat)[0]))
    assert len(chat.invoke("say more", thread())) == 4


def test_pruning_twice_takes_nothing_more(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(5):
        chat.invoke(f"say {number}", thread())
    clew.prune(saver, keep_last=2)
    again = clew.prune(saver, keep_last=2)
    assert (again.threads, again.runs, again.trimmed, again.pieces) == (0, 0, 0, 0)


def test_a_dry_run_counts_and_takes_nothing(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(5):
        chat.invoke(f"say {number}", thread())
    before = history(chat)
    counted = clew.prune(saver, keep_last=1, dry_run=True)
    assert history(chat) == before
    assert clew.prune(saver, keep_last=1) == counted


def test_only_the_thread_that_is_named_is_pruned(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for name in ("1", "2"):
        for number in range(3):
            chat.invoke(f"say {number}", thread(name))
    assert clew.prune(saver, keep_last=1, thread_id="2").threads == 1
    assert len(saver.execute(ListRuns(key(chat, "1")))) == 3
    assert len(saver.execute(ListRuns(key(chat, "2")))) == 2


def test_it_can_be_awaited(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(3):
        chat.invoke(f"say {number}", thread())
    assert asyncio.run(clew.aprune(saver, keep_last=1)).runs == 1


def test_all_threads_are_pruned_however_many(saver: Checkpointer) -> None:
    chat = chat_on(saver)
    for number in range(205):
        chat.update_state(thread(f"{number}"), 1)
        chat.update_state(thread(f"{number}"), 2)
    assert clew.prune(saver, keep_last=1).threads == 205


@pytest.mark.parametrize(
    "wrong",
    [{}, {"keep_last": 0}, {"keep_last": True}, {"keep_last": 1.5}, {"keep_for": 30}, {"keep_for": timedelta(-1)}],
    ids=str,
)
def test_what_is_to_stay_has_to_be_said(saver: Checkpointer, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="keep_"):
        clew.prune(saver, **wrong)


def test_a_run_under_way_is_not_disturbed(saver: Checkpointer) -> None:
    chat_on(saver)
    inside: list[Callable[[], object]] = [lambda: None]

    @entrypoint(checkpointer=saver)
    def chat(turn: str, *, previous: Any = None) -> Any:
        messages = [*(previous or []), shout(f"{turn} {LONG}").result()]
        inside[0]()
        return [*messages, shout(f"{turn} again {LONG}").result()]

    for number in range(3):
        chat.invoke(f"say {number}", thread())
    inside[0] = lambda: clew.prune(saver, keep_for=timedelta())
    assert len(chat.invoke("say 3", thread())) == 8
    assert len(chat.get_state(thread()).values) == 8


@pytest.mark.parametrize("how", ["new input", "copy", "set"])
def test_a_start_that_was_pruned_meanwhile_is_noticed(
    saver: Checkpointer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    chat = chat_on(saver)
    for number in range(4):
        chat.invoke(f"say {number}", thread())
    (*_, first_end, _) = history(chat)
    execute = saver.execute

    def pruning(operation: Any) -> Any:
        if isinstance(operation, Begin | Keep):
            monkeypatch.undo()
            clew.prune(saver, keep_last=1)
        return execute(operation)

    monkeypatch.setattr(saver, "execute", pruning)
    start: dict[str, Callable[[], object]] = {
        "new input": lambda: chat.invoke("say more", first_end.config),
        "copy": lambda: chat.invoke(None, first_end.config),
        "set": lambda: chat.update_state(first_end.config, ["set"]),
    }
    with pytest.raises(ValueError, match="has no checkpoint"):
        start[how]()
    assert len(chat.invoke("say 4", thread())) == 5


class TestDeletedThreads:
    def test_a_late_writer_gets_a_conflict_and_nothing_comes_back(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> str:
            saver.delete_thread("1")
            return shout("late").result()

        with pytest.raises(Conflict):
            flow.invoke(1, thread())
        assert not flow.get_state(thread()).exists

    def test_a_caller_that_waits_begins_afresh(self, saver: Checkpointer) -> None:
        begun, deleted = threading.Event(), threading.Event()

        @entrypoint(checkpointer=saver)
        def flow(x: str, *, previous: Any = None) -> Any:
            if x == "slow":
                begun.set()
                assert deleted.wait(PATIENCE_S)
            return [*(previous or []), shout(x).result()]

        flow.invoke("first", thread())
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(flow.invoke, "slow", thread())
            assert begun.wait(PATIENCE_S)
            waits = pool.submit(flow.invoke, "waits", thread())
            saver.delete_thread("1")
            deleted.set()
            assert isinstance(slow.exception(PATIENCE_S), Conflict)
            assert waits.result(PATIENCE_S) == ["WAITS"]

    def test_a_new_run_begins_afresh(self, saver: Checkpointer) -> None:
        chat = chat_on(saver)
        chat.invoke("say 1", thread())
        saver.delete_thread("1")
        assert not chat.get_state(thread()).exists
        assert history(chat) == []
        assert len(chat.invoke("say 2", thread())) == 1

    def test_a_nested_workflow_cannot_revive_what_it_remembered(self, saver: Checkpointer) -> None:
        delete: list[bool] = []

        @entrypoint(checkpointer=True)
        def inner(x: int, *, previous: Any = None) -> Any:
            if delete:
                saver.delete_thread("other")
            return [*(previous or []), x]

        @entrypoint(checkpointer=saver)
        def outer(x: int) -> Any:
            return inner.invoke(x, thread("other"))

        assert outer.invoke(1, thread()) == [1]
        delete.append(True)
        with pytest.raises(Conflict):
            outer.invoke(2, thread())
        delete.clear()
        assert outer.invoke(3, thread()) == [3]

    def test_what_is_left_of_them_goes_with_pruning(self, saver: Checkpointer) -> None:
        chat = chat_on(saver)
        chat.invoke("say 1", thread())
        saver.delete_thread("1")
        assert clew.prune(saver, keep_for=timedelta(days=1)).tombstones == 0
        time.sleep(0.002)
        assert clew.prune(saver, keep_for=timedelta()).tombstones == 1
        assert clew.prune(saver, keep_for=timedelta()).tombstones == 0
