"""Faults of networks: cuts. Packets vanish; nobody gets an error or a reset."""

from __future__ import annotations

from dataclasses import dataclass

from drharness.deployment.operations import Operations
from drharness.engines.protocol import RegionCut
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault
from drharness.faults.vm import services_of, witness


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
        """``other`` looks at what runs in ``one``; then the router drops what goes between them."""
        if self.one == self.other:
            raise UsageError(f"other: expected another region than one, got {self.other!r} twice.")
        vms = [v for v in operations.topology.vms_of(self.one) if operations.is_on(v.id)]
        operations.topology.number(self.other)
        cuts = [RegionCut(self.one, self.other)]
        if self.both_ways:
            cuts.append(RegionCut(self.other, self.one))
        return Breakage(
            probes={witness(operations, self.one): services_of(vms)},
            apply=lambda: operations.cut(*cuts),
            undo=lambda: operations.heal(*cuts),
        )
