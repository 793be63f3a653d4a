"""One database session on psycopg's asynchronous connection, with deadlines kept on our side.

psycopg answers a cancelled await by asking the server to cancel the statement. For a commit that
waits for its standby this would be fatal: the server then reports success for a commit that nobody
replicated. So a deadline here never cancels: it shuts the socket down, and the request fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from drharness.errors import WaitTimeout
from drharness.kernel import waiting

T = TypeVar("T")
Row = dict[str, Any]
_CLOSED = "the server closed the session"


class DeadlinePassed(WaitTimeout):
    """A request was given up after its deadline; the session has gone with it."""

    def __init__(self, what: str, waited_s: float) -> None:
        super().__init__(what, waited_s, "no answer")


class Session:
    """A session in autocommit mode; requests must not overlap (the owner serialises them)."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self._notices: list[str] = []
        connection.add_notice_handler(self._noticed)

    @classmethod
    async def connect(cls, timeout: float, **parameters: str) -> Session:
        """Open a session within ``timeout`` seconds; PG* environment variables count for nothing.

        :raises psycopg.Error: refused, or the server said no
        :raises DeadlinePassed: no answer in time
        """
        info = make_conninfo("sslmode=disable gssencmode=disable", **parameters)
        with _without_pg_variables():
            try:
                async with asyncio.timeout(timeout):
                    return cls(
                        await psycopg.AsyncConnection.connect(
                            info, autocommit=True, row_factory=dict_row
                        )
                    )
            except TimeoutError as error:
                raise DeadlinePassed("session with the database", timeout) from error

    @property
    def pid(self) -> int:
        """Process id of the server's side."""
        return self._connection.info.backend_pid

    @property
    def dead(self) -> bool:
        """Whether the session is known to be over."""
        return self._connection.closed

    def check(self) -> None:
        """Look, without a round trip, whether the server has ended the session meanwhile.

        :raises psycopg.OperationalError: it has; nothing was sent
        """
        libpq = self._connection.pgconn
        for _ in range(3):  # a farewell message, then the end of the stream
            if self.dead:
                raise psycopg.OperationalError("; ".join([_CLOSED, *self._notices]))
            poll = select.poll()
            poll.register(libpq.socket, select.POLLIN)
            if not poll.poll(0):
                return
            try:
                libpq.consume_input()
            except psycopg.OperationalError as error:
                said = "; ".join([_CLOSED, *self._notices])
                raise psycopg.OperationalError(said) from error
            libpq.is_busy()

    async def fetch(self, sql: str, values: Sequence[object] = (), *, limit: float) -> list[Row]:
        """Run one statement and return its rows, within ``limit`` seconds.

        :raises psycopg.Error: the server's error, or the session was lost
        :raises DeadlinePassed: no answer in time
        """
        return (await self.fetch_noticed(sql, values, limit=limit))[0]

    async def fetch_noticed(
        self, sql: str, values: Sequence[object] = (), *, limit: float
    ) -> tuple[list[Row], tuple[str, ...]]:
        """As :meth:`fetch`, with the warnings that came along."""
        self._notices.clear()
        rows = await self.deadline(self._fetch(sql, values), limit)
        return rows, tuple(self._notices)

    @property
    def notices(self) -> tuple[str, ...]:
        """Warnings that came during the last request, also if it failed."""
        return tuple(self._notices)

    async def deadline(self, work: Coroutine[Any, Any, T], limit: float) -> T:
        """Run ``work`` on this session; when ``limit`` passes or we are cancelled, cut the session.

        :raises DeadlinePassed: the limit passed
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
        except asyncio.CancelledError:
            await self._abandon(task)
            raise
        if not done:
            await self._abandon(task)
            raise DeadlinePassed("answer of the database", limit)
        return task.result()

    async def close(self) -> None:
        """End the session."""
        await self._connection.close()

    async def _abandon(self, task: asyncio.Future[T]) -> None:
        with contextlib.suppress(OSError, psycopg.Error):
            fd = self._connection.pgconn.socket
            with socket.socket(fileno=os.dup(fd)) as shared:
                shared.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen: what matters is that the session was cut
        await self._connection.close()

    async def _fetch(self, sql: str, values: Sequence[object]) -> list[Row]:
        cursor = await self._connection.execute(sql.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []

    def _noticed(self, message: psycopg.errors.Diagnostic) -> None:
        if message.severity_nonlocalized != "NOTICE" and message.message_primary:
            self._notices.append(message.message_primary)


async def until(
    probe: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    timeout: float,
    interval: float = 0.004,
    hint: str = "",
) -> T:
    """Await ``probe()`` until it returns something true; a lost or refused session means "not yet".

    :raises WaitTimeout: with the last observation or error
    """
    loop = asyncio.get_running_loop()
    started, limit = loop.time(), waiting.scaled(timeout)
    while True:
        last = loop.time() - started >= limit
        try:
            seen = await probe()
            if seen:
                return seen
            observation = repr(seen)
        except (psycopg.OperationalError, DeadlinePassed) as error:
            observation = f"{type(error).__name__}: {error}".strip()
        if last:
            raise WaitTimeout(what, loop.time() - started, observation, hint)
        await asyncio.sleep(interval)


@contextlib.contextmanager
def _without_pg_variables() -> Iterator[None]:
    """libpq reads PGSERVICE, PGOPTIONS and more at the start of a connection."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(taken)
