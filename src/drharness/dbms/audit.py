"""What a database's settings, roles and tables are, and whether its standby has what it has."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from drharness.dbms import settings
from drharness.dbms.contents import digest
from drharness.dbms.place import HOME, Place
from drharness.dbms.session import DeadlinePassed, Session, until
from drharness.errors import WaitTimeout
from drharness.topology import addresses

PORT = addresses.POSTGRES_PORT
AUDITED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "fsync",
    "full_page_writes",
    "wal_log_hints",
    "data_checksums",
    "synchronous_commit",
    "synchronous_standby_names",
)
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_ROLES = """SELECT coalesce(r.rolname, '') AS role, coalesce(d.datname, '') AS database, c AS set
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c
    LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    ORDER BY 1, 2, 3"""
_UNLOGGED = """SELECT oid::regclass::text AS name FROM pg_class
    WHERE relpersistence = 'u' AND relkind IN ('r', 'S') ORDER BY 1"""
_SENDERS = """SELECT application_name AS name, host(client_addr) AS address, state, sync_state
    FROM pg_stat_replication ORDER BY 1, 2"""


async def audit(*, home: str = HOME, timeout: float = 5.0) -> dict[str, Any] | None:
    """What is set; None: the server gives no session within ``timeout`` seconds.

    :returns: ``in_recovery``, ``settings`` (:data:`AUDITED`), ``roles`` as [role, database,
        "name=value"] for all that is set per role or database, ``unlogged`` (tables and sequences),
        ``senders`` as [name, address, state, sync state]
    """
    try:
        async with Place(home).session(settings.SUPERUSER, timeout) as session:
            row = await session.fetch("SELECT pg_is_in_recovery() AS yes", limit=timeout)
            found = await session.fetch(_SETTINGS, [list(AUDITED)], limit=timeout)
            return {
                "in_recovery": row[0]["yes"],
                "settings": {r["name"]: r["setting"] for r in found},
                "roles": await _rows(session, _ROLES, timeout),
                "unlogged": [r[0] for r in await _rows(session, _UNLOGGED, timeout)],
                "senders": await _rows(session, _SENDERS, timeout),
            }
    except (psycopg.Error, DeadlinePassed):
        return None


async def _rows(session: Session, sql: str, limit: float) -> list[list[Any]]:
    return [list(row.values()) for row in await session.fetch(sql, limit=limit)]


# A transaction of our own that changes nothing, and does not wait for the standby: whether that
# has it is the question.
_CANARY = """SELECT pg_current_xact_id()::text AS xid,
    pg_logical_emit_message(true, 'drharness', 'canary')::text AS lsn
    FROM (SELECT set_config('synchronous_commit', 'local', true) AS set) AS own
    WHERE own.set = 'local'"""
_SEEN = "SELECT pg_xact_status(%s::text::xid8) = 'committed' AS yes"
_DIGESTED = ("epoch", "seq", "sha")


async def canary(*, home: str = HOME, timeout: float = 5.0) -> dict[str, Any]:
    """On the active database: digest its contents, then commit a transaction to be looked for.

    :returns: ``xid`` of it, ``senders`` as in :func:`audit`, ``digest`` (``epoch``, ``seq``,
        ``sha``)
    """
    digested = await digest(home=home, timeout=timeout)
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        senders = await _rows(session, _SENDERS, timeout)
        row = (await session.fetch(_CANARY, limit=timeout))[0]
    return {"xid": row["xid"], "senders": senders, "digest": {k: digested[k] for k in _DIGESTED}}


async def readable(*, xid: str, home: str = HOME, timeout: float = 5.0) -> dict[str, Any]:
    """On a standby: wait until a transaction of the active database can be read here.

    :param timeout: seconds until it is given up
    :returns: ``in_recovery``; ``waited_s`` from the first look on (0.0: it was there; None: it
        never came); ``digest`` as of :func:`canary`, after that
    """
    loop = asyncio.get_running_loop()
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        row = await session.fetch("SELECT pg_is_in_recovery() AS yes", limit=timeout)
        started, waited = loop.time(), 0.0
        try:
            if not await _committed(session, xid, timeout):
                await until(
                    lambda: _committed(session, xid, timeout), "the canary", timeout=timeout
                )
                waited = loop.time() - started
            found: float | None = round(waited, 3)
        except WaitTimeout:
            found = None
    digested = await digest(home=home, timeout=timeout)
    kept = {k: digested[k] for k in _DIGESTED}
    return {"in_recovery": row[0]["yes"], "waited_s": found, "digest": kept}


async def _committed(session: Session, xid: str, limit: float) -> bool:
    try:
        return bool((await session.fetch(_SEEN, [xid], limit=limit))[0]["yes"])
    except psycopg.errors.InvalidParameterValue:  # it lies in this server's future
        return False
