"""What a run leaves on its thread, kept as what it adds to what the run before had left; see codec.growing."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from clew.codec import growing
from clew.codec.growing import Chain, Path
from clew.engine.final import final
from clew.engine.records import Piece
from clew.engine.unset import UNSET
from clew.runner.io import RunnerIO
from clew.runner.recent import recent_chains
from clew.storage.base import Checkpointer, LoadPieces


class Saved(Struct, frozen=True, kw_only=True):
    """A value that was read back.

    Args:
        value: the value, or UNSET where nothing was saved.
        chains: the pieces of its long lists, from which the next value may grow.
    """

    value: Any = UNSET
    chains: Mapping[Path, Chain] = field(default_factory=dict)


NOTHING = Saved()


async def read(io: RunnerIO, saver: Checkpointer, frame: bytes | None, near: dict[Path, Chain] | None = None) -> Saved:
    """Read back what a run left.

    Args:
        io: the verbs.
        saver: where it is kept.
        frame: what is kept of it beside its long lists, or None.
        near: the lists of a run close by, of which these may be the beginning; they take its place.

    Raises:
        UnreadableRecord: what is kept is damaged.
    """
    if frame is None:
        return NOTHING
    near = {} if near is None else near
    last = growing.last_pieces(frame)
    chains = {path: await _chain(io, saver, piece, near.get(path)) for path, piece in last.items()}
    near.update(chains)
    return Saved(value=growing.unfold(frame, chains), chains=chains)


async def _chain(io: RunnerIO, saver: Checkpointer, last: str, near: Chain | None) -> Chain:
    found = recent_chains(saver).find(last) or (near and growing.beginning(near, last))
    return found or growing.joined(await io.keep(saver, LoadPieces(last)))


class Left(Struct, frozen=True, kw_only=True):
    """What a run leaves, encoded.

    Args:
        value: what its caller gets.
        saved: what the next run gets, where it is something else.
        pieces: of the long lists in both, as far as they are not kept yet.
        chains: the long lists of what the next run gets.
    """

    value: bytes
    saved: bytes | None
    pieces: Sequence[Piece]
    chains: Collection[Chain]

    def is_kept(self, saver: Checkpointer) -> None:
        """Have the next turn find the lists without reading them; to be called once all of this is kept."""
        for chain in self.chains:
            recent_chains(saver).note(chain)


def left(returned: Any, before: Mapping[Path, Chain]) -> Left:
    """Encode what a workflow returned, as what it adds.

    Args:
        returned: a value, or a `final`.
        before: the long lists of what the run was given as `previous`.

    Raises:
        NotRecordable: it could not be read back.
    """
    if not isinstance(returned, final) or returned.value is returned.save:
        value = growing.fold(returned.value if isinstance(returned, final) else returned, before, _new_id)
        return Left(value=value.frame, saved=None, pieces=value.added, chains=value.chains.values())
    saved = growing.fold(returned.save, before, _new_id)
    value = growing.fold(returned.value, saved.chains, _new_id)
    return Left(value=value.frame, saved=saved.frame, pieces=[*saved.added, *value.added], chains=saved.chains.values())


def _new_id() -> str:
    """Return a name that no piece has or had: 18 hexadecimal digits, since each turn of each thread keeps one."""
    return secrets.token_hex(9)
