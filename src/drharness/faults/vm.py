"""Faults of machines: power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drharness.deployment.operations import Operations
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, Target, tcp
from drharness.topology import Vm, addresses

_PORTS = {
    "dbms": addresses.POSTGRES_PORT,
    "framework": addresses.LCA_PORT,
    "application": addresses.LCA_PORT,
}


def witness(operations: Operations, region: str) -> str:
    """A VM outside a region that can see what happens to it.

    :raises UsageError: none is on
    """
    topology = operations.topology
    other = topology.other(region)
    for vm in topology.vms_of(other, "application"):
        if operations.is_on(vm.id):
            return vm.id
    raise UsageError(f"no Application VM of {other} is on: nobody could see {region} go down.")


def services_of(vms: Sequence[Vm]) -> list[Target]:
    """A port of each VM that answers when all is well."""
    return [(vm.address, _PORTS[vm.role]) for vm in vms]


@dataclass(frozen=True)
class RegionDown(Fault):
    """Every VM of a region loses its power at once: peers hear nothing, not even a FIN.

    Healing powers on those that it powered off; their services start by themselves.
    """

    region: str

    def breakage(self, operations: Operations) -> Breakage:
        """The other region looks at what runs in this one; then the power is pulled."""
        vms = [v for v in operations.topology.vms_of(self.region) if operations.is_on(v.id)]
        if not vms:
            raise UsageError(f"region: {self.region!r} is down already.")
        names = [vm.id for vm in vms]
        return Breakage(
            look=tcp(operations, {witness(operations, self.region): services_of(vms)}),
            targets=[self.region, *names],
            apply=lambda: operations.power_off(*names, cause=self.f),
            undo=lambda: operations.power_on(*names, cause=f"{self.f} healed"),
        )
