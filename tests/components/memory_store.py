"""A second implementation of the ``Store`` interface: a model of the Configuration Database.

One :class:`Database` is shared by all its sessions; it has epochs, a history log and one writer
lock, and can be made unreachable, read-only, silent, or unable to replicate.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from drharness.components.store import (
    Change,
    Commit,
    Epoch,
    Indeterminate,
    ReadOnly,
    Rejected,
    Snapshot,
    Unavailable,
)

SYNC_WARNING = "canceling wait for synchronous replication due to user request"


@dataclass
class Database:
    """What is on the database's disk, and how it behaves just now.

    :ivar reachable: false: new sessions are refused
    :ivar read_only: it is in recovery
    :ivar warn: the next commits succeed with the warning that the standby lacks them
    :ivar lose: the next commit is done, but the session ends before it is acknowledged
    :ivar frozen: clear: no request is answered
    :ivar oldest: history log: commits up to here are gone
    """

    objects: dict[str, tuple[int, object]] = field(default_factory=dict)
    log: list[Commit] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=lambda: [Epoch("e1", 1)])
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    opened: list[MemoryStore] = field(default_factory=list)
    holder: MemoryStore | None = None
    seq: int = 0
    dbid: int = 100
    oldest: int = 0
    reachable: bool = True
    read_only: bool = False
    warn: bool = False
    lose: bool = False
    frozen: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Answer requests."""
        self.frozen.set()

    @property
    def epoch(self) -> str:
        """The current epoch."""
        return self.epochs[-1].token

    def copy(self) -> Database:
        """A standby that has everything."""
        return Database(
            dict(self.objects),
            list(self.log),
            list(self.epochs),
            dict(self.sessions),
            seq=self.seq,
            dbid=self.dbid,
            read_only=True,
        )

    def promote(self, token: str) -> None:
        """Start a new epoch and accept writes."""
        self.read_only = False
        self.epochs.append(Epoch(token, self.seq + 1))

    def drop_sessions(self) -> None:
        """End every session, as a reset connection does."""
        for store in list(self.opened):
            store.end()

    def commit(self, change: Change) -> Commit:
        """Apply a change.

        :raises Rejected: a constraint is violated
        """
        found = self.objects.get(change.key)
        exists = found is not None
        if change.f == "create" and exists:
            raise Rejected(f"object {change.key} exists", "23505")
        if change.f in ("cas", "delete") and not exists:
            raise Rejected(f"no object {change.key}")
        dbid, old = found if found is not None else (0, None)
        if change.f == "cas" and old != change.expected:
            raise Rejected(f"object {change.key} has another value")
        self.seq += 1
        if not exists:
            self.dbid += 1
            dbid = self.dbid
        val = change.val
        if change.f == "append":
            val = [*(old if isinstance(old, list) else []), change.val]
        if change.f == "delete":
            val = None
            del self.objects[change.key]
        else:
            self.objects[change.key] = (dbid, val)
        notices = (SYNC_WARNING,) if self.warn else ()
        done = Commit(self.seq, self.epoch, change, val, dbid, ("0/1", "0/2"), notices)
        self.log.append(done)
        return done


class MemoryStore:
    """One session to a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lost = asyncio.Event()
        self._open = False

    def end(self) -> None:
        """The session is over; the writer lock is free."""
        self._open = False
        self.lost.set()
        if self.database.holder is self:
            self.database.holder = None
        if self in self.database.opened:
            self.database.opened.remove(self)

    async def _request(self) -> None:
        await asyncio.sleep(0)
        while not self.database.frozen.is_set():
            await self.database.frozen.wait()
        if not self._open:
            raise Unavailable("no session")

    async def open(self) -> None:
        """Connect; see the interface."""
        if not self.database.reachable:
            raise Unavailable("connection refused")
        if self.database.read_only:
            raise ReadOnly("the database is in recovery", "25006")
        self._open = True
        self.database.opened.append(self)

    async def acquire_writer_lock(self) -> bool:
        """Try to become the one writer."""
        await self._request()
        if self.database.holder is None:
            self.database.holder = self
        return self.database.holder is self

    async def load(self) -> Snapshot:
        """Everything at one commit."""
        await self._request()
        db = self.database
        return Snapshot(db.epoch, db.seq, dict(db.objects), tuple(db.epochs))

    async def apply(self, change: Change) -> Commit:
        """Commit one change."""
        await self._request()
        if self.database.read_only:
            raise ReadOnly("cannot execute UPDATE in a read-only transaction", "25006")
        done = self.database.commit(change)
        if self.database.lose:
            self.database.lose = False
            self.end()
            raise Indeterminate("the session was lost while waiting")
        return done

    async def history(self, after_seq: int, limit: int) -> list[Commit]:
        """Commits after a seq."""
        await self._request()
        kept = (c for c in self.database.log if c.seq > max(after_seq, self.database.oldest))
        return list(kept)[:limit]

    async def save_session(self, session: str, client: str, seq: int) -> None:
        """Remember a client's session."""
        await self._request()
        self.database.sessions[session] = (client, seq)

    async def session(self, session: str) -> tuple[str, int] | None:
        """A remembered session."""
        await self._request()
        return self.database.sessions.get(session)

    async def ping(self) -> None:
        """One round trip."""
        await self._request()

    async def close(self) -> None:
        """End the session."""
        self.end()
