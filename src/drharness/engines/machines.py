"""What the machines of every engine have in common: agents to ask, and one who has the lines."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from drharness.engines.client import AgentMachine, Dispatcher, Link, result
from drharness.engines.local.machine import MachineSpec
from drharness.engines.protocol import (
    Cut,
    PacketCut,
    RegionCut,
    RegionDelay,
    RegionLoss,
    Shape,
    Site,
)
from drharness.errors import DrHarnessError
from drharness.topology import Vm, addresses

_ANSWER_S = 5.0


class AgentMachines(ABC):
    """Power, cuts and shapes of a deployment's machines (see ``protocol.Machines``).

    :cvar boot_s: by when a VM has to have booted
    """

    boot_s: float
    unsure_ns = 0

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dispatcher = Dispatcher()
        self._machines = {vm.id: AgentMachine(vm.id) for vm in site.topology.vms}
        self._booting: dict[str, Future[None]] = {}
        self.lost: dict[str, str] = {}

    @abstractmethod
    def _start_agents(self, vms: Sequence[str]) -> None:
        """Have VMs made, and wait until their agents are there."""

    @abstractmethod
    def _line(self, number: int) -> Link:
        """Who has the line into a network, and the disks of its VMs."""

    @abstractmethod
    def _leg(self, number: int) -> dict[str, Any]:
        """What that one calls the line."""

    @abstractmethod
    def _cable(self, vm: str, op: str, **fields: Any) -> Future[Any]:
        """Ask whoever can touch a VM's cable."""

    @abstractmethod
    def power_off(self, *vms: str) -> None:
        """Pull the cables, then the power: nothing in the VMs runs when this returns."""

    def _spec(self, vm: Vm, more: Mapping[str, str] | None = None) -> MachineSpec:
        """What the first process of a VM must know; with more files on its disk than the site's."""
        return MachineSpec(
            id=vm.id,
            region=vm.region,
            address=vm.address,
            prefix=addresses.PREFIX,
            router=addresses.router(vm.number),
            bridge=f"br-{vm.number}",
            files={**self._site.files.get(vm.id, {}), **(more or {})},
            profile=asdict(self._site.topology.profile),
            seed=self._site.seed,
        )

    def machine(self, vm: str) -> AgentMachine:
        """The VM of that id."""
        self._site.topology.vm(vm)
        return self._machines[vm]

    def power_on(self, *vms: str, hold: bool = False) -> None:
        """Boot; with ``hold`` prepare the VM (firewall) but start no service.

        A VM that is on already (it was held) only gets its services started.
        """
        off = [vm for vm in vms if not self._machines[vm].is_on]
        try:
            self._start_agents(off)
        except BaseException:
            with contextlib.suppress(DrHarnessError):  # the first error is the one to tell
                self.power_off(*off)
            raise
        boots = [
            (vm, self._machines[vm].submit("boot", timeout=self.boot_s, hold=hold)) for vm in vms
        ]
        for vm, booted in boots:
            result(booted, f"boot of {vm}", self.boot_s)

    def freeze(self, *vms: str) -> None:
        """Stop every process in the VMs; their kernels still answer."""
        self._ask(vms, "freeze")

    def thaw(self, *vms: str) -> None:
        """Let them go on."""
        self._ask(vms, "thaw")

    def _ask(self, vms: Sequence[str], op: str) -> None:
        answers = [(vm, self._machines[vm].submit(op, timeout=_ANSWER_S)) for vm in vms]
        for vm, answer in answers:
            result(answer, f"{op} {vm}", _ANSWER_S)

    def cut(self, cut: Cut) -> None:
        """Apply a cut; established connections are cut too, and nobody is told."""
        self._set_cut(cut, on=True)

    def heal(self, cut: Cut) -> None:
        """Undo that cut and only that."""
        self._set_cut(cut, on=False)

    def _set_cut(self, cut: Cut, *, on: bool) -> None:
        if isinstance(cut, PacketCut):
            future = self._filter(cut, on=on)
        elif isinstance(cut, RegionCut):
            source, target = (self._site.topology.number(r) for r in (cut.source, cut.target))
            future = self._line(target).submit(
                "between",
                source=addresses.network(source),
                target=addresses.network(target),
                on=on,
            )
        elif cut.direction == "both":
            future = self._cable(cut.vm, "cable", up=not on)
        elif cut.direction == "in":
            future = self._cable(cut.vm, "into", on=on)
        else:
            future = self._machines[cut.vm].submit("cut", timeout=_ANSWER_S, on=on)
        result(future, f"{cut}", _ANSWER_S)

    def _filter(self, cut: PacketCut, *, on: bool) -> Future[Any]:
        kind = "-answers" if cut.answers else ""
        name = f"drharness-{cut.source}-{cut.port}-{cut.how}{kind}"
        target = self._machines[cut.target]
        if not on:
            return target.submit("unfilter", timeout=_ANSWER_S, name=name)
        fields = {"port": cut.port, "how": cut.how, "answers": cut.answers}
        source = self._site.topology.vm(cut.source).address
        return target.submit("filter", timeout=_ANSWER_S, name=name, source=source, **fields)

    def shape(self, shape: Shape) -> None:
        """Delay, lose or limit what goes between regions, over established connections too."""
        self._set_shape(shape, on=True)

    def unshape(self, shape: Shape) -> None:
        """Undo that shape and only that."""
        self._set_shape(shape, on=False)

    def _set_shape(self, shape: Shape, *, on: bool) -> None:
        source, target = (self._site.topology.number(r) for r in (shape.source, shape.target))
        if isinstance(shape, RegionDelay):
            kind, value = "delay", shape.seconds
        elif isinstance(shape, RegionLoss):
            kind, value = "loss", shape.share
        else:
            kind, value = "rate", shape.bits_per_s
        answer = self._line(target).submit(
            "shape",
            label=f"{kind} {shape.source} -> {shape.target}",
            kind=kind,
            source=addresses.network(source),
            target=addresses.network(target),
            **self._leg(target),
            number=16 * source + target,
            value=value,
            on=on,
        )
        result(answer, f"{shape}", _ANSWER_S)

    def limit_disk(self, vm: str, free: int | None) -> None:
        """Leave a VM's disk that many free bytes; None: all of its size."""
        it = self._site.topology.vm(vm)
        answer = self._line(it.number).submit("limit_disk", vm=it.id, free=free)
        result(answer, f"disk of {vm}", _ANSWER_S)
