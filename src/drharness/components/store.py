"""The Configuration Database as a Configuration Server sees it: an interface, two implementations.

``seq`` is the commit order: taken under a row lock inside the write's own transaction. An epoch is
one period of one writable database: a random token stored at promotion. ``lsn`` is a bracket
(before, after) and orders nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol


class StoreError(Exception):
    """Base; ``sqlstate`` where the database gave one."""

    def __init__(self, text: str, sqlstate: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class Unavailable(StoreError):
    """No session: refused, timed out, reset or closed before sending. Nothing happened."""


class ReadOnly(StoreError):
    """The database is in recovery (a standby); sqlstate 25006. Nothing happened."""


class Rejected(StoreError):
    """A constraint was violated (exists, does not exist, compare failed). Nothing happened."""


class NotDone(StoreError):
    """The database could not do it now (no room, cancelled, deadlock). Nothing happened."""


class Indeterminate(StoreError):
    """The session was lost, or the deadline passed, after sending: it may have happened."""

    def __init__(self, text: str, sqlstate: str = "", notices: tuple[str, ...] = ()) -> None:
        super().__init__(text, sqlstate)
        self.notices = notices


@dataclass(frozen=True)
class Change:
    """A configuration change as a client asks for it.

    :ivar f: ``create`` (fails if the key exists), ``write`` (create or replace), ``append`` (to a
        list), ``cas`` (replace if the value equals ``expected``), ``delete``
    :ivar key: object path, ``app/17``
    :ivar val: JSON value (for ``append``: the element)
    :ivar opid: the client's operation id, unique over the run; stored with the change
    """

    f: str
    key: str
    val: object = None
    opid: str = ""
    expected: object = None


@dataclass(frozen=True)
class Commit:
    """A committed change: its place in the commit order and the object's value after it."""

    seq: int
    epoch: str
    change: Change
    val: object
    dbid: int
    lsn: tuple[str, str] = ("", "")
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One line of the epoch table: commits of this epoch have ``seq >= first_seq``."""

    token: str
    first_seq: int


@dataclass(frozen=True)
class Snapshot:
    """Everything at one commit: ``objects`` maps key to (dbid, value); ``epochs`` oldest first."""

    epoch: str
    seq: int
    objects: dict[str, tuple[int, object]]
    epochs: tuple[Epoch, ...] = field(default=())


class Store(Protocol):
    """One session to the database; not reused after it was lost: open a new one."""

    lost: asyncio.Event

    async def open(self) -> None:
        """Connect.

        :raises Unavailable: refused, timed out or reset, with the reason
        :raises ReadOnly: connected, but the database is in recovery
        """

    async def acquire_writer_lock(self) -> bool:
        """Try to become the one writer until the session ends. False: somebody else holds it."""

    async def load(self) -> Snapshot:
        """Everything, in one consistent read."""

    async def apply(self, change: Change) -> Commit:
        """Commit one change in a transaction of its own.

        :raises Rejected, NotDone, ReadOnly, Unavailable: certainly not done
        :raises Indeterminate: perhaps done (also: success with the sync-wait warning is *not* an
            error here: it returns, with ``notices`` set)
        """

    async def history(self, after_seq: int, limit: int) -> list[Commit]:
        """History log: commits with ``seq > after_seq``, oldest first, at most ``limit``."""

    async def save_session(self, session: str, client: str, seq: int) -> None:
        """Remember a client's session and the last event it was sent."""

    async def session(self, session: str) -> tuple[str, int] | None:
        """A remembered session as (client, last event), or None."""

    async def ping(self) -> None:
        """One round trip; sets ``lost`` and raises Unavailable when the session is dead."""

    async def close(self) -> None:
        """End the session; the writer lock is free afterwards."""
