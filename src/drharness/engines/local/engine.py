"""The local engine, controller's side: a launcher per process, machines per deployment."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from drharness.engines.agent import channel
from drharness.engines.agent.channel import Channel, Message
from drharness.engines.client import Link, result
from drharness.engines.local import doctor, launching, remains
from drharness.engines.local.outer import Network, OuterSpec
from drharness.engines.machines import AgentMachines
from drharness.engines.protocol import Holds, ProbeStep, Site
from drharness.errors import EngineLost, StartupFailed
from drharness.kernel.waiting import scaled
from drharness.topology import Topology, addresses

_START_S = 20.0
_not_down: set[LocalMachines] = set()
_given: set[Path] = set()  # directories of deployments that another process goes on with


def _networks(topology: Topology) -> list[Network]:
    return [
        Network(f"br-{number}", addresses.router(number), addresses.PREFIX)
        for number in range(len(topology.regions) + 1)
    ]


def _host_directories() -> list[str]:
    paths = [*sys.path, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    return [*paths, str(Path(__file__).parents[3])]


class LocalMachines(AgentMachines):
    """The machines of one deployment (see ``protocol.Machines``)."""

    boot_s = _START_S

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._up: Future[None] = Future()
        ours, self._theirs = channel.pair()
        self._outer = Link("the outer namespace", Channel(ours), self._event)
        self._alive, self._guards_end = os.pipe()
        self._log = site.evidence / "engine.log"
        self._guard = 0
        _not_down.add(self)

    def launch(self) -> None:
        """Have a guard forked that makes the outer namespace."""
        site = self._site
        spec = OuterSpec(
            run=str(site.evidence),
            networks=_networks(site.topology),
            machines=[self._spec(vm) for vm in site.topology.vms],
            keep=[*_host_directories(), *site.keep],
            nameserver="127.0.0.1",
        )
        for name in ("vms", "disks"):
            (site.evidence / name).mkdir(parents=True, exist_ok=True)
        self._dispatcher.add(self._outer)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            self._have_forked(spec, (self._theirs.fileno(), self._guards_end, log))
        finally:
            os.close(log)
            self._let_go()

    def _have_forked(self, spec: OuterSpec, fds: tuple[int, int, int]) -> None:
        launching.get().launch(spec, fds)

    def _let_go(self) -> None:
        """Close what only the guard may hold: its end of the pipe tells us when all is gone."""
        self._theirs.close()
        if self._guards_end >= 0:
            os.close(self._guards_end)
            self._guards_end = -1

    def _event(self, source: str, message: Message) -> None:
        future = self._booting.get(source, self._up)
        if message["event"] == "guard":
            self._guard = message["pid"]
        elif message["event"] == "up":
            if not future.done():
                future.set_result(None)
        elif message["event"] == "closed" and not future.done():
            future.set_exception(EngineLost(f"{source} ended while it was starting"))
        elif message["event"] == "closed" and source == self._outer.name:
            for vm in self._machines.values():
                if vm.is_on:
                    self.lost[vm.id] = "ended with all others"
        elif message["event"] == "shape_exit":
            self.lost[message["shape"]] = f"ended with status {message['status']}"
        elif message["event"] == "vm_exit":
            self.lost[message["vm"]] = f"ended with status {message['status']}"
            self._machines[message["vm"]].detach()

    def _wait_started(self, what: str, future: Future[None]) -> None:
        try:
            future.result(scaled(_START_S))
        except (EngineLost, TimeoutError) as error:
            raise StartupFailed(f"{what} did not start: {error}\n{self._last_words()}") from error

    def wait_up(self) -> None:
        """Wait for the outer namespace.

        :raises StartupFailed: with what it said
        """
        self._wait_started("the local engine", self._up)

    def _last_words(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return f"{text[-2000:]}\n  run `drharness doctor` to see what this host lacks"

    def _start_agents(self, vms: Sequence[str]) -> None:
        """Have VMs made, and wait until their agents are there."""
        links: list[tuple[str, Link]] = []
        for vm, answer in [(vm, self._outer.submit("power_on", vm=vm)) for vm in vms]:
            self._booting[vm] = Future()
            (fd,) = result(answer, f"power on {vm}", _START_S)
            links.append((vm, Link(vm, Channel(socket.socket(fileno=fd)), self._event)))
            self._dispatcher.add(links[-1][1])
        for vm, link in links:
            self._wait_started(vm, self._booting[vm])
            self._machines[vm].attach(link)

    def power_off(self, *vms: str) -> None:
        """Pull the cables, then the power: nothing in the VMs runs when this returns."""
        answers = [(vm, self._outer.submit("power_off", vm=vm)) for vm in vms]
        for vm, answer in answers:
            result(answer, f"power off {vm}", _START_S)
            self._machines[vm].detach()

    def _line(self, number: int) -> Link:
        return self._outer

    def _leg(self, number: int) -> dict[str, Any]:
        return {"bridge": f"br-{number}"}

    def _cable(self, vm: str, op: str, **fields: Any) -> Future[Any]:
        return self._outer.submit(op, vm=vm, **fields)

    def collect(self) -> None:
        """Nothing to do: the VMs write into the evidence themselves."""

    def power(self, name: str) -> ProbeStep:
        """Whether this host has a power that not every deployment needs."""
        return doctor.power(name)

    def holds(self) -> Holds:
        """What this deployment holds of this process."""
        return Holds(
            trees=frozenset({self._guard} - {0}),
            coming=int(self._guard == 0),
            descriptors=frozenset({self._alive, *self._dispatcher.descriptors}),
            threads=frozenset({self._dispatcher.thread}),
        )

    def _gave(self) -> None:
        """Another process has them: nothing can be done with them here, nor is anything to end."""
        self._alive = -1
        self._dispatcher.stop()  # closes what was copied, and shuts nothing down
        _given.add(self._site.evidence)
        _not_down.discard(self)

    def down(self) -> None:
        """End everything; nothing is left but the evidence when this returns."""
        if self._alive < 0:
            return
        self._let_go()
        with contextlib.suppress(OSError):  # it has gone by itself
            self._outer.channel.socket.shutdown(socket.SHUT_RDWR)
        poll = select.poll()
        poll.register(self._alive, select.POLLIN | select.POLLHUP)
        gone = poll.poll(scaled(_START_S) * 1000)
        self._dispatcher.stop()
        alive, self._alive = self._alive, -1
        os.close(alive)
        _not_down.discard(self)
        if not gone:
            raise EngineLost("the outer namespace did not end; its guard still runs")
        disks = Path(self._site.evidence) / "disks"
        if disks.exists():
            disks.rmdir()


class LocalEngine:
    """Runs deployments in Linux namespaces on this host (see ``protocol.Engine``)."""

    name = "local"

    def probe(self) -> list[ProbeStep]:
        """What this host can do, step by step."""
        return doctor.probe()

    def start(self, site: Site) -> LocalMachines:
        """Make all machines and boot those that are not held."""
        machines = self._machines_of(site)
        try:
            machines.launch()
            machines.wait_up()
            machines.power_on(*(vm.id for vm in site.topology.vms if vm.id not in site.hold))
        except BaseException:
            machines.down()
            raise
        return machines

    def _machines_of(self, site: Site) -> LocalMachines:
        return LocalMachines(site)

    def holds(self) -> Holds:
        """What the launcher and the deployments that are not down hold of this process."""
        launcher = launching.running()
        found = [machines.holds() for machines in tuple(_not_down)]
        own = launcher.descriptors if launcher is not None else set()
        return Holds(
            trees=frozenset().union(*(h.trees for h in found)),
            coming=sum(h.coming for h in found),
            processes=frozenset() if launcher is None else frozenset({launcher.process.pid}),
            descriptors=frozenset(own).union(*(h.descriptors for h in found)),
            threads=frozenset().union(*(h.threads for h in found)),
        )

    def left(self, run: Path) -> dict[str, list[str]]:
        """What is left of the deployment with that directory: taken down, or given away."""
        launcher = launching.running()
        pid = None if launcher is None else launcher.process.pid
        return remains.left(run, pid, self.holds(), given=run in _given)
