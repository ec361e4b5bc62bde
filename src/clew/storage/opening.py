"""Small comforts that every saver and store shares: opening for the length of a block, in both colours."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Generic, Protocol, TypeVar


class Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closes)


class Opened(Generic[C]):
    """Opens something at the start of a `with` or `async with` block and closes it at the end."""

    def __init__(self, open: Callable[[], C]) -> None:
        self._open = open
        self._opened: C | None = None

    def __enter__(self) -> C:
        self._opened = self._open()
        return self._opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.close()

    async def __aenter__(self) -> C:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class Setup:
    """What `setup()` gives back: done already, and yet it may be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield
