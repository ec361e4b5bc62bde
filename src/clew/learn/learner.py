"""The workflow that learns: look at the talk, extract facts, compare them with what is known, and write at the end.

Each call of a model, each search and each write is a task. A run writes all that it learned at once, or nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from clew import Handle, Workflow, entrypoint, get_config, get_runtime, task
from clew.agents import Reply, create_agent
from clew.agents.memory import check_namespace
from clew.errors import InvalidOption, TooManyRounds, VersionConflict
from clew.learn import comparing, extracting
from clew.learn.changes import Change, Learn, Learned, Refused, Undo, Undone
from clew.learn.comparing import Decision, Decisions, Known
from clew.learn.conversations import Talk, batches, look
from clew.learn.extracting import Extraction, Fact
from clew.learn.memories import search, take_back, write

_TRIES = 3
_CONVERSATION = "_clew_conversation"  # of the learner's function: the workflow whose threads it learns from
_MARGIN_S = 1.0  # clocks are read more than once

Learner = Workflow[Learn | Undo, Learned | Undone]
_Agent = Workflow[Any, Reply]


def create_learner(
    conversation: Workflow[Any, Any],
    model: Any,
    *,
    memory: Sequence[str],
    hints: str = "",
    name: str | None = None,
    **options: Any,
) -> Learner:
    """Make a workflow that learns from the threads of another one, each on the thread of the same id.

    Its input is `Learn()`, `Learn(dry_run=True)` or `Undo(run=...)`; `learn_later` has it learn in the background. A
    memory that it writes is {"content", "thread", "run", "message", "quote"}: what was said, and where. It corrects and
    retires other memories, too, if they have a "content".

    Args:
        conversation: an agent, a team, or a workflow that saves its messages, or a dict with "messages".
        model: as for `create_agent`. It is asked twice for about two thousand tokens, and a few times more where its
            answers cannot be used.
        memory: the namespace, such as ("memories", "{user_id}"), filled from the config of the conversation.
        hints: for the model: what else is worth remembering, or is not.
        name: of the workflow; "learn_" and the conversation's if not given.
        options: those of `@entrypoint`; checkpointer and store are the conversation's if not given.

    Raises:
        InvalidOption: there is no database, or `memory` is no namespace.
        MissingDependency: pydantic is not installed.
    """
    check_namespace(memory)
    prompt = "\n".join(part for part in (extracting.PROMPT, hints) if part)
    extract = create_agent(model, prompt=prompt, output=Extraction, max_rounds=_TRIES, name="extract")
    compare = create_agent(model, prompt=comparing.PROMPT, output=Decisions, max_rounds=_TRIES, name="compare")

    @task(name="look")
    def look_at(learned: list[str]) -> Talk:
        return look(conversation, memory, get_config(), learned)

    @task(name="recollect")
    def recollect(run: str) -> Learned:
        return _recollected(learner, run, get_config()["configurable"]["thread_id"])

    async def learn(
        wish: Learn | Undo, *, previous: list[str] | None = None
    ) -> entrypoint.final[Learned | Undone, list[str]]:
        learned = previous or []
        if isinstance(wish, Undo):
            return entrypoint.final(value=await take_back(await recollect(wish.run)), save=learned)
        talk = await look_at(learned)
        if talk.ids and talk.quiet_s < wish.pause_s:
            await _put_off(learner, wish, talk)
            return entrypoint.final(value=_result(talk, wish, put_off=True), save=learned)
        value = await _learned(extract, compare, talk, wish)
        return entrypoint.final(value=value, save=learned if wish.dry_run else [*learned, *talk.ids])

    named = name or f"learn_{conversation.name}"
    setattr(learn, _CONVERSATION, conversation)
    learner: Learner = entrypoint(name=named, **_with_database(conversation, options))(learn)
    return learner


def is_learner(workflow: Workflow[Any, Any]) -> bool:
    """Say whether a workflow was made by `create_learner`."""
    return getattr(workflow.__wrapped__, "__module__", None) == __name__


def check_wish(learner: Learner, wish: Learn | Undo, thread: str) -> None:
    """Refuse what cannot be learned or taken back, before a run is begun for it.

    Raises:
        InvalidOption: there is no such thread, or no such run of the learner on it.
    """
    if isinstance(wish, Undo):
        _recollected(learner, wish.run, thread)
        return
    conversation: Workflow[Any, Any] = getattr(learner.__wrapped__, _CONVERSATION)
    if not conversation.get_state({"configurable": {"thread_id": thread}}).exists:
        raise InvalidOption(f"there is no thread {thread!r} of {conversation.name!r} to learn from")


def learn_later(learner: Learner, config: Any, *, pause_s: float = 60.0) -> Handle:
    """Have a conversation learned by a worker once nothing was said for a while. Call it after each turn.

    Args:
        learner: of `create_learner`.
        config: names the thread, as in the conversation's own calls.
        pause_s: how long nothing is to be said before, in seconds.

    Raises:
        Exception: what `submit` raises.
    """
    return learner.submit(Learn(pause_s=pause_s), config, delay_s=pause_s)


async def alearn_later(learner: Learner, config: Any, *, pause_s: float = 60.0) -> Handle:
    """Like `learn_later`, for async code."""
    return await learner.asubmit(Learn(pause_s=pause_s), config, delay_s=pause_s)


def _with_database(conversation: Workflow[Any, Any], options: dict[str, Any]) -> dict[str, Any]:
    if "database" in options:
        return options
    options = {"checkpointer": conversation.checkpointer, "store": conversation.store, **options}
    if missing := [name for name in ("checkpointer", "store") if options[name] is None]:
        raise InvalidOption(f"{conversation.name!r} has no {' and no '.join(missing)}; give the learner a database=...")
    return options


async def _put_off(learner: Learner, wish: Learn, talk: Talk) -> None:
    """Come back later. Of several calls that wait for the same pause, one is left: they have the same name."""
    if talk.quiet_s:
        left_s = wish.pause_s - talk.quiet_s + _MARGIN_S
        await learner.asubmit(wish, get_config(), run_key=f"after {talk.last}", delay_s=left_s)
    else:
        await learner.asubmit(wish, get_config(), delay_s=wish.pause_s)


def _recollected(learner: Learner, run: str, thread: str) -> Learned:
    """Return what a run of the learner did.

    Raises:
        InvalidOption: it is none of the thread, is no longer kept, or learned nothing.
    """
    kept = learner.get_state({"configurable": {"thread_id": thread, "checkpoint_id": f"{run}-1"}})
    if not isinstance(kept.values, Learned) or kept.values.dry_run:
        raise InvalidOption(f"no run {run!r} that learned something is kept on thread {thread!r}")
    return kept.values


async def _learned(extract: _Agent, compare: _Agent, talk: Talk, wish: Learn) -> Learned:
    """Decide everything, then write; decide anew where somebody changed one of the memories meanwhile."""
    facts, refused = await _facts(extract, talk)
    for _ in range(_TRIES):
        changes, known = await _compared(compare, talk, facts)
        try:
            if changes and not wish.dry_run:
                await write(talk.namespace, changes)
        except VersionConflict:
            continue
        return _result(talk, wish, changes=changes, known=known, refused=refused)
    raise TooManyRounds(f"others changed the same memories {_TRIES} times while facts were compared with them")


async def _facts(extract: _Agent, talk: Talk) -> tuple[list[list[Fact]], list[Refused]]:
    """Return the facts that were said, by batch, and those that were not."""
    facts: list[list[Fact]] = []
    refused: list[Refused] = []
    for batch in batches(talk):
        said = await extract.ainvoke(batch.told)
        good, bad = extracting.believed(said.output.facts, batch, get_config()["configurable"]["thread_id"])
        facts.append(good)
        refused += bad
    return facts, refused


async def _compared(compare: _Agent, talk: Talk, facts: Sequence[Sequence[Fact]]) -> tuple[list[Change], int]:
    """Return the changes that follow from all facts, and how many of these said nothing new."""
    changes: dict[str, Change] = {}
    known = 0
    for some in facts:
        there = await search(talk.namespace, [fact.content for fact in some], list(changes.values())) if some else []
        new = comparing.unheard(some, there)
        decided = await _decided(compare, new, there) if new else {}
        known += len(some) - sum(one.action != "same" for one in decided.values())
        changes = comparing.changed(changes, decided, new, there, _new_key)
    return list(changes.values()), known


async def _decided(compare: _Agent, facts: Sequence[Fact], known: Sequence[Known]) -> dict[str, Decision]:
    """Have the model decide about facts, and tell it what is wrong with its decisions."""
    if not known and len(facts) < 2:  # there is nothing to compare
        return {f"F{number}": Decision(fact=f"F{number}", action="add") for number in range(1, len(facts) + 1)}
    messages: list[Any] = [{"role": "user", "content": comparing.question(facts, known)}]
    problem = ""
    for _ in range(_TRIES):
        reply = await compare.ainvoke(messages)
        given = reply.output.decisions
        if not (problem := comparing.wrong_with(given, facts, known)):
            return {one.fact: one for one in given}
        messages = [*reply.messages, {"role": "user", "content": f"That cannot be: {problem}"}]
    raise TooManyRounds(f"the model was asked {_TRIES} times and did not decide: {problem}", messages)


def _new_key(fact: Fact) -> str:
    said = f"{_run()} {fact.source.message} {fact.content}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _run() -> str:
    info = get_runtime().execution_info
    return info.run_id if info else ""


def _result(talk: Talk, wish: Learn, **parts: Any) -> Learned:
    return Learned(run=_run(), namespace=talk.namespace, messages=len(talk.new), dry_run=wish.dry_run, **parts)
