"""`clew resume` and `clew fork`: go on with a run, by the code of its workflow."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Annotated, Any

import msgspec
import typer

from clew import Checkpointer, Command, Workflow
from clew.adopting import adopted
from clew.cli.databases import existing_url, open_database
from clew.cli.items import parse_json
from clew.cli.looking import Thread
from clew.cli.pruning import Json, Target
from clew.cli.screen import Screen, errors_shown
from clew.cli.targets import find_workflow
from clew.cli.trees import tree_of
from clew.errors import ClewError, NoSuchThread, UsageError
from clew.looking import kept_call, list_runs, show_run

log = logging.getLogger("clew.cli")

Code = Annotated[str, typer.Argument(metavar="MODULE:WORKFLOW", help="The code, as MODULE:WORKFLOW or FILE:WORKFLOW.")]


def resume(
    database: Target,
    code: Code,
    thread: Thread,
    answer: Annotated[
        str | None, typer.Option(metavar="JSON", help="The answer to the only question that waits.")
    ] = None,
    answer_to: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=JSON", help="The answer to one of several questions; may be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on with the newest run of a thread: answer its questions, or continue it after a failure or a crash.

    What is recorded is not run again. The run is carried out in this process, and shown when it has ended.
    """
    screen = Screen()
    with errors_shown(screen):
        if answer is not None and answer_to:
            raise UsageError("give --answer for the only question, or --answer-to for each of several, not both")
        input = answers = None
        if answer is not None:
            input = Command(resume=parse_json(answer, "--answer"))
        elif answer_to:
            answers = dict(map(_answer_to, answer_to))
            input = Command(resume=answers)
        _go_on(screen, database, code, input, thread, None, as_json, answers)


def fork(
    database: Target,
    code: Code,
    thread: Thread,
    checkpoint: Annotated[str, typer.Option(metavar="ID", help="Where to start from; `clew show` lists them.")],
    input: Annotated[
        str | None, typer.Option(metavar="JSON", help="An input for a new run; without one the run is repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a new run of a thread from one of its checkpoints. The runs that are there stay as they are.

    From the beginning of a run, without --input, that run is done once more, with nothing recorded. From its end, with
    an --input, the new run gets as `previous` what that run left.
    """
    screen = Screen()
    with errors_shown(screen):
        given = parse_json(input, "--input")
        if input is not None and given is None:
            raise UsageError("null is no input; leave out --input to repeat the run")
        _go_on(screen, database, code, given, thread, checkpoint, as_json)


def _go_on(
    screen: Screen,
    database: str,
    code: str,
    input: Any,
    thread: str,
    checkpoint: str | None,
    as_json: bool,
    answered: Collection[str] | None = None,
) -> None:
    """Carry out a run, and show what became of it; `answered` are the ids of questions that have to wait."""
    found = find_workflow(code)
    with open_database(existing_url(database)) as opened:
        workflow = adopted(found, opened.checkpointer, opened.store)
        saver = workflow.checkpointer or opened.checkpointer
        kept, config, context = _call_to_repeat(saver, workflow.name, thread, checkpoint)
        if answered is not None:
            _check_waiting(workflow, config, answered)
        failed = _ran_into(workflow, kept if input is None else input, config, context)
        tree = show_run(saver, thread, workflow=workflow.name)
        if as_json:
            screen.json(msgspec.to_builtins(tree))
        else:
            screen.tree(tree_of(tree))
    if failed is not None:
        screen.problem(f"clew: the run failed: {type(failed).__name__}: {failed}")
        raise typer.Exit(1)


def _check_waiting(workflow: Workflow[Any, Any], config: dict[str, Any], ids: Collection[str]) -> None:
    """Refuse answers to questions that do not wait: in a program, a dict may be the answer to the only question.

    Raises:
        UsageError: one does not, and others do. Where none waits, the workflow says so.
    """
    waiting = [asked.id for asked in workflow.get_state(config).interrupts]
    unknown = [id for id in ids if id not in waiting]
    if waiting and unknown:
        raise UsageError(f"no question {unknown[0]!r} waits; these do: {', '.join(waiting)}")


def _call_to_repeat(
    saver: Checkpointer, workflow: str, thread: str, checkpoint: str | None
) -> tuple[Any, dict[str, Any], Any]:
    """Return the input, the config and the context with which a run goes on: those of its call, as far as kept.

    A worker goes on with a run in the same way: the run reads its user's id, say, and stays that user's. There is an
    input at the beginning of a run alone: with it a new run begins there, although that run could be continued.

    Raises:
        UsageError: the thread has no such checkpoint.
    """
    named = {"thread_id": thread} if checkpoint is None else {"thread_id": thread, "checkpoint_id": checkpoint}
    run_id = None if checkpoint is None else _run_with(saver, workflow, thread, checkpoint)
    try:
        input, config, context = kept_call(saver, thread, run_id=run_id, workflow=workflow)
    except NoSuchThread:
        return None, {"configurable": named}, None  # the workflow will say so
    begins = checkpoint is not None and checkpoint.endswith("-0")
    return input if begins else None, {**config, "configurable": {**config["configurable"], **named}}, context


def _run_with(saver: Checkpointer, workflow: str, thread: str, checkpoint: str) -> str:
    for run in list_runs(saver, thread, workflow=workflow):
        if checkpoint in run.checkpoints:
            return run.id
    raise UsageError(
        f"thread {thread!r} has no checkpoint {checkpoint!r}; `clew runs` and `clew show` list those it has"
    )


def _ran_into(workflow: Workflow[Any, Any], input: Any, config: dict[str, Any], context: Any) -> Exception | None:
    """Run a workflow, and return what its own code raised."""
    log.info("running %s on thread %s", workflow.name, config["configurable"]["thread_id"])
    try:
        workflow.invoke(input, config, context=context)
    except ClewError:
        raise
    except Exception as error:
        log.debug("the run failed", exc_info=error)
        return error
    return None


def _answer_to(text: str) -> tuple[str, Any]:
    """Read an answer and the id of its question.

    Raises:
        UsageError: it is none.
    """
    id, separator, answer = text.partition("=")
    if not separator:
        raise UsageError(f"--answer-to {text!r} is not understood; write ID=JSON; `clew show` lists the ids")
    return id.strip(), parse_json(answer, "--answer-to")
