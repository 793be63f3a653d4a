"""The machines of the docker engine: a container per VM, a network per region, one router."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from drharness.engines.agent.channel import Message
from drharness.engines.client import Link, result
from drharness.engines.docker import collector, modules
from drharness.engines.docker.guests import Guests
from drharness.engines.docker.place import Place, join
from drharness.engines.docker.reaper import DONE
from drharness.engines.docker.vessel import Net, Vessel
from drharness.engines.local.launcher import PRELOAD
from drharness.engines.machines import AgentMachines
from drharness.engines.protocol import Holds, ProbeStep, Site
from drharness.errors import DrHarnessError, EngineLost, StartupFailed
from drharness.kernel import proc
from drharness.kernel.waiting import scaled
from drharness.topology import Vm

_START_S = 60.0
_COLLECT_S = 20.0
_CABLE_S = 5.0
_AT_ONCE = 12
_CREATED_AT_ONCE = 4  # more only make the first ones wait: it is the daemon's work
_OF_DATABASES = ("drharness.dbms.", "drharness.deployment.", "drharness.components.configserver")
not_down: set[DockerMachines] = set()


class DockerMachines(AgentMachines):
    """The machines of one deployment (see ``protocol.Machines``).

    :ivar run: what all that is made for it is labelled with
    """

    boot_s = _START_S

    def __init__(self, site: Site, places: Sequence[Place]) -> None:
        super().__init__(site)
        self._places = tuple(places)
        self._place_of = {n: place for place in places for n in place.numbers}
        self.run = site.evidence.name
        self._modules = modules.files(target for _, target in site.topology.replaced)
        self._vessels: dict[str, Vessel] = {}
        self._coming: dict[str, Future[None]] = {}
        self._between: Net | None = None
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drharness-docker")
        self._makers = ThreadPoolExecutor(_CREATED_AT_ONCE, thread_name_prefix="drharness-create")
        self._reaper: proc.Popen | None = None
        self._guests = {place: Guests(place.client, self.run, site.evidence) for place in places}
        not_down.add(self)

    # -- up --------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the reaper, then make networks, disks and routers; containers are on their way."""
        for name in self._machines:
            (self._site.evidence / "vms" / name).mkdir(parents=True, exist_ok=True)
        self._reaper = self._start_reaper()
        for place in self._places:
            place.make(self.run, self._each)
        self._between = join(self.run, self._places)
        between = self._between.name if self._between else ""
        routers = [self._makers.submit(it.create_router, self.run, between) for it in self._places]
        self._create_vessels()
        for router in routers:
            router.result()
        ways = {
            number: place.address_on(between)
            for place in self._places
            for number in (place.numbers if between else ())
        }
        for place in self._places:
            if place.vessel is not None:
                place.router = self._greet(place.vessel, place.about(ways))
                place.compare_clocks()
        self.unsure_ns = max(place.unsure_ns for place in self._places)

    def _create_vessels(self) -> None:
        """Have containers made and started, first those of the VMs that are needed first.

        The VMs have no power yet: each container's PID 1 waits to be told what it is.
        """
        held = set(self._site.hold) - set(self._site.soon)
        vms = [vm for vm in self._site.topology.vms if vm.id not in held]
        for vm in sorted(vms, key=lambda vm: vm.id in self._site.soon):
            self._coming[vm.id] = self._makers.submit(self._new_vessel(vm).create)

    def _new_vessel(self, vm: Vm) -> Vessel:
        vessel = self._place_of[vm.number].new_vessel(self.run, vm)
        self._vessels[vm.id] = vessel
        return vessel

    def _start_reaper(self) -> proc.Popen:
        contexts = [place.context for place in self._places]
        argv = [sys.executable, "-m", "drharness.engines.docker.reaper", self.run, *contexts]
        log = os.open(self._site.evidence / "reaper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        try:
            return proc.attend(argv, env=env, stderr=log)
        finally:
            os.close(log)

    def _greet(self, vessel: Vessel, first: Message) -> Link:
        """Tell a container's PID 1 what it is, and wait until it is that."""
        channel = vessel.attach()
        link = Link(vessel.name, channel, self._event)
        started = self._booting[vessel.name] = Future()
        channel.send(first)
        self._dispatcher.add(link)
        try:
            started.result(scaled(_START_S))
        except (EngineLost, TimeoutError) as error:
            said = channel.errors.decode(errors="replace").strip()
            raise StartupFailed(f"{vessel.name} did not start: {error}\n{said}") from error
        return link

    def _event(self, source: str, message: Message) -> None:
        future = self._booting.get(source)
        if message["event"] == "wrote":
            collector.keep(self._site.evidence, message)
        elif message["event"] == "guest":
            self._threads.submit(self._start_guest, source, message)
        elif message["event"] == "shape_exit":
            self.lost[message["shape"]] = f"ended with status {message['status']}"
        elif future is not None and not future.done():
            if message["event"] == "up":
                future.set_result(None)
            else:
                future.set_exception(EngineLost(f"{source} ended while it was starting"))
        elif message["event"] == "closed" and source in self._machines:
            machine = self._machines[source]
            if machine.link is not None:  # else it was powered off
                machine.detach()
                self.lost[source] = "its container ended"

    def _start_guest(self, vm: str, wanted: Message) -> None:
        container = self._vessels[vm].inner.id
        try:
            self._guests_of(vm).start(vm, container, wanted)
        except EngineLost as error:
            asked = {"token": wanted["token"], "text": str(error)}
            self._machines[vm].submit("guest_failed", timeout=5.0, **asked)

    def _each(self, work: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
        return [done.result() for done in [self._threads.submit(work, it) for it in things]]

    # -- what a deployment asks for ----------------------------------------------------------

    def _start_agents(self, vms: Sequence[str]) -> None:
        self._each(self._start_vm, vms)

    def _start_vm(self, name: str) -> None:
        vm = self._site.topology.vm(name)
        vessel, coming = self._vessels.get(name), self._coming.pop(name, None)
        if vessel is None:
            vessel = self._new_vessel(vm)
            vessel.create()
        elif coming is not None:
            coming.result()
        else:
            vessel.start()
        behind = self._place_of[vm.number].behind_ns
        first = {
            "spec": msgspec.to_builtins(self._spec(vm, self._modules)),
            "behind_ns": behind,
            "preload": _preloaded(vm.role),
        }
        link = self._greet(vessel, first)
        self._machines[name].attach(link)

    def power_off(self, *vms: str) -> None:
        """Pull the cables, then the power: nothing in the VMs runs when this returns."""
        self._each(self._stop_vm, [vm for vm in vms if self._machines[vm].link is not None])

    def _stop_vm(self, vm: str) -> None:
        machine = self._machines[vm]
        with contextlib.suppress(EngineLost):  # it has ended by itself
            result(self._cable(vm, "cable", up=False), f"cable of {vm}", _CABLE_S)
        machine.detach()
        self._vessels[vm].kill()
        self._guests_of(vm).end(vm)

    def _guests_of(self, vm: str) -> Guests:
        return self._guests[self._place_of[self._site.topology.vm(vm).number]]

    def _line(self, number: int) -> Link:
        return self._place_of[number].router

    def _leg(self, number: int) -> dict[str, Any]:
        return {"leg": number}

    def _cable(self, vm: str, op: str, **fields: Any) -> Future[Any]:
        return self._machines[vm].submit(op, timeout=_CABLE_S, **fields)

    def collect(self) -> None:
        """What the VMs have written until now is in the evidence when this returns."""
        if self not in not_down:
            return
        asked = [p.router.submit("collect") for p in self._places if p.has_router]
        for answer in asked:
            result(answer, "what the VMs have written", _COLLECT_S)
        for guests in self._guests.values():
            guests.collect()

    def power(self, name: str) -> ProbeStep:
        """Whether this host has a power that not every deployment needs."""
        return ProbeStep(name, ok=True, required=False)

    def holds(self) -> Holds:
        """What this deployment holds of this process."""
        reaper = self._reaper
        return Holds(
            processes=frozenset({reaper.pid} if reaper else ()),
            descriptors=frozenset(self._dispatcher.descriptors),
            threads=frozenset({self._dispatcher.thread}),
        )

    def down(self) -> None:
        """End everything; nothing is left but the evidence when this returns."""
        if self not in not_down:
            return
        with contextlib.suppress(DrHarnessError):  # the router has gone: there is no more to have
            self.collect()
        not_down.discard(self)
        self._dispatcher.stop()
        self._threads.shutdown()
        self._makers.shutdown(cancel_futures=True)
        for vessel in self._vessels.values():
            vessel.close()
        if self._between is not None:
            self._between.close()
        for place in self._places:
            place.close()
        reaper, self._reaper = self._reaper, None
        if reaper is None:
            return
        if not proc.ended(reaper, within=scaled(_START_S), told=DONE):
            raise EngineLost(f"{self.run}: its reaper is not done; it goes on")
        if reaper.returncode:
            text = (self._site.evidence / "reaper.log").read_text(errors="replace")
            raise EngineLost(f"{self.run}: something is left:\n{text[-2000:]}")


def _preloaded(role: str) -> list[str]:
    """Modules that a VM of that role has from the start; those of databases take their time."""
    needless = _OF_DATABASES if role in ("dns", "application") else ()
    return [name for name in PRELOAD if not name.startswith(needless)]
