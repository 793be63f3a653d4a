"""What the procedures have made of a deployment: where its database and its Framework belong.

Checks of a census compare with this and never with what the system says of itself. What must not be
is judged at any time; what must be is due only while things are settled: after a procedure that
succeeded, and not where a fault is or was a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass

from drharness.checks.episodes import ns
from drharness.checks.needed import required_of
from drharness.history.records import Plan
from drharness.history.view import History
from drharness.topology import addresses

# Steps that a procedure has only if the Framework moves, and those that show it has begun to.
_MOVERS = {"start-framework", "switch-names"}
_MOVED = {"unblock", *_MOVERS}


@dataclass(frozen=True)
class Intent:
    """What is meant to be at an instant.

    :ivar database: region whose database is the active one
    :ivar framework: region whose Framework is; ``names``: to which the Framework names lead
    :ivar opened: ns since which that database is meant to be open to that Framework
    :ivar settled: the last procedure that changed something succeeded
    """

    database: str
    framework: str
    names: str
    opened: int
    settled: bool


def intent(history: History, t: int) -> Intent:
    """What is meant to be at ``t`` (ns), by the steps that procedures had done until then."""
    database = framework = names = history.active
    opened, settled = history.events[0].t, True
    for plan in history.plans:
        done = {s.id: s.ended for s in plan.steps if s.type == "ok" and s.ended and s.ended <= t}
        if "promote" in done:
            database = plan.to
        if done.keys() & _MOVED and _MOVERS & {*plan.planned, *required_of(plan)}:
            framework = plan.to
        if "switch-names" in done:
            names = plan.to
        opened = max(opened, done.get("unblock", 0))
        if plan.invoked <= t and _changes(plan):
            settled = plan.type == "ok" and plan.ended is not None and plan.ended <= t
    return Intent(database, framework, names, opened, settled)


def destination(plan: Plan, meant: Intent) -> tuple[str, str]:
    """The region of the Framework and that of the database, as they are once a plan has succeeded.

    :param meant: what was before it, or is in the middle of it
    """
    needed = required_of(plan)
    framework = plan.to if _MOVERS & {*plan.planned, *needed} else meant.framework
    return framework, plan.to if "promote" in needed else meant.database


def _changes(plan: Plan) -> bool:
    """Whether it did more than look: one that refused at its first step left all as it was."""
    return plan.type == "ok" or any(s.id != "preflight" for s in plan.steps)


def troubled(history: History, t: int, *ids: str) -> bool:
    """Whether something happened to these VMs or regions that excuses what is not as it should be.

    A fault that touches one of them is in force or was healed less than ``rto_bound`` ago, or a VM
    was off or frozen in that time.
    """
    since = t - ns(history.profile.rto_bound)
    vms = {vm.id for vm in history.topology.vms}
    names = {*ids, *(history.region_of(i) for i in ids)} - {""}
    names |= {c.id for c in history.topology.components if c.vm in ids}
    lasting = [f for f in history.faults if f.invoked <= t and (not f.healed or f.healed > since)]
    touched = any(f.names(name) for f in lasting for name in names)
    inside = tuple(f"{i}." for i in vms & {*ids})  # a component of theirs, or their resolver
    touched = touched or any(t.startswith(inside) for f in lasting for t in f.targets if inside)
    return touched or any(_interrupted(history, i, since, t) for i in ids if i in vms)


def _interrupted(history: History, vm: str, since: int, until: int) -> bool:
    """As ``vm_down``, but the deployment's own first power-on is none."""
    begun = [e.t for e in history.vms.get(vm, ()) if e.get("cause") == "deployment"]
    return history.vm_down(vm, max([since, *begun]), until)


def framework_region(history: History, address: str) -> str:
    """The region in whose Framework subnet an address lies; empty if in none."""
    for region in history.topology.regions:
        subnet = addresses.subnet(history.topology.number(region), "framework")
        if address.startswith(subnet.removesuffix("0/24")):
            return region
    return ""


def database_at(history: History, place: str) -> str:
    """The region whose database listens at ``address:port``; empty if none does."""
    for region in history.topology.regions:
        if place == f"{history.topology.dbms(region).address}:{addresses.POSTGRES_PORT}":
            return region
    return ""
