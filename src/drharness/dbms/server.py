"""Operations on the DBMS of this VM, called by name with JSON arguments and JSON results.

All take ``home``, where the server's files are (see :mod:`drharness.dbms.place`); what a server was
provisioned as is stored there, so the other calls need no more. Success is judged by effect, never
by an exit code.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psycopg

from drharness.dbms import sample, settings, template
from drharness.dbms.contents import digest as digest
from drharness.dbms.contents import dump as dump
from drharness.dbms.contents import quiesced as quiesced
from drharness.dbms.place import HOME, Place, setting
from drharness.dbms.promotion import promote as promote
from drharness.dbms.promotion import release_sync as release_sync
from drharness.dbms.session import DeadlinePassed, until
from drharness.errors import StartupFailed, UsageError
from drharness.kernel import clock, validate
from drharness.topology import Topology

ROLES = ("primary", "standby")
_LIMIT_S = 5.0
_SLOTS = "SELECT slot_name, active, restart_lsn::text FROM pg_replication_slots ORDER BY slot_name"
_WRITTEN = """SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_flush_lsn() END)::text AS lsn"""
# A former primary that cannot follow the new timeline streams too, what it has of the old one, for
# an instant and again and again. Sent the WAL of now is only who follows.
_STREAMING = """SELECT application_name AS name, state, sync_state, replay_lsn::text
    FROM pg_stat_replication
    WHERE application_name = %s AND state = 'streaming' AND sent_lsn >= %s::text::pg_lsn"""


def provision(
    *,
    template_directory: str,
    role: str,
    topology: dict[str, object],
    region: str,
    home: str = HOME,
) -> dict[str, Any]:
    """Give this VM its database: a copy of the template and the configuration of its region.

    Copy both regions' before either is started: a standby must not be newer than its primary.

    :param template_directory: what :func:`drharness.dbms.template.ensure` returned, readable here
    :param role: ``primary`` or ``standby``
    :param topology: :meth:`drharness.topology.Topology.as_dict`
    :returns: ``{"ms": duration}``
    :raises UsageError: an unknown role or region, or there is a data directory already
    """
    server = settings.Server.of(Topology.from_dict(topology), region)
    return provision_as(server, template_directory, role=role, home=home)


def provision_as(
    server: settings.Server, template_directory: str, *, role: str, home: str = HOME
) -> dict[str, Any]:
    """As :func:`provision`, with the settings themselves (other ports, other networks)."""
    started = clock.now()
    validate.choice("role", role, ROLES)
    place, source = Place(home), Path(template_directory)
    if place.data.exists():
        raise UsageError(f"home: {place.data} exists already; a database is provisioned once.")
    Path(home).mkdir(parents=True, exist_ok=True)
    template.copy(source, place.data)
    major = template.major_of(source)
    place.write("data/postgresql.conf", settings.postgresql_conf(server, major))
    place.write("data/pg_hba.conf", settings.pg_hba_conf(server))
    if role == "standby":
        place.write("data/standby.signal", "")
    place.remember(
        bin=template.programs_of(source),
        region=server.region,
        peer=server.peer,
        socket_directory=server.socket_directory,
        port=server.port,
    )
    return {"ms": round(1000 * (clock.now() - started), 1)}


def command(*, home: str = HOME) -> list[str]:
    """Command line of the server, to be run as user postgres.

    :raises StartupFailed: nothing was provisioned here
    """
    place = Place(home)
    return [f"{place.facts['bin']}/postgres", "-D", str(place.data)]


def clean_stale_locks(*, home: str = HOME) -> list[str]:
    """Before a start: remove lock files of a killed server and make the socket directory.

    In a fresh pid namespace the process ids in them name living strangers.

    :returns: what was removed
    :raises StartupFailed: a server is running on this data directory
    """
    place = Place(home)
    facts = place.facts
    directory = Path(facts["socket_directory"])
    directory.mkdir(parents=True, exist_ok=True)
    pid = place.postmaster()
    if pid is not None:
        raise StartupFailed(f"{place.data}: a server is running on it (process {pid})")
    socket = directory / f".s.PGSQL.{facts['port']}"
    stale = [place.data / "postmaster.pid", socket, Path(f"{socket}.lock")]
    found = [path for path in stale if path.exists()]
    for path in found:
        path.unlink()
    return [str(path) for path in found]


async def status(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """What the database says of itself: the ``db`` event's fields, and ``slots``.

    A server that does not answer within ``timeout`` seconds has ``accepting`` false and says why in
    ``error``.
    """
    try:
        async with Place(home).session(settings.OBSERVER, timeout) as session:
            slots = await session.fetch(_SLOTS, limit=timeout)
            return {
                **await sample.take(session, limit=timeout),
                "slots": [[row["slot_name"], row["active"], row["restart_lsn"]] for row in slots],
                "error": "",
            }
    except (psycopg.Error, DeadlinePassed) as error:
        return {**sample.NOTHING, "slots": [], "error": str(error).strip()}


async def wait_accepting(*, home: str = HOME, timeout: float = 30.0) -> dict[str, Any]:
    """Wait until the server accepts sessions; its status.

    :raises WaitTimeout: with the server's last answer
    """

    async def probe() -> dict[str, Any]:
        async with Place(home).session(settings.OBSERVER, 2.0) as session:
            return await sample.take(session, limit=2.0)

    return await until(probe, f"PostgreSQL in {home} accepting sessions", timeout=timeout)


async def wait_streaming(
    *, home: str = HOME, name: str, timeout: float = 30.0, any_state: bool = False
) -> dict[str, Any]:
    """On a primary: wait until standby ``name`` follows (as a synchronous one, where required).

    It streams, and was sent all that had been written when the wait began: a server that only asks
    for WAL of a timeline that is over never is.

    :param any_state: synchronous or not
    :returns: ``{"name", "state", "sync_state", "replay_lsn"}``
    :raises WaitTimeout: with the last row seen
    """
    async with Place(home).session(settings.OBSERVER, timeout) as session:
        wanted = await setting(session, "synchronous_standby_names", timeout) and not any_state
        written = (await session.fetch(_WRITTEN, limit=timeout))[0]["lsn"]

        async def probe() -> dict[str, Any] | None:
            rows = await session.fetch(_STREAMING, [name, written], limit=2.0)
            return rows[0] if rows and (not wanted or rows[0]["sync_state"] == "sync") else None

        return await until(probe, f"standby {name} streaming", timeout=timeout)


async def create_slot(*, name: str, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Make the slot a region's standby streams from, unless it is there.

    :param name: the standby's region
    :returns: ``{"slot": its name, "created": bool}``
    """
    slot = settings.slot_name(name)
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        try:
            await session.fetch(
                "SELECT pg_create_physical_replication_slot(%s, true)", [slot], limit=timeout
            )
        except psycopg.errors.DuplicateObject:
            return {"slot": slot, "created": False}
    return {"slot": slot, "created": True}


async def ready_for_standby(
    *, name: str, home: str = HOME, timeout: float = 30.0
) -> dict[str, Any]:
    """Wait until the server accepts sessions, and make the slot a region's standby streams from.

    :raises WaitTimeout: with the server's last answer
    """
    await wait_accepting(home=home, timeout=timeout)
    return await create_slot(name=name, home=home)


async def execute(*, sql: str, home: str = HOME, timeout: float = _LIMIT_S) -> list[Any]:
    """Statements as a database administrator types them, as superuser; the rows of the last one."""
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        return await session.fetch(sql, limit=timeout)


async def drop_slot(*, name: str, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """Drop a region's slot, so that it pins no WAL; nothing to do if there is none."""
    slot = settings.slot_name(name)
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        rows = await session.fetch(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s",
            [slot],
            limit=timeout,
        )
    return {"slot": slot, "dropped": bool(rows)}


async def stop(*, home: str = HOME, mode: str = "fast", timeout: float = 30.0) -> dict[str, Any]:
    """Shut the server down (``fast`` or ``immediate``) and wait until it has gone.

    :returns: ``{"stopped": bool}``, false if none was running
    :raises WaitTimeout: it is still there
    """
    signals = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
    number = signals[validate.choice("mode", mode, signals)]
    place = Place(home)
    pid = place.postmaster()
    if pid is None:
        return {"stopped": False}
    os.kill(pid, number)

    async def gone() -> bool:
        return place.postmaster() is None

    await until(gone, f"PostgreSQL in {home} shut down", timeout=timeout)
    return {"stopped": True}
