"""Faults of networks: cuts. Packets vanish; nobody gets an error or a reset."""

from __future__ import annotations

from dataclasses import dataclass

from drharness.deployment.operations import Operations
from drharness.engines.protocol import RegionCut
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, Target, tcp
from drharness.faults.probes import services_of


@dataclass(frozen=True)
class RegionsCut(Fault):
    """Nothing passes between two regions, established connections included; both stay up.

    DNS and the out-of-band management stay reachable from both.

    :ivar both_ways: false: only from ``one`` to ``other`` (replies of ``one`` are lost as well)
    """

    one: str = "region1"
    other: str = "region2"
    both_ways: bool = True

    def breakage(self, operations: Operations) -> Breakage:
        """Each looks at what runs in the other; then the router drops what goes between them."""
        if self.one == self.other:
            raise UsageError(f"other: expected another region than one, got {self.other!r} twice.")
        probes = {_onlooker(operations, self.one): _services(operations, self.one)}
        cuts = [RegionCut(self.one, self.other)]
        if self.both_ways:
            cuts.append(RegionCut(self.other, self.one))
            probes[_onlooker(operations, self.other)] = _services(operations, self.other)
        return Breakage(
            look=tcp(operations, probes),
            targets=[self.one, self.other],
            apply=lambda: operations.cut(*cuts),
            undo=lambda: operations.heal(*cuts),
        )


def _services(operations: Operations, region: str) -> list[Target]:
    vms = operations.topology.vms_of(region)
    return services_of([vm for vm in vms if operations.is_on(vm.id)])


def _onlooker(operations: Operations, region: str) -> str:
    """An Application VM of the other region: it sees what happens to this one.

    :raises UsageError: none is on
    """
    other = operations.topology.other(region)
    for vm in operations.topology.vms_of(other, "application"):
        if operations.is_on(vm.id):
            return vm.id
    raise UsageError(f"no Application VM of {other} is on: nobody could see {region} cut off.")
