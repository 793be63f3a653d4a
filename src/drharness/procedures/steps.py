"""The steps that procedures share: each does its part, and sees that it took effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from drharness.deployment import provision
from drharness.deployment.operations import NOT_YET
from drharness.errors import DrHarnessError, WaitTimeout
from drharness.kernel.waiting import wait_until
from drharness.procedures.fence import shut_out
from drharness.procedures.standbys import gather
from drharness.procedures.step import Context, StepFailed
from drharness.topology import addresses

_REPOINT = "drharness.deployment.repoint:repoint"


def promote(context: Context) -> dict[str, Any]:
    """Promote by signal; seen to be out of recovery, in a new epoch, and taking a write."""
    limit = context.topology.profile.rto_bound
    caught_up = gather(context)
    done: dict[str, Any] = context.operations.database(
        context.to,
        "promotion:promote",
        token=context.token,
        plan=context.plan,
        timeout=limit,
    )
    status = context.operations.database_status(context.to)
    if not status["writable"] or status["epoch"] != done["token"]:
        raise StepFailed(f"{context.to}'s database is not writable after its promotion: {status}")
    return {**done, "caught_up": caught_up} if caught_up else done


def unblock(context: Context) -> dict[str, Any]:
    """Delete the guide's rule for the Framework to come; proven by connections from its VMs.

    They are powered on with their services held, so that nothing of the Framework starts yet. Every
    other Framework is shut out: it may be one that worked on this database until now.
    """
    region, framework = context.database, context.framework
    others = [r for r in context.topology.regions if r != framework]
    shut = shut_out(context, region, *others)["blocked"]
    subnet = addresses.subnet(context.topology.number(framework), "framework")
    changed = [*shut, *context.operations.set_firewall(region, unblock=[subnet])]
    target = (context.topology.dbms(region).address, addresses.POSTGRES_PORT)
    vms = [vm.id for vm in context.topology.vms_of(framework, "framework")]
    if context.options.framework == "stay":  # what is off there is not what this is about
        vms = context.vms(framework, "framework")
    held = [vm for vm in vms if not context.operations.is_on(vm)]
    context.operations.power_on(*held, hold=True, cause="unblock", managed=True)
    seen: dict[str, str] = {}

    def is_open() -> bool:
        seen.update({vm: context.operations.reach(vm, [target])[0] for vm in vms})
        return set(seen.values()) == {"ok"}

    wait_until(
        is_open,
        f"the database of {region} open to the Framework of {framework}",
        timeout=context.topology.profile.d,
        describe=lambda: str(seen),
    )
    return {"commands": changed, "reach": seen}


def repoint(context: Context) -> dict[str, Any]:
    """Tell the Framework's Configuration Servers, those that are off apart, which database counts.

    They read it at each attempt to get the writer lock; seen in what their files say now.
    """
    vms = context.vms(context.framework, "framework")
    told = {"address": context.topology.dbms(context.database).address}
    return {vm: context.operations.machine(vm).call(_REPOINT, told) for vm in vms}


def start_framework(context: Context) -> dict[str, Any]:
    """Start the Framework VMs, make P primary and B backup, and see the master at work."""
    operations, limit = context.operations, context.topology.profile.rto_bound
    vms = [vm.id for vm in context.topology.vms_of(context.to, "framework")]
    operations.power_on(*vms, cause="start-framework", managed=True)
    operations.moved(framework=context.to)
    if context.options.database == "move":  # it may have worked on another one since it was cloned
        repoint(context)
    seen = operations.set_roles(context.to, timeout=limit, database=context.database)
    return {server: _place(status) for server, status in seen.items()}


def _place(status: Mapping[str, Any]) -> dict[str, Any]:
    return {k: status.get(k) for k in ("role", "db", "epoch", "seq")}


def switch_names(context: Context) -> dict[str, Any]:
    """Both names in one change; seen in the answers of the authoritative server."""
    done = context.operations.switch_names(context.to)
    for vm in context.reachable("application")[:1]:
        _see_names(context, vm, addresses.DNS_SERVER)
    return done


def _see_names(context: Context, vm: str, server: str) -> None:
    """A VM is answered the new addresses; one that boots gets a little time to ask."""
    for name, wanted in provision.framework_records(context.topology, context.to).items():
        answer = _answered(context, vm, partial(context.operations.look_up, vm, name, server))
        if answer["addresses"] != wanted:
            raise StepFailed(f"{name} is {answer} to {vm} (asked {server}), expected {wanted}")


def _answered(context: Context, vm: str, request: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    limit = context.topology.profile.d
    return wait_until(request, f"the resolver of {vm}", timeout=limit, retry_on=NOT_YET)


def flush(context: Context) -> dict[str, Any]:
    """Clear the cache of every proxy's host; seen in what each of them resolves now."""
    flushed = {}
    for region in context.topology.regions:
        for vm in context.vms(region, "application"):
            done = _answered(context, vm, partial(context.operations.flush_names, vm))
            _see_names(context, vm, "127.0.0.1")
            flushed[vm] = done["flushed"]
    return flushed


def reconnect(context: Context) -> dict[str, Any]:
    """Every living proxy works against the new master, and a change goes through each region."""
    operations, profile = context.operations, context.topology.profile
    epoch = operations.database_status(context.database)["epoch"]
    wanted = {"mode": "normal", "epoch": epoch}
    limit = profile.rto_bound + profile.ttl
    hosts = context.reachable("application")
    for vm in hosts:
        try:
            operations.wait_component(f"{vm}.csproxy", "in normal mode", wanted, timeout=limit)
        except WaitTimeout as late:
            raise StepFailed(f"{late}{_names_of(context, vm)}") from late
    seen = {}
    for region in {context.topology.vm(vm).region: None for vm in hosts}:
        seen[region] = wait_until(
            partial(_canary, context, region),
            f"a change through {region}'s proxy",
            timeout=limit,
            retry_on=NOT_YET,
        )
    return seen


def _names_of(context: Context, vm: str) -> str:
    """What is wrong with the names that a VM resolves, as a clause to append; empty if nothing."""
    try:
        _see_names(context, vm, "127.0.0.1")
    except DrHarnessError as wrong:
        return f"; {wrong}"
    return ""


def _canary(context: Context, region: str) -> dict[str, Any] | None:
    deadline = context.topology.profile.op_deadline
    seen = context.operations.canary(region, context.token, deadline=deadline)
    return {"seq": seen["write"].get("seq")} if seen["ok"] else None
