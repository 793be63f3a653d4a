"""Before a replica is promoted: what it is checked for, so that a refusal has changed nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drharness.errors import DrHarnessError, Unmanaged, WaitTimeout
from drharness.history.lsn import position
from drharness.kernel.waiting import wait_until
from drharness.procedures import lag
from drharness.procedures.step import Context, StepRefused


def preflight(context: Context) -> dict[str, Any]:
    """Is there a database to promote that has all it should, replayed, and DNS, and management?"""
    region = context.to
    has_power(context, "dns", context.topology.dbms(region).id)
    if context.options.framework == "move":
        can_be_started(context, region)
    status = _standby_ready(context)
    _not_overtaken(context, status)
    if not _all_replayed(status):
        status = _replayed(context)
    found = lag.gate(context, status)
    seen = {k: status[k] for k in ("in_recovery", "recv", "replay", "tli", "epoch", "seq")}
    return {**seen, **found}


def has_power(context: Context, *vms: str) -> None:
    """Nothing to say while these VMs are on.

    :raises StepRefused: names the first that is not
    """
    for vm in vms:
        if not context.operations.is_on(vm):
            raise StepRefused(f"{vm} is powered off: {context.to} cannot take over.")


def can_be_started(context: Context, region: str) -> None:
    """Nothing to say while the management of a region answers.

    :raises StepRefused: it does not
    """
    operations = context.operations
    try:
        operations.require_management(*(v.id for v in context.topology.vms_of(region)))
    except Unmanaged as error:
        raise StepRefused(f"{region}'s Framework could not be started: {error}") from error


def _not_overtaken(context: Context, status: Mapping[str, Any]) -> None:
    """A former primary that came back is writable, too, but of an older timeline."""
    _no_third(context, status)
    if status["in_recovery"]:
        return
    other = lag.old_primary(context) or lag.last_sample(context, context.old)
    if other is not None and other["writable"] and other["tli"] > status["tli"]:
        raise StepRefused(
            f"the database of {context.to} is no replica: it was the primary on timeline "
            f"{status['tli']}, and {context.old}'s has been promoted since (timeline "
            f"{other['tli']})."
        )


def _no_third(context: Context, status: Mapping[str, Any]) -> None:
    """With more than two regions: the newest database may be one that is neither old nor new."""
    third = [r for r in context.topology.others(context.to) if r != context.old]
    old = lag.last_sample(context, context.old) if third else None
    known = max(status["tli"], old["tli"] if old else 0)
    for region in third:
        last = lag.last_sample(context, region)
        if last is not None and last["tli"] > known:
            raise StepRefused(
                f"{region}'s database has been promoted since (timeline {last['tli']}): "
                f"{context.to}'s has nothing of what that took."
            )


def _all_replayed(status: Mapping[str, Any]) -> bool:
    return not status["in_recovery"] or position(status["replay"]) >= lag.received(status)


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
