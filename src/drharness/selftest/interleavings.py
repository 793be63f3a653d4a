"""Mistakes that only a certain order of events reveals, each with a schedule that does."""

from __future__ import annotations

from dataclasses import dataclass

from drharness.faults import ComponentKilled, DnsDown, LinkCut, RegionDown, VmDown
from drharness.schedule.actions import Action, Finish, Heal, Inject, Wait
from drharness.schedule.procedure import ProcedureUse
from drharness.schedule.schedule import Schedule
from drharness.topology import Topology

_HERE = "drharness.selftest.sequences"


@dataclass(frozen=True)
class Interleaving:
    """A mistake, and the events that it takes.

    :ivar id: its name; ``component``: the kind that is replaced
    :ivar title: what is wrong, as a sentence without its full stop
    :ivar invariants: one of these must fail
    :ivar actions: what reveals it; none of them can be left out
    :ivar procedure: what the operator carries out
    """

    id: str
    component: str
    title: str
    invariants: tuple[str, ...]
    actions: tuple[Action, ...]
    procedure: str = "full-failover"

    @property
    def topology(self) -> Topology:
        """The guide's, with the mistake in it."""
        return Topology.guide().replace(self.component, f"{_HERE}:{self.id}")

    @property
    def schedule(self) -> Schedule:
        """The events on the mistaken system."""
        return Schedule(self.actions, ProcedureUse(self.procedure), self.topology)

    @property
    def control(self) -> Schedule:
        """The same events on the right system, which passes."""
        return Schedule(self.actions, ProcedureUse(self.procedure))


_MASTER_KILLED = Inject(ComponentKilled("active.framework-p.configserver"))
_PROXY_KILLED = Inject(ComponentKilled("dormant.application-p.csproxy"))
_PROXIES_CUT = Inject(LinkCut("dormant.application", "active.framework", 0, "reset"))
_STORE_CUT = Inject(LinkCut("active.framework-p", "active.dbms", 0, "reset"))
_DOWN = Inject(RegionDown("active"))

INTERLEAVINGS = (
    Interleaving(
        "retrying",
        "csproxy",
        "a proxy keeps the writes it refuses and sends them later, from the second spell on",
        ("S9",),
        (_MASTER_KILLED, Heal(1), Wait(1.0), _DOWN, Finish()),
    ),
    Interleaving(
        "flattering",
        "csproxy",
        "a proxy acknowledges writes without a master, from the second spell on",
        ("S9", "D1"),
        (_MASTER_KILLED, Heal(1), Wait(1.0), _DOWN, Finish()),
    ),
    Interleaving(
        "nostalgic",
        "csproxy",
        "a proxy serves in each spell without a master the copy that it made in the first",
        ("S11",),
        (_MASTER_KILLED, Heal(1), Wait(1.0), _DOWN, Finish()),
    ),
    Interleaving(
        "weary",
        "csproxy",
        "a proxy does not look for its master any more once it has lost it twice",
        ("L3", "L1"),
        (_MASTER_KILLED, Heal(1), Wait(1.0), _DOWN, Finish()),
    ),
    Interleaving(
        "amnesiac",
        "csproxy",
        "a proxy that starts without a master serves no data as all the data",
        ("S10",),
        (Inject(VmDown("active.framework")), _PROXY_KILLED, Wait(1.0), Finish()),
    ),
    Interleaving(
        "skipping",
        "csproxy",
        "a proxy that restores its session a second time leaves out what it missed",
        ("S10", "S13"),
        (_PROXIES_CUT, Wait(1.0), Heal(1), Wait(1.0), _PROXIES_CUT, Wait(1.0), Heal(2)),
    ),
    Interleaving(
        "pinning",
        "csproxy",
        "a proxy that starts without DNS stays with the addresses it had",
        ("L3",),
        (Inject(DnsDown()), Wait(1.0), _PROXY_KILLED, Wait(1.0), Heal(1), _DOWN, Finish()),
    ),
    Interleaving(
        "remembering",
        "configserver",
        "a server that is primary for the third time takes its old data for the database's",
        ("S2", "S7", "S10", "S11", "S13"),
        (_STORE_CUT, Wait(1.0), Heal(1), Wait(1.0), Inject(VmDown("active.dbms")), Finish()),
        "dbms-failover",
    ),
)
BY_ID = {one.id: one for one in INTERLEAVINGS}
