"""The stable name of a call within its run: the path of calls above it, its branch, its name, and which of that name.

A call inserted before others of a different name shifts nothing. Calls made inside another asyncio task or OS thread
of the same body form a branch and are counted for themselves; branches are numbered by their first call, so that the
timing of parallel work shifts nothing.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Hashable, Iterable, Iterator
from hashlib import blake2b

# Names of the engine's own calls. No task's name can look like them: key_name escapes the colon.
INTERRUPT = ":interrupt"
SLEEP = ":sleep"
READ = ":read"
WRITE = ":write"
DRAWN = ":id"

_DIGITS = re.compile(r"(\d+)")
_SPECIAL = str.maketrans({"%": "%25", "/": "%2F", "#": "%23", "~": "%7E", ":": "%3A"})


def key_name(name: str) -> str:
    """Escape a task's name so that no name can look like a path of calls."""
    return name.translate(_SPECIAL)


def callers(key: str) -> Iterator[str]:
    """Return the keys of the calls above a call."""
    end = key.rfind("/")
    while end > 0:
        yield key[:end]
        end = key.rfind("/", 0, end)


def natural_order(key: str) -> list[tuple[int, str]]:
    """Return what sorts keys so that the tenth call comes after the second."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(key)]


class Counter:
    """Names the calls that one body makes.

    Args:
        path: key of the call whose body it is; "" for the workflow itself.
        home: the asyncio task or OS thread that runs the body.
    """

    __slots__ = ("_branches", "_counts", "_numbers", "_path", "home")

    def __init__(self, path: str, home: Hashable) -> None:
        self._path = path + "/" if path else ""
        self.home = home
        self._counts: dict[str, int] = {}
        self._branches: dict[Hashable, Counter] = {}
        self._numbers = itertools.count(1)  # taking the next one is atomic, so no two branches get the same

    def next_key(self, name: str, home: Hashable) -> str:
        """Return the key of the next call of `name` (already escaped) made by `home`."""
        if home != self.home:
            return self._branch(home).next_key(name, home)
        count = self._counts.get(name, 0) + 1
        self._counts[name] = count
        return f"{self._path}{name}#{count}"

    def _branch(self, home: Hashable) -> Counter:
        branch = self._branches.get(home)
        if branch is None:
            branch = Counter(f"{self._path}~{next(self._numbers)}", home)
            self._branches[home] = branch
        return branch


def question_id(run_id: str, key: str) -> str:
    """Return the id of a question: 32 hexadecimal digits, the same whenever the same run asks it again."""
    return blake2b(f"{run_id}\0{key}".encode(), digest_size=16).hexdigest()


def seed_of(thread: Iterable[str], previous: str | None, input: bytes) -> bytes:
    """Return what the ids drawn by a run come from: the same when it is continued, and in a fork of it.

    Two runs share it only if they give the same input to a thread at the same place of its history: one of them
    failed, was given up, or was forked from.
    """
    digest = blake2b(digest_size=16)
    for part in (*(text.encode("utf-8", "surrogatepass") for text in (*thread, previous or "")), input):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def drawn_id(seed: bytes, key: str) -> str:
    """Return an id that looks like a random UUID, and is the same for the same run and key."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), key=seed, digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
