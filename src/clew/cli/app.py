"""The commands of `clew`, their options, and how errors and exits look."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Generator
from typing import Annotated

import typer

from clew import Database
from clew.cli import checks, logs
from clew.cli.chat import Chat
from clew.cli.continuing import fork, resume
from clew.cli.databases import made_default_url, open_database
from clew.cli.erasing import erase
from clew.cli.learning import learn
from clew.cli.looking import runs, show, threads
from clew.cli.memory import memory
from clew.cli.migrating import migrate
from clew.cli.models import choose_model
from clew.cli.moving import export_, import_
from clew.cli.pruning import prune
from clew.cli.reindexing import reindex
from clew.cli.screen import Screen, errors_shown
from clew.cli.worker import worker

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Durable workflows with memory.")
app.add_typer(memory, name="memory")
app.command()(threads)
app.command()(runs)
app.command()(show)
app.command()(resume)
app.command()(fork)
app.command()(learn)
app.command()(reindex)
app.command()(prune)
app.command()(erase)
app.command()(migrate)
app.command("export")(export_)
app.command("import")(import_)
app.command()(worker)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clew {importlib.metadata.version('clew')}")
        raise typer.Exit


@app.callback()
def clew(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens, on standard error.")] = False,
) -> None:
    """Durable workflows with memory."""
    logs.set_up(verbose)


@app.command()
def chat(
    thread: Annotated[
        str | None, typer.Option(help="The conversation to begin or to go on with; a fresh one if not given.")
    ] = None,
    user: Annotated[str, typer.Option(help="Whose memories to use.")] = "me",
    db: Annotated[
        str | None,
        typer.Option(help="Where everything is kept, such as sqlite:///chat.db; your data folder if not given."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Who answers: anthropic:MODEL, openai:MODEL or offline; by the keys that are set if not given."
        ),
    ] = None,
) -> None:
    """Talk with an assistant that remembers you across conversations.

    With ANTHROPIC_API_KEY or OPENAI_API_KEY set, that provider's model answers. Without one, the chat is offline and
    shows which of your memories come closest. Say "Remember: ..." to have something remembered; /help shows more.
    """
    screen = Screen()
    with _errors_shown(screen):
        answers = choose_model(model, os.environ)
        with _open_database(made_default_url() if db is None else db, screen) as database:
            talk = Chat(database=database, model=answers, screen=screen, user_id=user, thread_id=thread)
            _greet(talk, answers.name)
            talk.talk()
        if talk.failed and not screen.interactive:
            raise typer.Exit(1)


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="FILE:WORKFLOW or MODULE:WORKFLOW, such as app.py:chat.")],
    db: Annotated[
        str | None, typer.Option(help="The database whose runs are checked; the workflow's own if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Replay the unfinished runs of a database against the code as it is now, and say which would break.

    The bodies of workflows run up to the first call that is not recorded; no task runs and nothing is written. The
    exit code is 1 if a run would break: for CI, before a deployment.
    """
    screen = Screen()
    with _errors_shown(screen):
        if not checks.check(target, db, screen, as_json=json):
            raise typer.Exit(1)


def _greet(talk: Chat, model: str) -> None:
    known = len(talk.threads.messages(talk.thread_id))
    talk.screen.note(
        f"Answering: {model}. Thread {talk.thread_id} ({known} messages), user {talk.user_id}. /help helps."
    )


def _open_database(url: str, screen: Screen) -> Database:
    if importlib.util.find_spec("wordllama") is None:
        screen.note("Memories are found by their words alone; by meaning too after: pip install 'clew[local]'")
        return open_database(url)
    from clew.integrations.local_embedder import LocalEmbedder

    return open_database(url, embed=LocalEmbedder())


@contextlib.contextmanager
def _errors_shown(screen: Screen) -> Generator[None]:
    """Show errors in one line, and let Ctrl-C be a polite way to leave."""
    try:
        with errors_shown(screen):
            yield
    except KeyboardInterrupt:
        screen.note("\nGoodbye.")
