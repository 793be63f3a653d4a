"""Machines that can go from one controller to another while they run.

Their guard is forked by somebody else's launcher and watches that process: who has it forked and
who operates the machines need not be the same. From giving to taking nobody reads what the machines
say; the kernel keeps it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace

from drharness.engines.agent.channel import Channel
from drharness.engines.client import Link
from drharness.engines.local import launching
from drharness.engines.local.engine import LocalEngine, LocalMachines
from drharness.engines.local.outer import OuterSpec
from drharness.engines.protocol import Holds, Site

_OUTER, _ALIVE = "outer", "alive"
Fork = Callable[[OuterSpec, tuple[int, int, int]], None]


class PortableMachines(LocalMachines):
    """Machines of this process until it gives them away.

    :param fork: has their guard forked
    """

    def __init__(self, site: Site, fork: Fork) -> None:
        super().__init__(site)
        self._fork = fork

    def _have_forked(self, spec: OuterSpec, fds: tuple[int, int, int]) -> None:
        self._fork(spec, fds)

    def holds(self) -> Holds:
        """What this deployment holds of this process; its processes are the other's."""
        return replace(super().holds(), trees=frozenset(), coming=0)

    def give(self) -> dict[str, int]:
        """Let go of them; descriptors by what they are for, to be closed by the caller.

        From now on nothing can be done with this object, and its ``down`` has nothing to do.
        """
        on = {name: it.link for name, it in self._machines.items() if it.is_on and it.link}
        held = {_ALIVE: self._alive, _OUTER: os.dup(self._outer.channel.fileno())}
        held |= {name: os.dup(link.channel.fileno()) for name, link in on.items()}
        self._gave()
        return held


class TakenMachines(LocalMachines):
    """Machines that another controller has given away; their guard watches this process.

    :param site: only its topology and its evidence count
    :param held: what :meth:`PortableMachines.give` gave; it belongs to this object now
    """

    def __init__(self, site: Site, held: Mapping[str, int]) -> None:
        super().__init__(site)
        self._let_go()
        os.close(self._alive)
        self._outer.channel.close()
        self._up.set_result(None)
        links = {
            name: Link(
                self._outer.name if name == _OUTER else name,
                Channel(socket.socket(fileno=fd)),
                self._event,
            )
            for name, fd in held.items()
            if name != _ALIVE
        }
        self._alive, self._outer = held[_ALIVE], links.pop(_OUTER)
        self._dispatcher.add(self._outer)
        for vm, link in links.items():
            self._booting[vm] = self._up
            self._dispatcher.add(link)
            self._machines[vm].attach(link)


class PortableEngine(LocalEngine):
    """The local engine, its machines' guards forked by somebody else."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork

    def _machines_of(self, site: Site) -> LocalMachines:
        return PortableMachines(site, self._fork)


def forker() -> Fork:
    """Has guards forked by this process's launcher, which is started now."""
    return launching.get().launch
