"""The Configuration Database behind the ``Store`` interface: one psycopg session.

What an error means decides the verdict of a run, so it is fixed here: an error the server reports
while the session lives has rolled the transaction back (``Rejected`` for what the data hold, else
``NotDone`` or ``ReadOnly``); a session that ends, or a deadline that passes, after a change was
sent leaves its outcome open: ``Indeterminate``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from drharness.components.store import (
    Change,
    Commit,
    Epoch,
    Indeterminate,
    NotDone,
    ReadOnly,
    Rejected,
    Snapshot,
    StoreError,
    Unavailable,
)
from drharness.dbms.session import DeadlinePassed, Row, Session
from drharness.topology import addresses

WRITER_LOCK = 0x6472  # number of the advisory lock: any constant that all writers share
READ_ONLY = "25006"
# Classes of sqlstate that speak of the change itself: data, constraints, limits, cfg_apply's own.
_ABOUT_DATA = ("22", "23", "54", "DR")
_APPLY = "SELECT * FROM cfg_apply(%s, %s, %s, %s, %s, '')"
_LSN = "SELECT pg_current_wal_insert_lsn()::text AS lsn"
_LOAD = """SELECT c.epoch, c.seq,
    (SELECT json_object_agg(o.key, json_build_array(o.dbid, o.value)) FROM cfg_object o) AS objects,
    (SELECT json_agg(json_build_array(e.token, e.first_seq) ORDER BY e.ordinal)
        FROM cfg_epoch e) AS epochs
    FROM cfg_commit c"""
_HISTORY = """SELECT seq, epoch, f, key, arg, val, dbid, opid FROM cfg_hdb_object
    WHERE seq > %s ORDER BY seq LIMIT %s"""
# Sessions do not wait for the standby: a master without one must not hang on them.
_SAVE = """INSERT INTO cfg_hdb_session (session, client, seq)
    SELECT %s, %s, %s FROM (SELECT set_config('synchronous_commit', 'local', true) AS set) AS own
    WHERE own.set = 'local'
    ON CONFLICT (session) DO UPDATE
    SET client = excluded.client, seq = excluded.seq, saved_at = clock_timestamp()"""


class PgStore:
    """One session to PostgreSQL; what methods promise: :class:`drharness.components.store.Store`.

    :ivar lost: set as soon as the session is known to be over
    """

    def __init__(
        self, settings: Mapping[str, str], *, application_name: str = "configserver"
    ) -> None:
        """Take the ``[dbserver]`` settings; nothing is connected yet.

        :param settings: ``dbserver`` (IPv4 address), ``dbport``, ``dbname``, ``username``,
            ``password``; ``reconnect-timeout`` bounds connecting, ``response-timeout`` one request
            (seconds, 5 and 10 by default); ``through``: ``host:port`` of something between us and
            the server, which is connected to instead
        """
        self.lost = asyncio.Event()
        self._connect_s = float(settings.get("reconnect-timeout", "5"))
        self._response_s = float(settings.get("response-timeout", "10"))
        self._lock = asyncio.Lock()
        self._session: Session | None = None
        port = settings.get("dbport", str(addresses.POSTGRES_PORT))
        host, _, port = settings.get("through", f"{settings['dbserver']}:{port}").partition(":")
        silence_s = max(1, round(self._response_s / 2))
        self._parameters: dict[str, str] = {
            "hostaddr": host,
            "port": port,
            "dbname": settings.get("dbname", "config"),
            "user": settings.get("username", "configserver"),
            "password": settings.get("password", "configserver"),
            "application_name": application_name,
            "keepalives_idle": str(silence_s),
            "keepalives_interval": str(silence_s),
            "keepalives_count": "2",
            "tcp_user_timeout": str(round(self._response_s * 1000)),
        }

    async def open(self) -> None:
        """Connect; see the interface."""
        try:
            self._session = await Session.connect(self._connect_s, **self._parameters)
        except (psycopg.Error, DeadlinePassed) as error:
            raise Unavailable(str(error).strip(), getattr(error, "sqlstate", None) or "") from error
        rows = await self._read("SELECT pg_is_in_recovery() AS standby")
        if rows[0]["standby"]:
            await self.close()
            raise ReadOnly("the database is in recovery: it is a standby", READ_ONLY)

    async def acquire_writer_lock(self) -> bool:
        """Try to become the one writer; the first writer ever also opens the first epoch."""
        sql = "SELECT pg_try_advisory_lock(%s) AS held, epoch FROM cfg_commit"
        row = (await self._read(sql, [WRITER_LOCK]))[0]
        if row["held"] and not row["epoch"]:
            await self._write("SELECT cfg_current_epoch()", [])
        return bool(row["held"])

    async def load(self) -> Snapshot:
        """Everything, by one statement and so in one snapshot."""
        row = (await self._read(_LOAD))[0]
        return Snapshot(
            epoch=row["epoch"],
            seq=row["seq"],
            objects={k: (dbid, val) for k, (dbid, val) in (row["objects"] or {}).items()},
            epochs=tuple(Epoch(token, first) for token, first in row["epochs"] or ()),
        )

    async def apply(self, change: Change) -> Commit:
        """Commit one change; the same ``opid`` again returns the commit it had the first time."""
        values = [
            change.f,
            change.key,
            Jsonb(change.val),
            Jsonb(change.expected),
            change.opid,
        ]
        async with self._lock:
            rows, notices = await self._write_locked(_APPLY, values)
            row = rows[0]
            return Commit(
                seq=row["seq"],
                epoch=row["epoch"],
                change=change,
                val=row["val"],
                dbid=row["dbid"],
                lsn=(row["lsn"], await self._lsn_after()),
                notices=notices,
            )

    async def history(self, after_seq: int, limit: int) -> list[Commit]:
        """History log, oldest first; ``change.val`` is what the client gave, ``val`` the result."""
        return [
            Commit(
                seq=row["seq"],
                epoch=row["epoch"],
                change=Change(row["f"], row["key"], row["arg"], row["opid"]),
                val=row["val"],
                dbid=row["dbid"],
            )
            for row in await self._read(_HISTORY, [after_seq, limit])
        ]

    async def save_session(self, session: str, client: str, seq: int) -> None:
        """Remember a client's session; its outcome may be open like that of any change."""
        await self._write(_SAVE, [session, client, seq])

    async def session(self, session: str) -> tuple[str, int] | None:
        """A remembered session as (client, last event)."""
        sql = "SELECT client, seq FROM cfg_hdb_session WHERE session = %s"
        rows = await self._read(sql, [session])
        return (rows[0]["client"], rows[0]["seq"]) if rows else None

    async def ping(self) -> None:
        """One round trip."""
        await self._read("SELECT 1")

    async def close(self) -> None:
        """End the session, having given the writer lock back."""
        session, self._session = self._session, None
        self.lost.set()
        if session is None:
            return
        if not session.dead and not self._lock.locked():
            with contextlib.suppress(psycopg.Error, DeadlinePassed):
                await session.fetch("SELECT pg_advisory_unlock_all()", limit=1.0)
        await session.close()

    async def _read(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """A request that changes nothing: when it fails, nothing happened."""
        async with self._lock:
            session = self._ready()
            try:
                return await session.fetch(sql, values, limit=self._response_s)
            except (psycopg.Error, DeadlinePassed) as error:
                raise self._judged(session, error, open_outcome=False) from error

    async def _write(self, sql: str, values: Sequence[object]) -> list[Row]:
        async with self._lock:
            return (await self._write_locked(sql, values))[0]

    async def _write_locked(
        self, sql: str, values: Sequence[object]
    ) -> tuple[list[Row], tuple[str, ...]]:
        session = self._ready()
        try:
            return await session.fetch_noticed(sql, values, limit=self._response_s)
        except (psycopg.Error, DeadlinePassed) as error:
            raise self._judged(session, error, open_outcome=True) from error
        except asyncio.CancelledError:
            self.lost.set()
            raise

    async def _lsn_after(self) -> str:
        """The upper end of the bracket; the change is committed, so nothing may fail any more."""
        try:
            rows = await self._ready().fetch(_LSN, limit=self._response_s)
        except (psycopg.Error, DeadlinePassed, StoreError):
            self._note_loss()
            return ""
        return str(rows[0]["lsn"])

    def _ready(self) -> Session:
        """The session, known to be alive an instant ago; from here on a request counts as sent."""
        if self._session is None:
            self.lost.set()
            raise Unavailable("no session: not opened, or closed")
        try:
            self._session.check()
        except psycopg.Error as error:
            self.lost.set()
            raise Unavailable(str(error).strip(), error.sqlstate or "") from error
        return self._session

    def _note_loss(self) -> None:
        if self._session is None or self._session.dead:
            self.lost.set()

    def _judged(self, session: Session, error: Exception, *, open_outcome: bool) -> StoreError:
        """What an error of a sent request means for the change it carried."""
        text = str(error).strip() or type(error).__name__
        sqlstate = getattr(error, "sqlstate", None) or ""
        diagnosis: Any = getattr(error, "diag", None)
        severity = diagnosis.severity_nonlocalized if diagnosis is not None else None
        if not session.dead and (severity == "ERROR" or isinstance(error, psycopg.DataError)):
            kind: type[StoreError] = NotDone
            if sqlstate.startswith(_ABOUT_DATA) or isinstance(error, psycopg.DataError):
                kind = Rejected
            elif sqlstate == READ_ONLY:
                kind = ReadOnly
            return kind(diagnosis.message_primary or text, sqlstate)
        self.lost.set()
        if open_outcome:
            return Indeterminate(text, sqlstate, session.notices)
        return Unavailable(text, sqlstate)
