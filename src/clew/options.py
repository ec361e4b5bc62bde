"""What one may say in a call of a workflow beside its input, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from clew.errors import InvalidOption

if TYPE_CHECKING:
    from clew.configs import RunnableConfig
    from clew.engine.events import StreamMode
    from clew.runner.execution import Durability
    from clew.runner.waiting import OnConflict

    Config = RunnableConfig | Mapping[str, Any]
    Modes = StreamMode | Sequence[StreamMode]
    OnClose = Literal["stop", "detach"]


class RunOptions(TypedDict, total=False):
    """What `invoke` and `ainvoke` take by keyword, whatever they return."""

    context: Any
    durability: Durability | None
    on_conflict: OnConflict | None
    run_key: str | None
    debug: bool | None


def checked_on_conflict(on_conflict: OnConflict) -> OnConflict:
    """Return the option, if there is such a one.

    Raises:
        InvalidOption: there is not.
    """
    if on_conflict not in ("queue", "reject", "interrupt", "rollback"):
        raise InvalidOption(f"on_conflict must be 'queue', 'reject', 'interrupt' or 'rollback', not {on_conflict!r}")
    return on_conflict


def checked_key(run_key: str | None) -> str | None:
    """Return a `run_key` that is text, or None.

    Raises:
        InvalidOption: it is something else.
    """
    if run_key is not None and (not isinstance(run_key, str) or not run_key):
        raise InvalidOption(f"run_key must be text, and not empty, not {run_key!r}")
    return run_key


def detaches(on_close: str) -> bool:
    """Say whether a run goes on when the reader of its stream stops early.

    Raises:
        InvalidOption: there is no such choice.
    """
    if on_close not in ("stop", "detach"):
        raise InvalidOption(f"on_close must be 'stop' or 'detach', not {on_close!r}")
    return on_close == "detach"


def each(config: Config | Sequence[Config] | None, count: int) -> Sequence[Config | None]:
    """Return one config for each of several inputs.

    Raises:
        InvalidOption: there are more or fewer.
    """
    if isinstance(config, Sequence):
        if len(config) != count:
            raise InvalidOption(
                f"there are {count} inputs and {len(config)} configs; give one for all, or one for each"
            )
        return config
    return [config] * count
