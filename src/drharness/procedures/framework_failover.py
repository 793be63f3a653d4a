"""Framework failover (FLO-2): the active region's Framework VMs are down, its database is not.

The guide says that the other region's Framework then works on the database "in Region 2", and never
that this was promoted. Both readings are offered: the database moves, too, or it stays.
"""

from __future__ import annotations

from typing import Any

from drharness.deployment.operations import NOT_YET
from drharness.errors import DrHarnessError, UsageError, WaitTimeout
from drharness.history.lsn import position
from drharness.kernel.waiting import wait_until
from drharness.procedures import fence as fencing
from drharness.procedures import lag, preflight, servers, steps
from drharness.procedures.procedure import Procedure
from drharness.procedures.standbys import with_others
from drharness.procedures.step import Context, Options, Step, StepRefused


def framework_failover(
    to: str = "region2",
    database: str = "move",
    *,
    fence: str = "out-of-band",
    force: bool = False,
    max_lag_s: float | None = None,
    max_lag_bytes: int | None = None,
    regions: int = 2,
) -> Procedure:
    """The procedure that makes the Framework of region ``to`` the active one.

    :param to: the region whose Framework takes over
    :param database: ``move``: its own replica is promoted for it, as in a full failover, but from a
        database that lives: what it has is waited for first. ``stay``: it works on the database
        that is active, wherever that is; nothing is promoted, nothing can be lost
    :param fence: and the rest: as for ``full_failover``; only with ``move``
    :raises UsageError: names the argument, its value and what was expected
    """
    options = Options(fence, force, max_lag_s, max_lag_bytes, database, regions=regions)
    if database == "stay" and options != Options(database="stay", regions=regions):
        raise UsageError(
            "database: expected 'move' with fence, force, max_lag_s or max_lag_bytes, got 'stay': "
            "the database is neither fenced nor promoted."
        )
    steps = _STAYING if database == "stay" else with_others(_MOVING, options)
    return Procedure("framework_failover", to, steps, options=options)


def _before_moving(context: Context) -> dict[str, Any]:
    """As before a full failover, once the replica has what the living database has."""
    _nobody_serves(context)
    return {"awaited": _drained(context), **preflight.preflight(context)}


def _before_staying(context: Context) -> dict[str, Any]:
    """Is there a writable database that this Framework can reach, and are its VMs managed?"""
    _nobody_serves(context)
    region, operations = context.database, context.operations
    preflight.has_power(context, "dns")
    for managed in (context.to, context.old):
        preflight.can_be_started(context, managed)
    if operations.are_cut(region, context.to):
        raise StepRefused(f"{context.to}'s Framework is cut off from the database of {region}.")
    try:
        status = operations.database_status(region)
    except DrHarnessError as error:
        raise StepRefused(f"the database of {region} cannot be asked: {error}") from error
    if not status["writable"]:
        why = "is read-only" if status["accepting"] else f"does not answer: {status['error']}"
        raise StepRefused(f"the database of {region} {why}; it cannot stay the active one.")
    return {"database": region, **{k: status[k] for k in ("tli", "epoch", "seq")}}


def _nobody_serves(context: Context) -> None:
    """A Framework that has clients is not down; one that is cut off from them has none."""
    vms = context.vms(context.ousted or context.old, "framework")
    for server, status in servers.statuses(context, vms).items():
        if status["role"] == "primary" and status["clients"]:
            served = len(status["clients"])
            raise StepRefused(f"{server} is primary and serves {served} clients: it is not down.")


def _drained(context: Context) -> str:
    """Wait until the replica has what the old database has, which nobody writes to any more.

    How much is missing after that is the lag gate's business.

    :return: how that ended
    """
    old = lag.old_primary(context)
    if old is None or not old["writable"]:
        return "nothing: the old database does not answer"
    end, operations = position(old["cur"]), context.operations
    try:
        wait_until(
            lambda: lag.received(operations.database_status(context.to)) >= end,
            f"{context.to}'s database to receive all up to {old['cur']}",
            timeout=context.topology.profile.d,
            retry_on=NOT_YET,
        )
    except WaitTimeout as error:
        return str(error)
    return f"all up to {old['cur']}"


_TAKING_OVER = (
    Step("start-framework", "CFG-4", "{to}-framework", steps.start_framework),
    Step("switch-names", "DNS-1", "dns", steps.switch_names),
    Step("flush", "DNS-4", "application VMs", steps.flush),
    Step("reconnect", "PXY-4", "application VMs", steps.reconnect),
)
_MOVING = (
    Step("preflight", "FLO-2", "{to}-dbms", _before_moving),
    Step("fence", "DBM-5", "{old}-dbms and framework", fencing.fence),
    Step("promote", "DBM-2", "{to}-dbms", steps.promote),
    Step("unblock", "DBM-5", "{to}-dbms", steps.unblock),
    *_TAKING_OVER,
)
_STAYING = (
    Step("preflight", "FLO-2", "the active database", _before_staying),
    Step("fence", "CFG-1", "{old}-framework", fencing.fence_framework),
    Step("unblock", "DBM-5", "the active database", steps.unblock),
    Step("repoint", "CFG-4", "{to}-framework", steps.repoint),
    *_TAKING_OVER,
)
