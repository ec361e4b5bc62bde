"""The story of `script/demo`: two processes that share nothing but one SQLite file, and a chatbot that remembers.

No key, no server, no network. It ends with exit code 0 only if everything went as it should.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from memory_chatbot import Message, build_chatbot

from clew import Database
from clew.integrations.local_embedder import LocalEmbedder


class Stage:
    """Shows the conversation, and makes sure that it goes as it should.

    Args:
        chatbot: the workflow that talks.
    """

    def __init__(self, chatbot: Any) -> None:
        self.chatbot = chatbot

    def ask(self, text: str, *, user: str, thread: str, expected: str) -> None:
        """Say something as a user on a thread; the reply must contain what is expected."""
        print(f"\n  {dim(f'user {user}, thread {thread}')}\n  {bold('you')}        {text}")
        turn = {"messages": [{"role": "user", "content": text}], "user_id": user}
        for reply in self.chatbot.stream(turn, on(thread), stream_mode="values"):
            self.hear(reply, expected)

    def hear(self, reply: Message, expected: str) -> None:
        """Show a reply, which must contain what is expected."""
        print(f"  {bold('assistant')}  {green(reply['content'])}")
        check(expected in reply["content"], f"the reply should contain {expected!r}")


def first_process(database: Database) -> None:
    """Meet Bob, and die in the middle of a sentence."""
    stage = Stage(build_chatbot(database))
    scene("A user introduces himself")
    stage.ask("Hi! Remember: my name is Bob", user="1", thread="1", expected="Bob")
    scene("Another conversation, the same user: the memory is the user's, not the thread's")
    stage.ask("what is my name?", user="1", thread="2", expected="Your name is Bob")
    scene("Somebody else asks: memories do not leak")
    stage.ask("what is my name?", user="2", thread="3", expected="do not know")

    scene('What is kept: store.search(("memories", "1"))')
    kept = [item.value for item in database.store.search(("memories", "1"))]
    print(f"  {kept}")
    check(kept == [{"data": "Username is Bob"}], "one memory, with Bob's name")

    scene("A power cut, just after the model answered and before anybody heard it")
    print(f"\n  {dim('user 1, thread 1')}\n  {bold('you')}        do you still have what I wrote?")
    turn = {"messages": [{"role": "user", "content": "do you still have what I wrote?"}], "user_id": "1"}
    build_chatbot(database, once_recorded=cut_power).invoke(turn, on("1"))


def second_process(database: Database) -> None:
    """Come back on the same file, and know everything."""
    stage = Stage(build_chatbot(database))
    scene("A new process opens the same file and goes on where the first one died")
    check(stage.chatbot.get_state(on("1")).next == ("chatbot",), "the run that was cut off should be unfinished")
    stage.hear(stage.chatbot.invoke(None, on("1")), expected="You began with: Hi! Remember")
    scene("It still knows Bob")
    stage.ask("what is my name?", user="1", thread="4", expected="Your name is Bob")

    scene("Thread 1 still has its messages")
    messages = stage.chatbot.get_state(on("1")).saved
    for message in messages:
        print(f"  {message['role']:<10} {message['content']}")
    check([message["role"] for message in messages] == ["user", "assistant"] * 2, "four messages on thread 1")


def main() -> int:
    """Run both processes on a file in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "chatbot.db")
        print(bold("A chatbot with long-term memory") + dim("  (offline; the language model is a stand-in)"))
        print(dim(f"everything is kept in {path}"))
        died = subprocess.run([sys.executable, __file__, "first", path], check=False).returncode
        check(died == killed(), f"the first process should be killed, but ended with {died}")
        subprocess.run([sys.executable, __file__, "second", path], check=True)
    print(f"\n{green('All of it went as it should.')}")
    return 0


def act(which: str, path: str) -> None:
    """Be one of the two processes."""
    database = Database(f"sqlite:///{path}", embed=LocalEmbedder())
    {"first": first_process, "second": second_process}[which](database)
    database.close()


def on(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def check(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"The story went wrong: {what}")


def cut_power() -> None:
    print("  (the process is killed)", flush=True)
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(killed())


def killed() -> int:
    return -signal.SIGKILL if os.name == "posix" else 137


def scene(title: str) -> None:
    print(f"\n{bold('—')} {bold(title)}")


def styled(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def bold(text: str) -> str:
    return styled("1", text)


def dim(text: str) -> str:
    return styled("2", text)


def green(text: str) -> str:
    return styled("32", text)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        act(sys.argv[1], sys.argv[2])
    else:
        sys.exit(main())
