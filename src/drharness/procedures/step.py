"""One step of a procedure: an action, and the proof by effect that it was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError
from drharness.topology import Topology


class StepFailed(DrHarnessError):
    """A step was carried out, but its effect was not seen in time."""


class StepRefused(DrHarnessError):
    """A step would not be safe or cannot succeed; nothing was changed by it."""


@dataclass(frozen=True)
class Context:
    """What a step works on.

    :ivar to: region that becomes active; ``old``: the one that was
    :ivar plan: number of this run of the procedure in the deployment
    :ivar token: random token of this run, for the epoch it may open
    """

    operations: Operations
    to: str
    old: str
    plan: int
    token: str

    @property
    def topology(self) -> Topology:
        """What the deployment consists of."""
        return self.operations.topology

    def vms(self, region: str, role: str) -> list[str]:
        """Ids of the VMs of a role that are on."""
        found = self.topology.vms_of(region, role)
        return [vm.id for vm in found if self.operations.is_on(vm.id)]

    def reachable(self, role: str) -> list[str]:
        """Ids of the VMs of a role that are on and not cut off from the new active region."""
        return [
            vm
            for region in self.topology.regions
            if not self.operations.are_cut(region, self.to)
            for vm in self.vms(region, role)
        ]


Action = Callable[[Context], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """A step.

    :ivar id: its name in tables and variations; ``clause``: the guide's clause it carries out
    :ivar target: what it acts on, ``{to}`` and ``{old}`` standing for regions
    :ivar action: does it, verifies it by its effect, and returns what was seen; doing it again
        when it was done already changes nothing
    """

    id: str
    clause: str
    target: str
    action: Action = field(repr=False)
