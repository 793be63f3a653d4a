"""Faults of machines: power, reboots, machines that hang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drharness.deployment import targets
from drharness.deployment.operations import NOT_YET, Operations
from drharness.engines.agent.processes import STOPPED
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, Look, changed, tcp
from drharness.faults.probes import ask, powered, services_of, until_changed, witness
from drharness.kernel.waiting import wait_until
from drharness.topology import Vm

_BACK_S = 20.0  # until the services of a VM that was powered on run again


@dataclass(frozen=True)
class RegionDown(Fault):
    """Every VM of a region loses its power at once: peers hear nothing, not even a FIN.

    Healing powers on those that it powered off; their services start by themselves.

    :ivar region: its name, ``active`` or ``dormant``
    """

    region: str

    def breakage(self, operations: Operations) -> Breakage:
        """The other region looks at what runs in this one; then the power is pulled."""
        region = targets.region(operations.topology, operations.active, self.region)
        vms = [v for v in operations.topology.vms_of(region) if operations.is_on(v.id)]
        if not vms:
            raise UsageError(f"region: {region!r} is down already.")
        return _power_loss(operations, vms, self.f, also=[region])


@dataclass(frozen=True)
class VmDown(Fault):
    """VMs lose their power: peers hear nothing, not even a FIN; memory and rules are lost.

    Healing powers them on; their services start by themselves, with what is on their disks.

    :ivar target: a VM, or what it is: ``active.dbms``, ``dormant.framework``
    """

    target: str

    def breakage(self, operations: Operations) -> Breakage:
        """A witness looks at a port of each; then the power is pulled."""
        return _power_loss(operations, powered(operations, self.target), self.f)


def _power_loss(
    operations: Operations, vms: Sequence[Vm], cause: str, *, also: Sequence[str] = ()
) -> Breakage:
    names = [vm.id for vm in vms]
    return Breakage(
        look=tcp(operations, {witness(operations, vms): services_of(vms)}),
        targets=[*also, *names],
        apply=lambda: operations.power_off(*names, cause=cause),
        undo=lambda: operations.power_on(*names, cause=f"{cause} healed"),
    )


@dataclass(frozen=True)
class VmRebooted(Fault):
    """VMs go off and on again at once: memory, open connections and unsaved rules are lost.

    Nobody has to heal it: the services start by themselves. ``heal()`` waits until they run.

    :ivar target: a VM, or what it is: ``active.framework-p``
    """

    target: str

    def breakage(self, operations: Operations) -> Breakage:
        """The first process of each is another one afterwards."""
        names = [vm.id for vm in powered(operations, self.target)]
        ran = {name: _services(operations, name) for name in names}

        def see() -> dict[str, str]:
            found = operations.on_all(names, "drharness.engines.agent.processes:started")
            return {f"{vm} -> first process": str(seen) for vm, seen in found.items()}

        def undo() -> None:
            for name, services in ran.items():
                _wait_back(operations, name, services)

        return Breakage(
            look=until_changed(see),
            targets=names,
            apply=lambda: operations.reboot(*names, cause=self.f),
            undo=undo,
            missing=changed,
        )


def _services(operations: Operations, vm: str) -> set[str]:
    return set(ask(operations, vm, "kept"))


def _wait_back(operations: Operations, vm: str, services: set[str]) -> None:
    """Until the services run again; a VM that somebody has powered off meanwhile is not waited for.

    :raises WaitTimeout: names those that do not run
    """
    wait_until(
        lambda: not operations.is_on(vm) or services <= _services(operations, vm),
        f"{', '.join(sorted(services))} of {vm} running again",
        timeout=_BACK_S + 3 * operations.topology.profile.retry,
        retry_on=NOT_YET,
        describe=lambda: f"running: {', '.join(sorted(_services(operations, vm))) or 'nothing'}",
    )


@dataclass(frozen=True)
class VmFrozen(Fault):
    """Every process of VMs stops where it is; the kernels still accept connections.

    Who asks gets no answer and no error, until his own deadline passes. Healing lets them go on,
    with what they believed when they were stopped.

    :ivar target: a VM, or what it is: ``active.framework-p``
    """

    target: str

    def breakage(self, operations: Operations) -> Breakage:
        """The kernel says whether any of a VM's processes can run.

        :raises UsageError: also if processes are stopped already: healing would let those go on
        """
        names = [vm.id for vm in powered(operations, self.target)]
        stopped = [name for name in names if STOPPED in ask(operations, name, "states").values()]
        if stopped:
            raise UsageError(
                f"target: expected VMs in which nothing is frozen, got {self.target!r}; "
                f"{', '.join(stopped)} has stopped processes."
            )

        def undo() -> None:
            on = [name for name in names if operations.is_on(name)]
            operations.thaw(*on, cause=f"{self.f} healed")
            for name in on:
                _wait_thawed(operations, name)

        return Breakage(
            look=_processes(operations, names),
            targets=names,
            apply=lambda: operations.freeze(*names, cause=self.f),
            undo=undo,
            missing=changed,
        )


def _processes(operations: Operations, names: Sequence[str]) -> Look:
    """Whether any process of each VM can run; a VM half of whose processes stopped says running."""

    def see() -> dict[str, str]:
        found = {name: set(ask(operations, name, "states").values()) for name in names}
        return {
            f"{name} -> processes": "stopped" if states == {STOPPED} else "running"
            for name, states in found.items()
        }

    return until_changed(see)


def _wait_thawed(operations: Operations, vm: str) -> None:
    wait_until(
        lambda: STOPPED not in ask(operations, vm, "states").values(),
        f"processes of {vm} going on",
        timeout=_BACK_S,
        interval=0.001,
        retry_on=NOT_YET,
    )
