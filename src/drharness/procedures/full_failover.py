"""Full failover (FLO-1): every VM of the active region is down; the other region takes over.

The order is what matters: the old database is fenced before the new one is promoted, opened only
then, and the names move only once a master is ready behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from drharness.deployment import provision
from drharness.deployment.operations import NOT_YET
from drharness.errors import DrHarnessError, Unmanaged, WaitTimeout
from drharness.kernel.waiting import wait_until
from drharness.procedures import fence as fencing
from drharness.procedures import lag
from drharness.procedures.procedure import Procedure
from drharness.procedures.step import Context, Options, Step, StepFailed, StepRefused
from drharness.topology import addresses


def full_failover(
    to: str = "region2",
    fence: str = "out-of-band",
    *,
    force: bool = False,
    max_lag_s: float | None = None,
    max_lag_bytes: int | None = None,
) -> Procedure:
    """The procedure that makes region ``to`` the active one.

    :param to: the region that survives
    :param fence: ``out-of-band`` or ``firewall``: how the old database is kept from committing
    :param force: go on without proof that it is, or with too much lag; recorded as the cause
    :param max_lag_s: seconds of acknowledged changes that may be lost with asynchronous
        replication; default: the timing profile's ``d_rep``
    :param max_lag_bytes: the same in bytes of WAL; default: any
    :raises UsageError: names the argument, its value and what was expected
    """
    options = Options(fence, force, max_lag_s, max_lag_bytes)
    return Procedure("full_failover", to, _STEPS, options=options)


def _preflight(context: Context) -> dict[str, Any]:
    """Is there a database to promote that has all it should, replayed, and DNS, and management?"""
    region, operations = context.to, context.operations
    for vm in ("dns", context.topology.dbms(region).id):
        if not operations.is_on(vm):
            raise StepRefused(f"{vm} is powered off: {region} cannot take over.")
    try:
        operations.require_management(*(v.id for v in context.topology.vms_of(region)))
    except Unmanaged as error:
        raise StepRefused(f"{region}'s Framework could not be started: {error}") from error
    status = _standby_ready(context)
    _not_overtaken(context, status)
    if not _all_replayed(status):
        status = _replayed(context)
    found = lag.gate(context, status)
    seen = {k: status[k] for k in ("in_recovery", "recv", "replay", "tli", "epoch", "seq")}
    return {**seen, **found}


def _not_overtaken(context: Context, status: Mapping[str, Any]) -> None:
    """A former primary that came back is writable, too, but of an older timeline."""
    if status["in_recovery"]:
        return
    other = lag.old_primary(context) or lag.last_sample(context)
    if other is not None and other["writable"] and other["tli"] > status["tli"]:
        raise StepRefused(
            f"the database of {context.to} is no replica: it was the primary on timeline "
            f"{status['tli']}, and {context.old}'s has been promoted since (timeline "
            f"{other['tli']})."
        )


def _all_replayed(status: Mapping[str, Any]) -> bool:
    return not status["in_recovery"] or lag.position(status["replay"]) >= lag.received(status)


def _standby_ready(context: Context) -> dict[str, Any]:
    try:
        status = context.operations.database_status(context.to)
    except DrHarnessError as error:
        raise StepRefused(f"the database of {context.to} cannot be asked: {error}") from error
    if not status["accepting"]:
        raise StepRefused(f"the database of {context.to} does not answer: {status['error']}")
    return status


def _replayed(context: Context) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def caught_up() -> bool:
        seen.update(context.operations.database_status(context.to))
        # The last record of a primary that died may have come half: it is never replayed.
        return _all_replayed(seen) or bool(
            context.operations.database(context.to, "replay:out_of_wal")
        )

    try:
        wait_until(
            caught_up,
            f"{context.to}'s database to replay what it received",
            timeout=context.topology.profile.d,
            interval=0.02,
            describe=lambda: f"received {seen['recv']}, replayed {seen['replay']}",
        )
    except WaitTimeout as error:
        raise StepRefused(str(error)) from error
    return seen


def _promote(context: Context) -> dict[str, Any]:
    """Promote by signal; seen to be out of recovery, in a new epoch, and taking a write."""
    limit = context.topology.profile.rto_bound
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
    return done


def _unblock(context: Context) -> dict[str, Any]:
    """Delete the guide's rule for the own Framework; proven by connections from those VMs.

    They are powered on with their services held, so that nothing of the Framework starts yet.
    """
    subnet = addresses.subnet(context.topology.number(context.to), "framework")
    changed = context.operations.set_firewall(context.to, unblock=[subnet])
    target = (context.topology.dbms(context.to).address, addresses.POSTGRES_PORT)
    vms = [vm.id for vm in context.topology.vms_of(context.to, "framework")]
    held = [vm for vm in vms if not context.operations.is_on(vm)]
    context.operations.power_on(*held, hold=True, cause="unblock", managed=True)
    seen: dict[str, str] = {}

    def is_open() -> bool:
        seen.update({vm: context.operations.reach(vm, [target])[0] for vm in vms})
        return set(seen.values()) == {"ok"}

    wait_until(
        is_open,
        f"the database of {context.to} open to its Framework",
        timeout=context.topology.profile.d,
        describe=lambda: str(seen),
    )
    return {"commands": changed, "reach": seen}


def _start_framework(context: Context) -> dict[str, Any]:
    """Start the Framework VMs, make P primary and B backup, and see the master at work."""
    operations, limit = context.operations, context.topology.profile.rto_bound
    vms = [vm.id for vm in context.topology.vms_of(context.to, "framework")]
    operations.power_on(*vms, cause="start-framework", managed=True)
    seen = operations.set_roles(context.to, timeout=limit)
    return {server: _place(status) for server, status in seen.items()}


def _place(status: Mapping[str, Any]) -> dict[str, Any]:
    return {k: status.get(k) for k in ("role", "db", "epoch", "seq")}


def _switch_names(context: Context) -> dict[str, Any]:
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


def _flush(context: Context) -> dict[str, Any]:
    """Clear the cache of every proxy's host; seen in what each of them resolves now."""
    flushed = {}
    for region in context.topology.regions:
        for vm in context.vms(region, "application"):
            done = _answered(context, vm, partial(context.operations.flush_names, vm))
            _see_names(context, vm, "127.0.0.1")
            flushed[vm] = done["flushed"]
    return flushed


def _reconnect(context: Context) -> dict[str, Any]:
    """Every living proxy works against the new master, and a change goes through each region."""
    operations, profile = context.operations, context.topology.profile
    epoch = operations.database_status(context.to)["epoch"]
    wanted = {"mode": "normal", "epoch": epoch}
    limit = profile.rto_bound + profile.ttl
    hosts = context.reachable("application")
    for vm in hosts:
        operations.wait_component(f"{vm}.csproxy", "in normal mode", wanted, timeout=limit)
    seen = {}
    for region in {context.topology.vm(vm).region: None for vm in hosts}:
        seen[region] = wait_until(
            partial(_canary, context, region),
            f"a change through {region}'s proxy",
            timeout=limit,
            retry_on=NOT_YET,
        )
    return seen


def _canary(context: Context, region: str) -> dict[str, Any] | None:
    deadline = context.topology.profile.op_deadline
    seen = context.operations.canary(region, context.token, deadline=deadline)
    return {"seq": seen["write"].get("seq")} if seen["ok"] else None


_STEPS = (
    Step("preflight", "FLO-1", "{to}-dbms", _preflight),
    Step("fence", "DBM-5", "{old}-dbms and framework", fencing.fence),
    Step("promote", "DBM-2", "{to}-dbms", _promote),
    Step("unblock", "DBM-5", "{to}-dbms", _unblock),
    Step("start-framework", "CFG-4", "{to}-framework", _start_framework),
    Step("switch-names", "DNS-1", "dns", _switch_names),
    Step("flush", "DNS-4", "application VMs", _flush),
    Step("reconnect", "PXY-4", "application VMs", _reconnect),
)
