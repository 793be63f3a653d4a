"""What a component may touch of the world: the interface each engine implements for it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from drharness.components.store import Store
from drharness.topology.profile import Profile


class NameNotFound(LookupError):
    """A name could not be resolved; the text says by whom (hosts file, server) and why."""


class Disk(Protocol):
    """Files of the VM, by absolute path; what is written survives the VM's power-off."""

    def read_text(self, path: str) -> str:
        """Content of a file.

        :raises FileNotFoundError: there is none
        """

    def write_text(self, path: str, text: str) -> None:
        """Replace a file atomically, making its directories."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""


class Child(Protocol):
    """A component started by another one (the Local Control Agent)."""

    @property
    def pid(self) -> int:
        """Process id in the VM."""

    def kill(self, signal: int) -> None:
        """Send a signal; none if it has ended."""

    async def wait(self) -> int:
        """Wait for its end: exit status, negative for a signal."""


class Environment(Protocol):
    """The world as one component sees it.

    :ivar component: own id, ``region1-framework-p.configserver``
    :ivar vm: the VM it runs on
    :ivar region: that VM's region
    :ivar address: that VM's address
    :ivar argv: command line in the real products' form (``-host H -port P -app NAME -f FILE``)
    :ivar profile: timing constants
    :ivar rng: the component's own random stream
    :ivar disk: the VM's files
    """

    component: str
    vm: str
    region: str
    address: str
    argv: Sequence[str]
    profile: Profile
    rng: random.Random
    disk: Disk

    def log(self, text: str) -> None:
        """Append a line to the component's log (time and component are added)."""

    def record(self, kind: str, /, **fields: Any) -> None:
        """Append an event to the run's history; ``t`` and ``v`` are added.

        It is never lost by a power-off.
        """

    def sample(self, kind: str, /, **fields: Any) -> None:
        """As :meth:`record`, of a look taken at every sampling interval and change.

        One that says what those before said for long may be left out, see ``history.steady``.
        """

    async def resolve(self, name: str) -> list[str]:
        """IPv4 addresses of a host name: hosts file first, then the VM's name server.

        :raises NameNotFound: no such name, no data, server failure or no answer in time
        """

    async def spawn(self, name: str, factory: str, argv: Sequence[str]) -> Child:
        """Start component ``<vm>.<name>`` from ``"module:callable"`` with a command line."""

    async def start_part(self, name: str) -> Child:
        """Start a part of this VM that waits for a component to do so; it ends with this one.

        So a component that speaks for a product of another maker runs the product itself.

        :raises OSError: the VM has no such part
        """

    def open_store(self, settings: Mapping[str, str]) -> Store:
        """A handle on the Configuration Database that the ``[dbserver]``-like settings name.

        Keys: ``dbserver`` (IPv4 address), ``dbport``, ``dbname``, ``username``, ``password``,
        ``reconnect-timeout`` and ``response-timeout`` in seconds, ``through`` (``host:port`` of
        what stands between). Connects on :meth:`Store.open`.
        """
