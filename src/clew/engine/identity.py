"""The stable name of a call within its run: the path of calls above it, its branch, its name, and which of that name.

A call inserted before others of a different name shifts nothing. Calls made inside another asyncio task or OS thread
of the same body form a branch and are counted for themselves; a branch is known by its first call, so that the timing
of parallel work shifts nothing.
"""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING

from clew.errors import InvalidOption
from clew.late import late

if TYPE_CHECKING:
    import hashlib
else:
    late(globals(), "hashlib")  # the names of declared tasks need none of it

# Names of the engine's own calls. No task's name can look like them: key_name escapes the colon.
INTERRUPT = ":interrupt"
SLEEP = ":sleep"
READ = ":read"
WRITE = ":write"
DRAWN = ":id"
# And names of records that stand for no call: what a submitted call took along, what an observer left for whoever
# continues the run, and what a run raised.
CALL = ":call"
TRACE = ":trace"
FAILURE = ":failure"

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


class Counter:
    """Names the calls that one body makes.

    A branch is known by its first call: name, arguments, and which branch of that beginning it is. So neither the
    order in which branches happen to begin nor the OS thread that a pool happens to choose shifts anything.

    Args:
        path: key of the call whose body it is; "" for the workflow itself.
    """

    __slots__ = ("_beginnings", "_branches", "counts", "path")

    def __init__(self, path: str) -> None:
        self.path = path + "/" if path else ""
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._branches: dict[Hashable, Counter] = {}
        self._beginnings: dict[str, Iterator[int]] = {}

    def next_key(self, name: str) -> str:
        """Return the key of the next call that the body makes where it runs; `name` is escaped."""
        self.counts[name] += 1
        return f"{self.path}{name}#{self.counts[name]}"

    def next_key_of(self, home: Hashable, name: str, digest: Callable[[], bytes]) -> str:
        """Return the key of the next call of a branch.

        Args:
            home: the asyncio task or job of an OS thread that makes the call.
            name: of what is called, already escaped.
            digest: gives the fingerprint of its arguments, asked for only if the call begins the branch.
        """
        branch = self._branches.get(home) or self._begin_branch(home, f"{name}:{digest().hex()[:16]}")
        return branch.next_key(name)

    def _begin_branch(self, home: Hashable, beginning: str) -> Counter:
        # Each step is atomic, so no two branches get the same number.
        number = next(self._beginnings.setdefault(beginning, itertools.count(1)))
        branch = self._branches[home] = Counter(f"{self.path}~{beginning}#{number}")
        return branch


def question_id(run_id: str, key: str) -> str:
    """Return the id of a question: 32 hexadecimal digits, the same whenever the same run asks it again."""
    return hashlib.blake2b(f"{run_id}\0{key}".encode(), digest_size=16).hexdigest()


def seed_of(thread: Iterable[str], previous: str | None, input: bytes) -> bytes:
    """Return what the ids drawn by a run come from: the same when it is continued, and in a fork of it.

    Two runs share it only if they give the same input to a thread at the same place of its history: one of them
    failed, was given up, or was forked from.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (*(text.encode("utf-8", "surrogatepass") for text in (*thread, previous or "")), input):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def keyed_run_id(thread: Iterable[str], run_key: str) -> str:
    """Return the id of the run that a caller named: the same for the same name on the same thread."""
    if not isinstance(run_key, str):
        raise InvalidOption(f"run_key must be a text, not {run_key!r}")
    return seed_of(thread, run_key, b"run_key").hex()


def drawn_id(seed: bytes, key: str) -> str:
    """Return an id that looks like a random UUID, and is the same for the same run and key."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=seed, digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
