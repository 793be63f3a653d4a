"""With more than two regions: the standbys that are not promoted, before and after a promotion.

Before it the one that is to be promoted gets what another has and it lacks, and the others turn to
it; after it they follow it. One that has more than the promoted one could not: its timeline went on
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from drharness.deployment.operations import NOT_YET
from drharness.errors import DrHarnessError, WaitTimeout
from drharness.history.lsn import position
from drharness.kernel.waiting import wait_until
from drharness.procedures import lag
from drharness.procedures.step import Context, Options, Step, StepFailed, StepRefused

_ASK_S = 2.0
_FOLLOW = "upstream:follow"


def gather(context: Context) -> dict[str, str]:
    """Before a promotion: catch up with the other standbys, and let none depend on the old primary.

    One that had to wait for the end of the procedure would follow an old primary that comes back
    meanwhile, and have what the promoted database lacks. Nothing of this stops the promotion: the
    lag gate has had its say, and :func:`follow` sees who follows.

    :return: region of a standby that had more to how catching up with it ended
    """
    third = _third(context)
    mine = _status(context, context.to) if third else None
    ended: dict[str, str] = {}
    if mine is None or not mine["in_recovery"]:
        return ended
    found = {r: s for r in third if (s := _status(context, r)) is not None}
    alike = [r for r, s in found.items() if s["in_recovery"] and s["epoch"] == mine["epoch"]]
    for region in alike:
        if lag.received(found[region]) > lag.received(mine):
            ended[region] = _received_from(context, region, lag.received(found[region]))
            mine = _status(context, context.to) or mine
    for region in alike:
        try:
            _point(context, region)
        except DrHarnessError as error:
            text = f"{region}'s database does not look to {context.to}'s yet: {error}"
            context.operations.recorder.record("note", text=text)
    return ended


def _point(context: Context, region: str) -> None:
    """Let a standby receive from the database that is promoted, with a slot of its own there."""
    operations, limit = context.operations, context.topology.profile.d
    address = context.topology.dbms(context.to).address
    operations.database(context.to, "server:create_slot", name=region, timeout=limit)
    operations.database(region, _FOLLOW, address=address, slot=region, timeout=limit)


def _received_from(context: Context, region: str, end: int) -> str:
    operations = context.operations
    address = context.topology.dbms(region).address
    try:
        limit = context.topology.profile.d
        operations.database(context.to, _FOLLOW, address=address, timeout=limit)
        wait_until(
            lambda: lag.received(operations.database_status(context.to)) >= end,
            f"{context.to}'s database to receive what {region}'s has",
            timeout=limit,
            interval=0.02,
            retry_on=NOT_YET,
        )
    except DrHarnessError as error:
        return str(error)
    return "all of it"


def follow(context: Context) -> dict[str, Any]:
    """Let every standby that can follow the promoted database; seen at both ends.

    With synchronous replication commits wait for all of them from then on.

    :return: ``following`` by region, ``left``: why others do not
    :raises StepRefused: there is no promoted database
    :raises StepFailed: a standby that is reached does not follow in time
    """
    operations, limit = context.operations, context.topology.profile.rto_bound
    active = operations.database_status(context.to)
    if not active["writable"]:
        raise StepRefused(f"the database of {context.to} is not writable: nobody can follow it.")
    fork = operations.database(context.to, "upstream:forked")
    left = {r: why for r in _third(context) if (why := _cannot(context, r, active, fork))}
    wanted = [r for r in _third(context) if r not in left]
    for region in wanted:
        _point(context, region)
    seen = {r: _followed(context, r, fork, limit=limit) for r in wanted}
    if wanted and context.topology.replication == "sync":
        operations.database(context.to, "promotion:require_sync", names=wanted, timeout=limit)
    return {"following": seen, "left": left}


def _third(context: Context) -> list[str]:
    """Regions that neither take over nor had the database before."""
    return [r for r in context.topology.others(context.to) if r != context.old]


def _status(context: Context, region: str) -> dict[str, Any] | None:
    """What a region's database says, None if it cannot be asked or reached from the new one."""
    operations, vm = context.operations, context.topology.dbms(region).id
    if not operations.is_on(vm) or operations.is_frozen(vm):
        return None
    if operations.are_cut(region, context.to):
        return None
    try:
        status = operations.database_status(region, timeout=_ASK_S)
    except NOT_YET:
        return None
    return status if status["accepting"] else None


def _cannot(
    context: Context, region: str, active: Mapping[str, Any], fork: Mapping[str, Any]
) -> str:
    """Why a region's database cannot follow; empty if it can."""
    status = _status(context, region)
    if status is None:
        return "it is off, cut off or does not answer; run the procedure again when it does"
    if not status["in_recovery"]:
        return f"it is no standby: it was the primary on timeline {status['tli']}"
    ahead = position(status["replay"]) > position(fork["lsn"])
    if ahead and status["tli"] < fork["tli"] and status["epoch"] != active["epoch"]:
        return (
            f"it has changes up to {status['replay']} that {context.to}'s lacks, which went on "
            f"from {fork['lsn']}: it must be built anew from a copy"
        )
    return ""


def _followed(
    context: Context, region: str, fork: Mapping[str, Any], *, limit: float
) -> dict[str, Any]:
    """Wait until the promoted database sends a standby all it has, and that receives it."""
    operations = context.operations
    try:
        sent: dict[str, Any] = operations.database(
            context.to, "server:wait_streaming", name=region, any_state=True, timeout=limit
        )
        end = position(operations.database_status(context.to)["cur"])
        return {
            **{k: sent[k] for k in ("state", "replay_lsn")},
            **wait_until(
                partial(_receives, context, region, fork["tli"], end),
                f"{region}'s database to receive what {context.to}'s has",
                timeout=limit,
                interval=0.02,
                retry_on=NOT_YET,
            ),
        }
    except (WaitTimeout, *NOT_YET) as error:
        raise StepFailed(f"{region}'s database does not follow {context.to}'s: {error}") from error


def _receives(context: Context, region: str, timeline: int, end: int) -> dict[str, Any] | None:
    status = context.operations.database_status(region, timeout=_ASK_S)
    if status["tli"] == timeline and lag.received(status) >= end:
        return {k: status[k] for k in ("recv", "tli")}
    return None


FOLLOW = Step("follow", "DBM-1", "the other standbys", follow)


def with_others(steps: Sequence[Step], options: Options) -> tuple[Step, ...]:
    """Steps that promote a database, with :data:`FOLLOW` last if there are others to follow it."""
    return (*steps, FOLLOW) if options.regions > 2 else tuple(steps)
