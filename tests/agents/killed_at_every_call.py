"""A program that runs an agent once for each call of its model and tools, and kills it there with SIGKILL.

    python killed_at_every_call.py FOLDER

Each life is a forked child: the first kills itself as a call begins, the second goes on with the thread. It prints, as
JSON, one list for each place of a kill: what the tools did and how often the model answered, in both lives together.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clew import Command, Database, Workflow
from clew.agents import create_agent
from support.scripted import Script, calls

CONFIG = {"configurable": {"thread_id": "1", "user_id": "bob"}}
MODEL = Script(calls(pay={"amount": 5}, look_up={"name": "ann"}), calls(manage_memory={"content": "Paid 5."}), "Done.")


def build(database: Database, begin: Callable[[], None], log: Path) -> Workflow[Any, Any]:
    """Make the agent; `begin` is called as each call begins, and what was done is written to a file."""

    def note(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{what}\n")

    def model(messages: Any, tools: Any) -> Any:
        begin()
        said = MODEL(messages, tools)
        note("model")
        return said

    def pay(amount: int) -> str:
        begin()
        note(f"paid {amount}")
        return "paid"

    async def look_up(name: str) -> str:
        begin()
        note(f"looked up {name}")
        raise LookupError(name)

    return create_agent(model, [pay, look_up], memory=("memories", "{user_id}"), approve={"pay"}, database=database)


def live(folder: Path, input: Any, kill_at: int) -> bool:
    """Run the agent to its end in a child, or to the call at which it is killed; say whether it was."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    count = itertools.count(1)

    def begin() -> None:
        if next(count) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        with Database(folder / "agent.db") as database:
            agent = build(database, begin, folder / "log")
            reply = agent.invoke(input, CONFIG)
            while isinstance(reply, dict):
                reply = agent.invoke(Command(resume={"action": "accept"}), CONFIG)
            assert reply.text == "Done."
            assert len(database.store.search(("memories",))) == 1
        status = 0
    finally:
        os._exit(status)
    return False


def main(folder: Path) -> None:
    """Kill at the first call, the second, and so on, until there is none left."""
    found: list[list[str]] = []
    for kill_at in itertools.count(1):
        here = folder / str(kill_at)
        here.mkdir()
        was_killed = live(here, "go", kill_at)
        if was_killed:
            live(here, None, 0)
        found.append(sorted((here / "log").read_text().splitlines()))
        if not was_killed:
            break
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
