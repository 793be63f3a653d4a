"""What one look at a database yields: the fields of the history's ``db`` event."""

from __future__ import annotations

import os
from typing import Any

from drharness.dbms.session import Session

# Of a server that does not accept sessions.
_FIELDS = "in_recovery writable sysid tli cur recv replay sync_names epoch seq"
NOTHING: dict[str, Any] = {
    "accepting": False,
    **dict.fromkeys(_FIELDS.split(), None),
    "senders": [],
    "sessions": [],
}

# The timeline in recovery is the one being received; the control file knows it only since the last
# restart point. The name of a WAL file starts with the timeline.
_SQL = """
WITH r AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby)
SELECT true AS accepting, r.standby AS in_recovery, NOT r.standby AS writable,
    (SELECT system_identifier::text FROM pg_control_system()) AS sysid,
    CASE WHEN r.standby THEN coalesce(
            (SELECT received_tli FROM pg_stat_wal_receiver),
            (SELECT timeline_id FROM pg_control_checkpoint()))::bigint
        ELSE ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint
        END AS tli,
    CASE WHEN NOT r.standby THEN pg_current_wal_lsn()::text END AS cur,
    CASE WHEN r.standby THEN pg_last_wal_receive_lsn()::text END AS recv,
    CASE WHEN r.standby THEN pg_last_wal_replay_lsn()::text END AS replay,
    current_setting('synchronous_standby_names') AS sync_names, c.epoch, c.seq,
    coalesce((SELECT json_agg(
            json_build_array(application_name, host(client_addr), sync_state) ORDER BY pid)
        FROM pg_stat_replication), '[]') AS senders,
    coalesce((SELECT json_agg(json_build_array(application_name, host(client_addr)) ORDER BY pid)
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND usename = 'configserver'), '[]') AS sessions
FROM r, cfg_commit c
"""

# Waiting for one another: for a lock, or for the standby.
_RESOURCES = """
SELECT (SELECT sum(size) FROM pg_ls_waldir())::float8 / 1048576 AS pg_wal_mb,
    current_setting('data_directory') AS data,
    coalesce((SELECT extract(epoch FROM max(clock_timestamp() - query_start))
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active'
        AND wait_event_type IN ('Lock', 'IPC')), 0)::float8 AS max_wait_s
"""


async def take(session: Session, *, limit: float) -> dict[str, Any]:
    """The fields of a ``db`` event but its name.

    ``accepting``, ``in_recovery``, ``writable`` (not in recovery), ``sysid``, ``tli``; LSNs ``cur``
    (of a primary), ``recv`` and ``replay`` (of a standby); ``sync_names``, the standbys that
    commits wait for; ``senders`` as [name, address, sync state], ``sessions`` of Configuration
    Servers as [application name, address]; ``epoch``; ``seq``.

    :raises psycopg.Error, DeadlinePassed: no answer
    """
    row = (await session.fetch(_SQL, limit=limit))[0]
    return row | {"epoch": row["epoch"] or None}


async def resources(session: Session, *, limit: float) -> dict[str, float]:
    """The fields of a ``res`` event but its name: ``pg_wal_mb``, ``free_mb``, ``max_wait_s``.

    :raises psycopg.Error, DeadlinePassed: no answer
    """
    row = (await session.fetch(_RESOURCES, limit=limit))[0]
    disk = os.statvfs(row["data"])
    return {
        "pg_wal_mb": round(row["pg_wal_mb"], 1),
        "free_mb": round(disk.f_bavail * disk.f_frsize / 1048576, 1),
        "max_wait_s": round(row["max_wait_s"], 3),
    }
