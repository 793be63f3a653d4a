"""Deployments of this process that can outlive it: handed over to a keeper, machines and all.

The machines' guards are forked by a keeper in waiting and watch it, while this process operates
them. So a deployment can be kept (after a test failed, say) without anything in it noticing. Should
this process end first, the machines end with their channels; should the keeper, by its guards.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drharness.deployment import census, channels, engines, evidence, kept, register
from drharness.deployment.deployment import Deployment
from drharness.deployment.kept import Kept
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.engines.protocol import Site
from drharness.errors import EngineLost
from drharness.history import store
from drharness.history.recorder import Recorder
from drharness.topology import Topology

_AT_ONCE = 16  # descriptors in one message


class Custody:
    """A keeper in waiting, for one deployment after the other until it is given one.

    :ivar taken: it has been given one, and is its keeper now
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.taken = False
        self._asking = threading.Lock()  # one that was given back may still be forking for a start
        self._starting = kept.Starting()
        self._starter = self._starting.channel
        try:
            self._asked({"op": "wait", "scale": scale})
        except BaseException:
            self.close()
            raise

    def fork(self, spec: Any, fds: tuple[int, ...]) -> None:
        """Have a guard forked there; what ``engines.portable`` takes."""
        self._asked({"op": "fork", "spec": msgspec.to_builtins(spec)}, fds)

    def keep(
        self, deployment: Deployment, name: str, *, origin: str, lifetime: float = kept.LIFETIME_S
    ) -> Kept:
        """Hand a deployment over; nothing can be done with the object any more.

        Its traffic is stopped. Faults in force stay in force; the keeper cannot heal them.

        :param origin: what it is kept for, for the record
        :raises UsageError: the name is taken; nothing has happened
        """
        traffic = deployment.current_traffic
        if traffic is not None:
            traffic.stop()
        deployment.recorder.record("note", text=f"handed over to the keeper {name}")
        self._asked({"op": "keep", "name": name, "origin": origin, "lifetime": lifetime})
        self.taken = True
        state = {
            "evidence": str(deployment.evidence),
            "topology": deployment.topology.as_dict(),
            "next": deployment.recorder.next,
            "plans": deployment.plans,
            "faults": [*deployment.earlier, *map(repr, deployment.in_force)],
            "carried": deployment.operations.carried(),
        }
        held = deployment.give()
        names = list(held)
        try:
            for first in range(0, len(names), _AT_ONCE):
                some = names[first : first + _AT_ONCE]
                message = {"names": some, "all": len(names), "state": state}
                channels.send(self._starter, message, tuple(held[n] for n in some))
        finally:
            for fd in held.values():
                os.close(fd)
        self._answer()
        self.close()
        record = register.find(name)
        if record is None:
            raise EngineLost(f"deployment {name!r} ended as soon as it was kept.")
        return Kept(record)

    def close(self) -> None:
        """It ends, unless it has been given a deployment."""
        self._starting.close()

    def _asked(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        with self._asking:
            channels.send(self._starter, message, fds)
            self._answer()

    def _answer(self) -> None:
        try:
            channels.value_of(channels.receive(self._starter))
        except ChannelClosed as error:
            raise EngineLost(f"the keeper in waiting ended:\n{self._starting.said}") from error


# -- in the keeper's process -----------------------------------------------------------------


def wait(starter: Channel) -> Message:
    """Fork guards until a deployment is to be kept; what is said of it.

    :raises ChannelClosed: the other process has ended, or needs no keeper any more
    """
    fork = engines.forker()
    channels.send(starter, {"value": True})
    while True:
        message = channels.receive(starter)
        if message["op"] == "keep":
            return message
        try:
            fork(message["spec"], tuple(message["fds"]))
            answer: Message = {"value": True}
        except EngineLost as error:
            answer = {"error": channels.told(error)}
        finally:
            _close(message["fds"])
        channels.send(starter, answer)


@contextmanager
def take(wanted: Message, starter: Channel) -> Iterator[Deployment]:
    """The deployment that the other process hands over now; taken down at the end."""
    held: dict[str, int] = {}
    while True:
        message = channels.receive(starter)
        held |= dict(zip(message["names"], message["fds"], strict=True))
        if len(held) == message["all"]:
            break
    state = message["state"]
    run, topology = Path(state["evidence"]), Topology.from_dict(state["topology"])
    site = Site(topology=topology, evidence=run, files={}, keep=(), seed="")
    machines = engines.taken(site, held)
    file = store.AppendFile(run / store.RECORD)
    try:
        recorder = Recorder(file, first=state["next"])
        active = state["carried"]["active"]
        deployment = Deployment(topology, machines, recorder, run, active)
        deployment.operations.carry_on(state["carried"])
        deployment.operations.on_boot = partial(census.fence, deployment.operations)
        deployment.plans, deployment.earlier = state["plans"], tuple(state["faults"])
        evidence.mark_open(run)
        yield deployment
    finally:
        machines.down()
        file.close()
        evidence.close_run(run)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
