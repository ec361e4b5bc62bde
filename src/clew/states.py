"""`workflow.get_state` and its kin: look at a thread of a workflow, and set its value by hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from clew.errors import InvalidOption
from clew.late import late

if TYPE_CHECKING:
    from clew import configs
    from clew.engine.state import StateSnapshot
    from clew.options import Config
    from clew.runner import async_io, io, requests, states, sync_io
    from clew.runner.settings import Settings
    from clew.storage.base import Checkpointer
else:
    late(globals(), "clew.configs", "clew.runner.async_io", "clew.runner.io", "clew.runner.requests")
    late(globals(), "clew.runner.states", "clew.runner.sync_io")


class ShowsStates:
    """The part of a workflow that shows its threads, and sets their values."""

    _settings: Settings
    _bound: Mapping[str, Any]

    def get_state(self, config: Config, *, subgraphs: bool = False) -> StateSnapshot:
        """Show the thread that a config names: at its newest checkpoint, or at the one that the config names.

        Args:
            config: names the thread.
            subgraphs: whether `tasks[0].state` is to show a nested workflow in which a question waits.

        Raises:
            ValueError: there is no checkpointer, or no thread_id.
        """
        return io.run_blocking(states.get_state(sync_io.BLOCKING, *self._kept(config), subgraphs=subgraphs))

    async def aget_state(self, config: Config, *, subgraphs: bool = False) -> StateSnapshot:
        """Like `get_state`, for async code."""
        procedure = states.get_state(async_io.ON_LOOP, *self._kept(config), subgraphs=subgraphs)
        return await async_io.run_awaited(procedure)

    def get_state_history(
        self,
        config: Config,
        *,
        filter: Mapping[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[StateSnapshot]:
        """Show the checkpoints of a thread, newest first, each read when it is asked for.

        Args:
            config: names the thread.
            filter: only checkpoints whose metadata has all of this.
            before: only checkpoints older than the one that this config names.
            limit: at most so many.

        Raises:
            ValueError: there is no checkpointer, or no thread_id.
        """
        saver, thread, _ = self._kept(config)
        yield from io.each_blocking(
            states.get_history(sync_io.BLOCKING, saver, thread, filter=filter, before=before, limit=limit)
        )

    async def aget_state_history(
        self,
        config: Config,
        *,
        filter: Mapping[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """Like `get_state_history`, for async code."""
        saver, thread, _ = self._kept(config)
        history = states.get_history(async_io.ON_LOOP, saver, thread, filter=filter, before=before, limit=limit)
        async with contextlib.aclosing(history):
            async for snapshot in history:
                yield snapshot

    def update_state(self, config: Config, values: Any, as_node: str | None = None) -> dict[str, Any]:
        """Set the value of a thread by hand: the next run gets it as `previous`.

        Args:
            config: names the thread; with a checkpoint_id it forks from there.
            values: the value, or `entrypoint.final(value=..., save=...)`.
            as_node: the workflow's name, or nothing.

        Returns:
            The config of the new checkpoint.

        Raises:
            ValueError: there is no checkpointer, or no thread_id; or `as_node` names something else.
            ThreadBusy: a run holds the thread.
        """
        self._check_node(as_node)
        return io.run_blocking(states.update_state(sync_io.BLOCKING, *self._kept(config), values))

    async def aupdate_state(self, config: Config, values: Any, as_node: str | None = None) -> dict[str, Any]:
        """Like `update_state`, for async code."""
        self._check_node(as_node)
        procedure = states.update_state(async_io.ON_LOOP, *self._kept(config), values)
        return await async_io.run_awaited(procedure)

    def _kept(self, config: Config) -> tuple[Checkpointer, Any, Mapping[str, Any]]:
        saver = self._settings.kept_by
        if saver is None:
            raise InvalidOption(f"workflow {self._settings.callee.name!r} has no checkpointer, so no state is kept")
        full = configs.merged(self._bound, configs.checked(config))
        return saver, requests.thread_of(self._settings, full), full

    def _check_node(self, as_node: str | None) -> None:
        if as_node not in (None, self._settings.callee.name):
            raise InvalidOption(f"as_node must be {self._settings.callee.name!r}, the workflow itself, not {as_node!r}")
