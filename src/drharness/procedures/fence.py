"""Fencing: proof that the old database cannot commit, before another one is promoted.

``out-of-band`` pulls its power. ``firewall`` is the guide's literal way: its VM refuses every
Framework, and the sessions that were open are ended; it needs a VM that can be reached.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from drharness.deployment.operations import NOT_YET
from drharness.deployment.provision import framework_subnets
from drharness.errors import DrHarnessError, Unmanaged, WaitTimeout
from drharness.kernel.waiting import wait_until
from drharness.procedures.servers import wait_for_none
from drharness.procedures.step import Context, StepFailed, StepRefused
from drharness.topology import addresses


def fence(context: Context) -> dict[str, Any]:
    """Fence as the options say.

    :return: what proved it, or ``forced`` and ``why`` there is no proof
    :raises StepRefused: it cannot be done; nothing was changed
    :raises StepFailed: it was done, yet the old database answers
    """
    chosen = _by_firewall if context.options.fence == "firewall" else _by_power
    try:
        return chosen(context)
    except (StepRefused, StepFailed) as why:
        if not context.options.force:
            raise
        return {"forced": True, "why": str(why)}


def fence_framework(context: Context) -> dict[str, Any]:
    """Power the old masters off out of band, and let nobody of theirs into the database again.

    A session whose client has lost its power holds the writer lock until somebody ends it.
    """
    done = {"off": _power_off(context, "framework")}
    return {**done, **shut_out(context, context.database, context.old)}


def shut_out(context: Context, region: str, *frameworks: str) -> dict[str, Any]:
    """Close a region's database to the Framework of some regions, and end their sessions."""
    operations, topology = context.operations, context.topology
    subnets = [addresses.subnet(topology.number(r), "framework") for r in frameworks]
    limit = topology.profile.d
    changed = operations.set_firewall(region, block=subnets)
    done = operations.database(region, "fencing:end_sessions", subnets=subnets, timeout=limit)
    return {"blocked": changed, "ended": done["ended"]}


def _power_off(context: Context, *roles: str) -> list[str]:
    """Power off the old region's VMs of these roles; see that they have no power.

    If the Framework was another region's than the database, its VMs go as well.
    """
    operations, topology = context.operations, context.topology
    vms = [vm.id for role in roles for vm in topology.vms_of(context.old, role)]
    if "framework" in roles and context.ousted not in ("", context.old):
        vms += [vm.id for vm in topology.vms_of(context.ousted, "framework")]
    try:
        operations.power_off(*vms, cause="fence", managed=True)
    except Unmanaged as error:
        raise StepRefused(f"no proof that {vms[0]} is off: {error}") from error
    on = [vm for vm in vms if operations.is_on(vm)]
    if on:
        raise StepFailed(f"still on after they were powered off: {', '.join(on)}")
    return vms


def _by_power(context: Context) -> dict[str, Any]:
    """Power the old database off out of band, and its masters with it; see that nobody answers.

    A master that only lost its database would believe in its lock until its keep-alive ends: it
    goes at the same time; or, if it is to go on with the new one, it is waited for to know.
    """
    operations, topology = context.operations, context.topology
    stays = context.options.framework == "stay"
    vms = _power_off(context, *(("dbms",) if stays else ("dbms", "framework")))
    target = (topology.dbms(context.old).address, addresses.POSTGRES_PORT)
    seen = {vm: operations.reach(vm, [target])[0] for vm in context.reachable("application")[:1]}
    if "ok" in seen.values():
        raise StepFailed(f"{context.old}'s database is powered off, yet it answers: {seen}")
    if stays:
        wait_for_none(context, context.old)
    return {"off": vms, "reach": seen}


def _by_firewall(context: Context) -> dict[str, Any]:
    """Refuse every Framework on the old database's VM, end their sessions, see both."""
    operations, topology = context.operations, context.topology
    vm = topology.dbms(context.old)
    if not operations.is_on(vm.id):
        raise StepRefused(f"no proof that {vm.id} stays off: its firewall cannot be set.")
    if operations.are_cut(context.old, context.to):
        raise StepRefused(f"no proof that {vm.id} is fenced: {context.to} is cut off from it.")
    subnets = framework_subnets(topology)
    try:
        changed = operations.set_firewall(context.old, block=subnets)
        ended = operations.database(context.old, "fencing:end_sessions", timeout=topology.profile.d)
    except DrHarnessError as error:
        raise StepFailed(f"{vm.id} could not be fenced: {error}") from error
    return {
        "commands": changed,
        "ended": ended["ended"],
        "reach": _refused(context),
        "write": _no_write(context),
    }


def _refused(context: Context) -> dict[str, str]:
    """Nobody of any Framework gets a new connection."""
    target = (context.topology.dbms(context.old).address, addresses.POSTGRES_PORT)
    asked = [v for r in context.topology.regions for v in context.vms(r, "framework")]
    seen = {v: context.operations.reach(v, [target])[0] for v in asked}
    open_to = [v for v, found in seen.items() if found == "ok"]
    if open_to:
        raise StepFailed(f"{context.old}'s database still answers {', '.join(open_to)}")
    return seen


def _no_write(context: Context) -> str:
    """A change asked for through the old region's proxies fails."""
    if not context.vms(context.old, "application"):
        return "nobody to try"
    last: list[dict[str, Any]] = []
    try:
        wait_until(
            partial(_fails, context, last),
            f"a write through {context.old}'s proxies to fail",
            timeout=context.topology.profile.d,
            retry_on=NOT_YET,
            describe=lambda: str(last[-1:]),
        )
    except WaitTimeout as error:
        raise StepFailed(f"{context.old}'s database still takes writes: {error}") from error
    return str(last[-1]["type"])


def _fails(context: Context, last: list[dict[str, Any]]) -> bool:
    deadline = context.topology.profile.op_deadline
    seen = context.operations.canary(context.old, f"fence {context.token}", deadline=deadline)
    last.append(seen["write"])
    return bool(seen["write"]["type"] != "ok")
