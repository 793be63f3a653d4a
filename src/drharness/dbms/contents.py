"""What is in the database: the final read-back of a run, digests, and waiting for quiet."""

from __future__ import annotations

from typing import Any

from drharness.dbms import sample, settings
from drharness.dbms.place import HOME, Place
from drharness.dbms.session import Session, until

_CONTENT = """SELECT c.epoch, c.seq,
    (SELECT coalesce(json_object_agg(key, value), '{}') FROM cfg_object) AS objects,
    (SELECT coalesce(json_object_agg(opid, h.seq), '{}')
        FROM cfg_hdb_object h WHERE opid <> '') AS ops,
    (SELECT coalesce(json_object_agg(opid, h.dbid), '{}')
        FROM cfg_hdb_object h WHERE opid <> '') AS dbids,
    (SELECT coalesce(json_agg(json_build_object('token', token, 'first_seq', first_seq, 'tli', tli,
        'switch_lsn', switch_lsn, 'plan', plan) ORDER BY ordinal), '[]') FROM cfg_epoch) AS epochs
    FROM cfg_commit c"""

# Each table in the order of each of its indexes.
_ORDERS = {
    "cfg_object by dbid": "SELECT o::text AS line FROM cfg_object o ORDER BY dbid",
    "cfg_object by key": "SELECT o::text AS line FROM cfg_object o ORDER BY key",
    "cfg_hdb_object by seq": "SELECT h::text AS line FROM cfg_hdb_object h ORDER BY seq",
    "cfg_hdb_object by opid": (
        "SELECT h::text AS line FROM cfg_hdb_object h WHERE opid <> '' ORDER BY opid"
    ),
    "cfg_epoch by ordinal": "SELECT e::text AS line FROM cfg_epoch e ORDER BY ordinal",
}
_SCANS = ("seqscan", "sort", "incremental_sort", "bitmapscan", "indexscan", "indexonlyscan")
_BY_INDEX = ("indexscan", "indexonlyscan")
_BY_HEAP = ("seqscan", "sort")
_DIGEST = """SELECT encode(sha256(convert_to(concat(
    (SELECT string_agg(o::text, chr(10) ORDER BY dbid) FROM cfg_object o), chr(12),
    (SELECT string_agg(h::text, chr(10) ORDER BY seq) FROM cfg_hdb_object h), chr(12),
    (SELECT string_agg(e::text, chr(10) ORDER BY ordinal) FROM cfg_epoch e), chr(12),
    (SELECT m.value FROM cfg_max_dbid m)), 'UTF8')), 'hex') AS sha,
    (SELECT seq FROM cfg_commit) AS seq, (SELECT epoch FROM cfg_commit) AS epoch"""
_WRITERS = """SELECT count(*) AS n FROM pg_stat_activity
    WHERE usename = 'configserver' AND state IS DISTINCT FROM 'idle'"""


async def size(*, home: str = HOME, timeout: float = 30.0) -> dict[str, int]:
    """How much there is: ``seq`` of the last change, number of ``objects``."""
    sql = "SELECT seq, (SELECT count(*) FROM cfg_object) AS objects FROM cfg_commit"
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        row = (await session.fetch(sql, limit=timeout))[0]
    return {"seq": row["seq"], "objects": row["objects"]}


async def dump(*, home: str = HOME, timeout: float = 30.0) -> dict[str, Any]:
    """Everything, for the history's ``final`` event.

    :returns: ``epoch``, ``seq``, ``objects`` (key to value), ``ops`` (operation id to seq, from the
        history log), ``dbids`` (operation id to object id, the same), ``epochs`` (oldest first),
        ``index_equals_heap``, ``differing`` (where not)
    """
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        await session.fetch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", limit=timeout)
        row = (await session.fetch(_CONTENT, limit=timeout))[0]
        differing = [
            name
            for name, sql in _ORDERS.items()
            if await _lines(session, sql, _BY_INDEX, timeout)
            != await _lines(session, sql, _BY_HEAP, timeout)
        ]
    return {**row, "index_equals_heap": not differing, "differing": differing}


async def digest(*, home: str = HOME, timeout: float = 10.0) -> dict[str, Any]:
    """A digest of the contents: equal on both databases at equal LSN (compare with writes paused).

    :returns: ``at`` (LSN written or replayed), ``sha``, ``seq``, ``epoch``
    """
    async with Place(home).session(settings.SUPERUSER, timeout) as session:
        seen = await sample.take(session, limit=timeout)
        row = (await session.fetch(_DIGEST, limit=timeout))[0]
    return {"at": seen["cur"] or seen["replay"], **row}


async def quiesced(*, lsn: str = "", home: str = HOME, timeout: float = 10.0) -> dict[str, Any]:
    """Wait until no Configuration Server is at work and nothing changes any more.

    :param lsn: on a standby: also wait until this LSN of the primary's has been replayed
    :returns: the ``db`` event's fields
    :raises WaitTimeout: with the last observation
    """
    last: list[object] = []

    async with Place(home).session(settings.SUPERUSER, timeout) as session:

        async def probe() -> dict[str, Any] | None:
            nonlocal last
            writers = (await session.fetch(_WRITERS, limit=timeout))[0]["n"]
            seen = await sample.take(session, limit=timeout)
            before, last = last, [seen["seq"], seen["epoch"], seen["replay"]]
            reached = not lsn or await _reached(session, lsn, timeout)
            return seen if reached and before == last and not writers else None

        return await until(probe, f"quiet database in {home}", timeout=timeout, interval=0.05)


async def _reached(session: Session, lsn: str, limit: float) -> bool:
    sql = """SELECT %s::text::pg_lsn <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_lsn() END AS yes"""
    return bool((await session.fetch(sql, [lsn], limit=limit))[0]["yes"])


async def _lines(session: Session, sql: str, allowed: tuple[str, ...], limit: float) -> list[str]:
    """The rows in order, with only these kinds of plan allowed."""
    for kind in _SCANS:
        value = "on" if kind in allowed else "off"
        await session.fetch(f"SET LOCAL enable_{kind} = {value}", limit=limit)
    return [row["line"] for row in await session.fetch(sql, limit=limit)]
