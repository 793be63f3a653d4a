"""What breaks replication from inside a DBMS VM, and the looks that prove it.

Changed settings go to a file in the socket's directory, which is memory: like a paused replay and a
long reader they end with the VM's power, so nothing broken is left on a disk.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from drharness.components.environment import Environment
from drharness.dbms import settings
from drharness.dbms.place import HOME, Place
from drharness.dbms.session import Session, until
from drharness.errors import UsageError, WaitTimeout
from drharness.kernel import clock

READER, STRAY = "long-reader", "stray-wal-receiver"
_LIMIT_S = 5.0
# A catalog that nobody here reads: a lock on it that replay waits for stops replay, not readers.
_TABLE = "pg_catalog.pg_description"
# None of this may wait for the standby that is about to be broken, or is.
_LOCAL = "SET synchronous_commit = local"
_FOLLOWED = """SELECT pg_is_in_recovery() AS standby,
    coalesce(pg_last_wal_receive_lsn() >= %s::text::pg_lsn, false) AS received,
    coalesce(pg_last_wal_replay_lsn() >= %s::text::pg_lsn, false) AS replayed,
    pg_last_wal_receive_lsn()::text AS recv, pg_last_wal_replay_lsn()::text AS replay"""
_READS = f"""SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
    WHERE a.application_name = '{READER}' AND l.granted AND l.relation = '{_TABLE}'::regclass"""
_SENDERS = """SELECT host(client_addr) AS address, state, sync_state FROM pg_stat_replication
    WHERE application_name = %s ORDER BY pid"""
_WAL_FROM = """SELECT min(name) <= pg_walfile_name(%s::text::pg_lsn) AS there
    FROM pg_ls_waldir(), pg_walfile_name(pg_current_wal_lsn()) AS current
    WHERE name ~ '^[0-9A-F]{24}$' AND left(name, 8) = left(current, 8)"""


# -- following: does what a primary commits arrive, and is it applied ---------------------------


async def mark(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """On a primary: commit something that changes nothing; ``{"lsn"}`` from which it is flushed."""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        await session.fetch(_LOCAL, limit=timeout)
        await session.fetch("SELECT pg_logical_emit_message(true, 'drharness', '')", limit=timeout)
        row = (
            await session.fetch("SELECT pg_current_wal_flush_lsn()::text AS lsn", limit=timeout)
        )[0]
    return row


async def follows(
    *, lsn: str, receive_s: float, replay_s: float, home: str = HOME, timeout: float = 10.0
) -> dict[str, Any]:
    """On a standby: whether it receives and replays up to an LSN within these seconds from now.

    :returns: ``standby`` (in recovery), ``received``, ``replayed``; ``recv`` and ``replay``: LSNs
    """
    seen: dict[str, Any] = {}

    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        began = clock.now()

        async def known(field: str, limit: float) -> bool:
            seen.update((await session.fetch(_FOLLOWED, [lsn, lsn], limit=timeout))[0])
            return bool(seen[field]) or clock.now() - began >= limit

        for field, limit in (("received", receive_s), ("replayed", replay_s)):
            probe = partial(known, field, limit)
            await until(probe, f"whether {lsn} is {field}", timeout=limit + timeout)
    return seen


# -- replay: paused, late, or blocked by a reader -----------------------------------------------


async def pause_replay(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Stop applying what is received, and see it stopped.

    :raises psycopg.Error: not in recovery
    """
    return await _replay(home, timeout, "SELECT pg_wal_replay_pause()", "paused")


async def resume_replay(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Apply again; nothing to do on a server that does not run or is out of recovery."""
    if Place(home).postmaster() is None:
        return {"state": "not paused"}
    return await _replay(home, timeout, "SELECT pg_wal_replay_resume()", "not paused")


async def _replay(home: str, timeout: float, sql: str, wanted: str) -> dict[str, Any]:
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        if wanted == "not paused" and not await _in_recovery(session, timeout):
            return {"state": wanted}
        await session.fetch(sql, limit=timeout)

        async def probe() -> bool:
            rows = await session.fetch("SELECT pg_get_wal_replay_pause_state() AS s", limit=timeout)
            return bool(rows[0]["s"] == wanted)

        await until(probe, f"replay {wanted}", timeout=timeout)
    return {"state": wanted}


async def set_for_now(
    *, name: str, value: str, home: str = HOME, timeout: float = _LIMIT_S
) -> dict[str, Any]:
    """Change a setting until :func:`set_back` or the VM's power-off, and see it in force."""
    return await _override(home, timeout, name, value)


async def set_back(*, name: str, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Let a setting be what the configuration says again, at once or at the next start."""
    return await _override(home, timeout, name, None)


async def cut_upstream(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Let the standby look for its primary where nobody listens; undo: set_back primary_conninfo.

    The connection there is ended in good order: all that was sent is received, nothing after it.
    """
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        rows = await session.fetch("SELECT current_setting('primary_conninfo') AS c", limit=timeout)
        done = await _override(home, timeout, "primary_conninfo", f"{rows[0]['c']} port=1")

        async def ended() -> bool:
            sql = "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            return not await session.fetch(sql, limit=timeout)

        await until(ended, "end of the standby's connection to its primary", timeout=timeout)
    return done


async def _override(home: str, timeout: float, name: str, value: str | None) -> dict[str, Any]:
    place = Place(home)
    if value is None and place.postmaster() is None:
        _write_volatile(place, name, value)
        return {"name": name, "value": value}
    async with place.session(settings.SUPERUSER, timeout) as session:
        sql = "SELECT coalesce(sourcefile, '') AS file FROM pg_settings WHERE name = %s"
        if not await session.fetch(sql, [name], limit=timeout):
            raise UsageError(f"name: there is no setting {name!r}.")
        _write_volatile(place, name, value)
        await session.fetch("SELECT pg_reload_conf()", limit=timeout)

        async def probe() -> bool:
            file = str((await session.fetch(sql, [name], limit=timeout))[0]["file"])
            return file.endswith(f"/{settings.VOLATILE}") == (value is not None)

        await until(probe, f"{name} {'back' if value is None else value}", timeout=timeout)
    return {"name": name, "value": value}


def _write_volatile(place: Place, name: str, value: str | None) -> None:
    path = Path(place.facts["socket_directory"], settings.VOLATILE)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if not line.startswith(f"{name} = ")]
    if value is not None:
        kept.append(f"{name} = {settings.quoted(value)}")
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


async def long_reader(env: Environment) -> None:
    """A component: a report whose transaction never ends, on the standby."""
    await read_on(HOME)


async def read_on(home: str) -> None:
    """Read a table in a transaction and keep it open until cancelled, or the session is lost."""
    place = Place(home)
    session = await Session.connect(
        _LIMIT_S,
        host=place.facts["socket_directory"],
        port=str(place.facts["port"]),
        user=settings.SUPERUSER,
        dbname=settings.DATABASE,
        application_name=READER,
    )
    try:
        await session.fetch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", limit=_LIMIT_S)
        await session.fetch(f"SELECT count(*) FROM {_TABLE}", limit=_LIMIT_S)
        await asyncio.Event().wait()
    finally:
        await session.close()


async def wait_reader(
    *, there: bool, home: str = HOME, timeout: float = _LIMIT_S
) -> dict[str, Any]:
    """Wait until the long reader holds its lock, or until it has gone.

    :raises WaitTimeout: with what was last seen
    """
    if not there and Place(home).postmaster() is None:
        return {"there": there}
    async with Place(home).session(settings.SUPERUSER, timeout) as session:

        async def probe() -> bool:
            return bool(await session.fetch(_READS, limit=timeout)) == there

        await until(probe, f"long reader {'reading' if there else 'gone'}", timeout=timeout)
    return {"there": there}


async def conflict(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """On a primary: lock the table exclusively for an instant, as DDL or a vacuum would.

    A standby must take the same lock before it can replay on, and waits for its readers.
    """
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        await session.fetch(_LOCAL, limit=timeout)
        await session.fetch("BEGIN", limit=timeout)
        await session.fetch(f"LOCK TABLE {_TABLE} IN ACCESS EXCLUSIVE MODE", limit=timeout)
        await session.fetch("COMMIT", limit=timeout)
    return {"locked": _TABLE}


# -- sending: strangers and slots ---------------------------------------------------------------


def stray_command(*, name: str, address: str, home: str = HOME) -> list[str]:
    """Command line of a WAL receiver that uses a standby's name and acknowledges at once.

    It keeps what it receives in memory, below /run: nothing that could be promoted.

    :param name: application name to use
    :param address: of the primary
    """
    facts = Place(home).facts
    directory = Path(facts["socket_directory"], STRAY)
    directory.mkdir(exist_ok=True)
    upstream = {
        "host": address,
        "port": facts["port"],
        "user": settings.REPLICATOR,
        "password": settings.REPLICATOR,
        "application_name": name,
        "sslmode": "disable",
        "gssencmode": "disable",
    }
    info = " ".join(f"{key}={value}" for key, value in upstream.items())
    program = f"{facts['bin']}/pg_receivewal"
    return [program, "--synchronous", "--no-password", "-D", str(directory), "-d", info]


async def senders_named(
    *, name: str, home: str = HOME, timeout: float = _LIMIT_S
) -> list[dict[str, Any]]:
    """WAL senders whose receivers use a name: ``address``, ``state``, ``sync_state`` of each."""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        return await session.fetch(_SENDERS, [name], limit=timeout)


async def lose_slot(*, name: str, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Drop the slot of a region's standby though it is in use; its sender is ended for that.

    :returns: ``{"slot", "dropped"}``, ``dropped`` false if there was none
    """
    slot = settings.slot_name(name)
    sql = "SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = %s"
    dropped = False
    async with Place(home).session(settings.SUPERUSER, timeout) as session:

        async def probe() -> bool:
            nonlocal dropped
            rows = await session.fetch(sql, [slot], limit=timeout)
            if not rows:
                return True
            if rows[0]["pid"]:
                await session.fetch(f"SELECT pg_terminate_backend({rows[0]['pid']})", limit=timeout)
            await session.fetch("SELECT pg_drop_replication_slot(%s)", [slot], limit=timeout)
            dropped = True
            return True

        # The standby comes back at once: "in use" is an error that means "not yet".
        await until(probe, f"slot {slot} dropped", timeout=timeout, interval=0.001)
    return {"slot": slot, "dropped": dropped}


async def wait_receiving(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """On a standby: wait until its WAL receiver streams.

    :raises WaitTimeout: with the receiver's state and the LSN it needs next
    """
    sql = """SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), 'none') AS receiver,
        coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text AS recv"""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        row: dict[str, Any] = {}

        async def probe() -> bool:
            row.update((await session.fetch(sql, limit=timeout))[0])
            return bool(row["receiver"] == "streaming")

        try:
            await until(probe, "standby receiving", timeout=timeout)
        except WaitTimeout as error:
            raise WaitTimeout("standby receiving", error.waited_s, f"{row}", error.hint) from error
    return row


async def has_wal(*, lsn: str, home: str = HOME, timeout: float = _LIMIT_S) -> bool:
    """On a primary: whether it still has the WAL of its timeline from an LSN on."""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        return bool((await session.fetch(_WAL_FROM, [lsn], limit=timeout))[0]["there"])


async def _in_recovery(session: Session, limit: float) -> bool:
    rows = await session.fetch("SELECT pg_is_in_recovery() AS yes", limit=limit)
    return bool(rows[0]["yes"])
