"""One step of a procedure: an action, and the proof by effect that it was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError, UsageError
from drharness.kernel import validate
from drharness.topology import Topology
from drharness.topology.naming import MOST_REGIONS


class StepFailed(DrHarnessError):
    """A step was carried out, but its effect was not seen in time."""


class StepRefused(DrHarnessError):
    """A step would not be safe or cannot succeed; nothing was changed by it."""


FENCES = ("out-of-band", "firewall")
MOVES = ("move", "stay")


@dataclass(frozen=True)
class Options:
    """What the guide leaves open.

    :ivar fence: how the old database is kept from committing: ``out-of-band`` (its power is cut
        through the management) or ``firewall`` (the guide's rules on its VM, its sessions ended)
    :ivar force: go on where proof is missing, and record it
    :ivar max_lag_s: seconds of changes that may be lost; None: the timing profile's ``d_rep``
    :ivar max_lag_bytes: bytes of WAL that may be lost; None: any
    :ivar regions: of the topology it is for; with more than two the other standbys follow, too
    :ivar database: ``move``, or ``stay``: the writable database stays where it is
    :ivar framework: the same of the Framework; the procedure's own, no parameter of it
    """

    fence: str = "out-of-band"
    force: bool = False
    max_lag_s: float | None = None
    max_lag_bytes: int | None = None
    database: str = "move"
    framework: str = field(default="move", repr=False)
    regions: int = 2

    def __post_init__(self) -> None:
        validate.choice("fence", self.fence, FENCES)
        validate.choice("database", self.database, MOVES)
        if not isinstance(self.force, bool):
            raise UsageError(f"force: expected True or False, got {self.force!r}.")
        validate.count("regions", self.regions, low=2, high=MOST_REGIONS)
        if self.max_lag_s is not None:
            validate.number("max_lag_s", self.max_lag_s, low=0, high=86400)
        if self.max_lag_bytes is not None:
            validate.number("max_lag_bytes", self.max_lag_bytes, low=0, high=2**63)

    @property
    def code(self) -> str:
        """As keyword arguments, each with a comma and a space before it; defaults are left out."""
        named = [(f.name, getattr(self, f.name), f.default) for f in fields(self) if f.repr]
        return "".join(f", {name}={value!r}" for name, value, usual in named if value != usual)


DEFAULTS = Options()


@dataclass(frozen=True)
class Context:
    """What a step works on.

    :ivar to: region that becomes active; ``old``: the one that was; ``ousted``: the one whose
        Framework was, if that is another
    :ivar plan: number of this run of the procedure in the deployment
    :ivar token: random token of this run, for the epoch it may open
    """

    operations: Operations
    to: str
    old: str
    plan: int
    token: str
    options: Options = DEFAULTS
    ousted: str = ""

    @property
    def topology(self) -> Topology:
        """What the deployment consists of."""
        return self.operations.topology

    @property
    def database(self) -> str:
        """Region whose database is the writable one afterwards."""
        return self.operations.active if self.options.database == "stay" else self.to

    @property
    def framework(self) -> str:
        """Region whose Framework is the active one afterwards."""
        return self.operations.framework if self.options.framework == "stay" else self.to

    def vms(self, region: str, role: str) -> list[str]:
        """Ids of the VMs of a role that are on."""
        found = self.topology.vms_of(region, role)
        return [vm.id for vm in found if self.operations.is_on(vm.id)]

    def reachable(self, role: str) -> list[str]:
        """Ids of the VMs of a role that are on and not cut off from the new active region.

        The new active region's come first: the others' may have been powered on just now.
        """
        return [
            vm
            for region in (self.to, *self.topology.others(self.to))
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
    :ivar delay: seconds that pass before it begins
    """

    id: str
    clause: str
    target: str
    action: Action = field(repr=False)
    delay: float = 0.0
