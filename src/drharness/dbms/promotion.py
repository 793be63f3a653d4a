"""Promotion of this VM's standby, judged by its effect and safe to run again.

    signal ─▶ out of recovery ─▶ sync names cleared ─▶ new epoch stored (canary) ─▶ read back

A promotion that timed out is not one that failed: the server may promote itself later, when what
blocks its replay has gone. So each part is done only if its effect is missing.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from typing import Any

from drharness.dbms import sample, settings
from drharness.dbms.place import HOME, Place, setting
from drharness.dbms.session import DeadlinePassed, Session, until
from drharness.errors import StartupFailed, WaitTimeout
from drharness.kernel import clock

# The call of a controller that died may still be under way: without it both would find no epoch.
_ONE_AT_A_TIME = "SELECT pg_advisory_lock(20305)"
_LAST = """SELECT token, first_seq, switch_lsn::text, tli, plan
    FROM cfg_epoch ORDER BY ordinal DESC LIMIT 1"""
_BEGIN = "SELECT cfg_begin_epoch(%s, %s::text::pg_lsn, %s, %s) AS first_seq"
_SYNC = "SELECT application_name AS name FROM pg_stat_replication WHERE sync_state = 'sync'"
_HINT = (
    "the request stays: the server promotes itself as soon as what blocks its replay has gone; "
    "running the step again continues"
)


async def promote(
    *,
    token: str,
    plan: int = 0,
    timeout: float = 10.0,
    checkpoint: bool = False,
    home: str = HOME,
) -> dict[str, Any]:
    """Make this standby the writable database of a new epoch, and prove that it takes writes.

    :param token: the new epoch's token, fresh and random
    :param plan: number of the procedure run; an older one never overrules a newer one
    :param timeout: seconds for the whole
    :param checkpoint: also make a checkpoint (pg_rewind of the former primary wants one)
    :returns: ``promoted`` (false: it was writable before), ``token`` and ``first_seq`` of the epoch
        in force, ``switch_lsn``, ``tli``, ``sysid``, ``ms`` (until out of recovery)
    :raises WaitTimeout: not out of recovery in time, or the proving write got no answer
    :raises StartupFailed: no server, or a newer plan has promoted it before
    """
    place = Place(home)
    deadline = clock.Deadline(timeout)
    async with place.session(settings.SUPERUSER, timeout) as session:
        waited = await _leave_recovery(place, session, deadline)
    # The session predates the promotion; whoever connects from now on finds a primary.
    async with place.session(settings.SUPERUSER, timeout) as session:
        await clear_sync_names(session, max(1.0, deadline.left))
        seen = await sample.take(session, limit=max(1.0, deadline.left))
        epoch = await _open_epoch(place, session, deadline, token=token, plan=plan, tli=seen["tli"])
        if checkpoint:
            await session.fetch("CHECKPOINT", limit=max(1.0, deadline.left))
    read_back = await _epoch_in_force(place, max(1.0, deadline.left))
    if read_back != epoch["token"]:
        raise StartupFailed(f"epoch {epoch['token']} was stored, but {read_back} is in force")
    return {
        **epoch,
        "promoted": waited is not None,
        "ms": waited,
        "sysid": seen["sysid"],
        "total_ms": round(1000 * deadline.waited, 1),
    }


async def release_sync(*, home: str = HOME, timeout: float = 5.0) -> dict[str, Any]:
    """Stop waiting for a synchronous standby: clear the setting and see it cleared."""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        await clear_sync_names(session, timeout)
    return {"sync_names": ""}


async def require_sync(
    *, names: Sequence[str], home: str = HOME, timeout: float = 10.0
) -> dict[str, Any]:
    """Let each commit wait for all these standbys, which stream, and see that the server counts so.

    :param names: of their regions
    :returns: ``{"sync_names": the setting}``
    :raises WaitTimeout: one of them is not synchronous; the server waits for nobody then
    """
    wanted = settings.synchronous_standby_names(names)
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        await session.fetch(
            f"ALTER SYSTEM SET synchronous_standby_names = {settings.quoted(wanted)}", limit=timeout
        )
        await session.fetch("SELECT pg_reload_conf()", limit=timeout)

        async def probe() -> bool:
            found = {row["name"] for row in await session.fetch(_SYNC, limit=timeout)}
            return found >= set(names)

        try:
            await until(probe, f"synchronous standbys {', '.join(names)}", timeout=timeout)
        except WaitTimeout:
            await clear_sync_names(session, timeout)
            raise
    return {"sync_names": wanted}


async def clear_sync_names(session: Session, timeout: float) -> None:
    """Clear synchronous_standby_names and see it cleared; no WAL record, so nothing waits."""
    await session.fetch("ALTER SYSTEM SET synchronous_standby_names = ''", limit=timeout)
    await session.fetch("SELECT pg_reload_conf()", limit=timeout)

    async def probe() -> bool:
        return await setting(session, "synchronous_standby_names", timeout) == ""

    await until(probe, "synchronous_standby_names cleared", timeout=timeout)


async def _leave_recovery(place: Place, session: Session, deadline: clock.Deadline) -> float | None:
    """Signal and wait; milliseconds taken, None if it was out of recovery already."""
    if not await _in_recovery(session, deadline):
        return None
    started = clock.now()
    pid = place.postmaster()
    if pid is None:
        raise StartupFailed(f"{place.data}: no server is running on it, nothing to promote")
    place.write("data/promote", "")
    os.kill(pid, signal.SIGUSR1)

    async def probe() -> bool:
        if place.postmaster() != pid:
            raise StartupFailed(f"{place.data}: the server ended during its promotion; see its log")
        return not await _in_recovery(session, deadline)

    await until(probe, "standby out of recovery", timeout=deadline.left, interval=0.002, hint=_HINT)
    return round(1000 * (clock.now() - started), 1)


async def _in_recovery(session: Session, deadline: clock.Deadline) -> bool:
    rows = await session.fetch("SELECT pg_is_in_recovery() AS yes", limit=max(1.0, deadline.left))
    return bool(rows[0]["yes"])


async def _open_epoch(
    place: Place, session: Session, deadline: clock.Deadline, *, token: str, plan: int, tli: int
) -> dict[str, Any]:
    """The epoch in force, opened unless this timeline has one; its commit proves writes work."""
    limit = max(1.0, deadline.left)
    await session.fetch(_ONE_AT_A_TIME, limit=limit)
    rows = await session.fetch(_LAST, limit=limit)
    if rows and rows[0]["plan"] > plan:
        raise StartupFailed(
            f"plan {plan} is older than plan {rows[0]['plan']}, which promoted last"
        )
    if rows and rows[0]["tli"] >= tli:
        return {k: rows[0][k] for k in ("token", "first_seq", "switch_lsn", "tli")}
    lsn = switch_lsn(place, tli)
    try:
        (row,), warnings = await session.fetch_noticed(_BEGIN, [token, lsn, tli, plan], limit=limit)
    except DeadlinePassed as error:
        raise StartupFailed(f"the promoted server took no write: {error}") from error
    if warnings:
        raise StartupFailed(f"the promoted server's first write came with: {'; '.join(warnings)}")
    return {"token": token, "first_seq": row["first_seq"], "switch_lsn": lsn, "tli": tli}


async def _epoch_in_force(place: Place, timeout: float) -> str:
    async with place.session(settings.OBSERVER, timeout) as session:
        rows = await session.fetch("SELECT epoch FROM cfg_commit", limit=timeout)
    return str(rows[0]["epoch"])


def switch_lsn(place: Place, timeline: int) -> str:
    """Where a timeline began, from its history file; ``0/0`` for the first one.

    :raises StartupFailed: the history file is missing or not one
    """
    if timeline == 1:
        return "0/0"
    path = place.data / "pg_wal" / f"{timeline:08X}.history"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [m for m in (re.match(r"\d+\s+([0-9A-F]+/[0-9A-F]+)", line) for line in lines) if m]
    if not found:
        raise StartupFailed(f"{path}: no switch point of timeline {timeline} in it")
    return found[-1][1]
