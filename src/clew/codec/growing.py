"""Values that grow at the end, kept as what was added: a thread of n messages costs O(n) bytes, not O(n²).

A value is folded into a frame, which holds everything but its long lists, and pieces: runs of elements, each naming the
piece before it. A list that only grew adds one piece to those of the value before; one that was changed somewhere
keeps the pieces before the change and adds the rest. This file decides what is a piece; it knows no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from clew.codec.values import decode, encode, unreadable
from clew.engine.records import Piece
from clew.errors import UnreadableRecord

_DEEPEST = 8  # levels of dicts that are looked through for lists
_SMALLEST_BYTES = 256  # shorter lists stay in the frame: a piece of their own would cost more
_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Path = tuple[str, ...]


class Link(msgspec.Struct, frozen=True):
    """One piece of a list: its id, how many elements it has, and their size."""

    id: str
    count: int
    size_bytes: int


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it is kept.

    Args:
        data: the encoded list.
        links: its pieces, oldest first.
    """

    data: bytes
    links: Sequence[Link]


_EMPTY = Chain(data=b"", links=())


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """A value as it is kept.

    Args:
        frame: the value without its long lists, and which pieces belong where.
        chains: path of each long list within the value -> all of its pieces.
        added: the pieces that are not kept yet.
    """

    frame: bytes
    chains: Mapping[Path, Chain]
    added: Sequence[Piece]


def joined(pieces: Sequence[Piece]) -> Chain:
    """Return the chain of pieces that were read back, oldest first."""
    links = [Link(piece.id, piece.count, len(piece.body)) for piece in pieces]
    return Chain(data=b"".join([_header(_count(links)), *[piece.body for piece in pieces]]), links=links)


def beginning(chain: Chain, last: str) -> Chain | None:
    """Return the part of a list that ends with a piece, or None if the piece is not in it."""
    for place in range(len(chain.links), 0, -1):
        if chain.links[place - 1].id == last:
            links = chain.links[:place]
            start = len(_header(_count(chain.links)))
            end = start + sum([link.size_bytes for link in links])
            return Chain(data=_header(_count(links)) + chain.data[start:end], links=links)
    return None


def fold(value: Any, before: Mapping[Path, Chain], new_id: Callable[[], str], name: str = "result") -> Folded:
    """Take a value apart into a frame and pieces.

    Args:
        value: what is to be kept; it is not changed.
        before: the chains of the value that it grew from; empty where there is none.
        new_id: gives a fresh id for each new piece.
        name: what the value is called in the message of an error.

    Raises:
        NotRecordable: the value could not be read back; see encode.
    """
    chains: dict[Path, Chain] = {}
    added: list[Piece] = []
    places: list[Any] = []
    rest = value
    for path, items in _lists(value, ()):
        data = encode(items, name + "".join(f"[{step!r}]" for step in path))
        if len(data) < _SMALLEST_BYTES:
            continue
        chain, new = _grown(before.get(path, _EMPTY), data, len(items), new_id)
        chains[path], rest = chain, _with(rest, path, [])
        places.append([list(path), chain.links[-1].id, len(items)])
        added += new
    return Folded(frame=_frame(rest, places, name), chains=chains, added=added)


def last_pieces(frame: bytes) -> dict[Path, str]:
    """Return which piece each long list of a folded value ends with.

    Raises:
        UnreadableRecord: the bytes are damaged.
    """
    return {path: last for path, last, _ in _parts(frame)[1]}


def unfold(frame: bytes, chains: Mapping[Path, Chain], read: Callable[[bytes], Any] = decode) -> Any:
    """Put a value together again.

    Args:
        frame: see Folded.
        chains: see Folded: the pieces that `last_pieces` named, with all those before them.
        read: gives the value of bytes.

    Raises:
        UnreadableRecord: the bytes are damaged, or a piece is missing.
    """
    rest, places = _parts(frame)
    value = read(rest)
    for path, last, count in places:
        chain = chains.get(path, _EMPTY)
        if not chain.links or chain.links[-1].id != last or not chain.data.startswith(_header(count)):
            raise UnreadableRecord(f"pieces of the list at {list(path)!r} are missing")
        try:
            value = _with(value, path, read(chain.data))
        except (LookupError, TypeError, OverflowError, RecursionError) as error:
            raise UnreadableRecord(f"the kept value has no place for a list at {list(path)!r:.200}") from error
    return value


def _frame(rest: Any, places: list[Any], name: str) -> bytes:
    return msgspec.msgpack.encode([encode(rest, name), places])


def _lists(value: Any, path: Path) -> Iterator[tuple[Path, list[Any]]]:
    """Find the lists that may be long: the value itself, or what dicts with keys of text hold."""
    if type(value) is list:
        if value:
            yield path, value
    elif type(value) is dict and len(path) < _DEEPEST:
        for key, inner in value.items():
            if type(key) is str and (key.isascii() or _is_text(key)):
                yield from _lists(inner, (*path, key))


def _is_text(key: str) -> bool:
    """Say whether a key can be written as UTF-8, as paths are."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _grown(before: Chain, data: bytes, count: int, new_id: Callable[[], str]) -> tuple[Chain, Sequence[Piece]]:
    """Return the chain of a list, and the pieces of it that are new: as many old ones as begin it, then the rest."""
    kept, end = before.links, len(_header(count))
    old = memoryview(before.data)[len(_header(_count(kept))) :]
    if data.startswith(old, end):
        end += len(old)
    else:
        kept, end = _common(kept, old, data, end)
    if end == len(data):
        return Chain(data=data, links=kept), ()
    rest = Piece(
        id=new_id(),
        before=kept[-1].id if kept else None,
        count=count - _count(kept),
        body=data[end:],
    )
    return Chain(data=data, links=[*kept, Link(rest.id, rest.count, len(rest.body))]), (rest,)


def _common(links: Sequence[Link], old: memoryview, data: bytes, end: int) -> tuple[Sequence[Link], int]:
    """Return the pieces of an old list that are at a place of a new one, too, and where they end there."""
    start = 0
    for place, link in enumerate(links):
        if not data.startswith(old[start : start + link.size_bytes], end):
            return links[:place], end
        start, end = start + link.size_bytes, end + link.size_bytes
    return links, end


def _with(value: Any, path: Path, inner: Any) -> Any:
    """Return a value with something else at a path; what lies beside the path is shared."""
    if not path:
        return inner
    return {**value, path[0]: _with(value[path[0]], path[1:], inner)}


def _count(links: Sequence[Link]) -> int:
    return sum([link.count for link in links])


def _header(count: int) -> bytes:
    """Return what msgpack puts before the elements of an array of so many."""
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2) if count < 1 << 16 else b"\xdd" + count.to_bytes(4)


def _parts(frame: bytes) -> tuple[bytes, list[tuple[Path, str, int]]]:
    try:
        rest, places = msgspec.msgpack.decode(frame, type=tuple[bytes, list[tuple[Path, str, _Count]]])
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors, and so are those of UTF-8
        raise unreadable(frame, error) from error
    return rest, places
