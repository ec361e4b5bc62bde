"""Hosts of their own on one machine: network namespaces of Linux, each with an address and a link that can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator


def why_not() -> str | None:
    """Say what is missing to make hosts; None where nothing is."""
    if not shutil.which("ip"):
        return "there is no ip command (Debian: apt install iproute2)"
    return None if os.geteuid() == 0 else "only root may make network namespaces"


class Host:
    """A network namespace and its link to this machine.

    Args:
        number: 0 to 63, unlike that of any other host.
    """

    def __init__(self, number: int) -> None:
        self._name = f"clew-{os.getpid()}-{number}"
        self._here, self._there = f"clew{number}h", f"clew{number}t"
        #: Of this machine as the host sees it, and the host's own.
        self.gateway, self.address = f"10.231.77.{4 * number + 1}", f"10.231.77.{4 * number + 2}"

    @property
    def inside(self) -> list[str]:
        """What goes before a command that is to run there."""
        return ["ip", "netns", "exec", self._name]

    def make(self) -> None:
        _ip("netns", "add", self._name)
        _ip("link", "add", self._here, "type", "veth", "peer", self._there, "netns", self._name)
        _ip("address", "add", f"{self.gateway}/30", "dev", self._here)
        _ip("link", "set", self._here, "up")
        _ip("-n", self._name, "address", "add", f"{self.address}/30", "dev", self._there)
        _ip("-n", self._name, "link", "set", self._there, "up")
        _ip("-n", self._name, "link", "set", "lo", "up")

    def cut(self) -> None:
        """Let nothing through. Nobody is told."""
        _ip("link", "set", self._here, "down")

    def mend(self) -> None:
        _ip("link", "set", self._here, "up")

    def remove(self) -> None:
        _ip("link", "delete", self._here)
        _ip("netns", "delete", self._name)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Give hosts for the length of a block.

    Raises:
        subprocess.CalledProcessError: they could not be made; see `why_not`.
    """
    with contextlib.ExitStack() as stack:
        made = [Host(number) for number in range(count)]
        for host in made:
            host.make()
            stack.callback(host.remove)
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
