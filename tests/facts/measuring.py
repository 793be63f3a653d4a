"""Small tools to measure with: SQL on a server, commits that wait, settings before a start."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from drharness.components.store import Change, Commit
from drharness.dbms.as_postgres import launcher
from drharness.dbms.binaries import find
from drharness.dbms.place import Place
from drharness.dbms.session import Row, Session, until
from drharness.dbms.store import PgStore
from drharness.kernel import proc
from tests.dbms.conftest import Provision
from tests.dbms.running import Pair, Running, free_port, run

T = TypeVar("T")


def of_this_major(values: Mapping[int, T]) -> T:
    """The value of a table by major version for the PostgreSQL in use: its own, or the last before.

    A table names the majors at which a behaviour changed, and says where each was measured.
    """
    return values[max(major for major in values if major <= find().major)]


async def ask(running: Running, sql: str, *values: object, limit: float = 5.0) -> list[Row]:
    """Run one statement as superuser in a session of its own."""
    async with Place(running.home).session("postgres", limit) as session:
        return await session.fetch(sql, values, limit=limit)


async def value(running: Running, sql: str, *values: object) -> Any:
    """The first column of the only row."""
    (row,) = await ask(running, sql, *values)
    return next(iter(row.values()))


async def numbers(running: Running) -> list[int]:
    """What is in table ``noted`` (see :func:`make_table`)."""
    return [row["n"] for row in await ask(running, "SELECT n FROM noted ORDER BY n")]


def make_table(running: Running) -> None:
    """A table ``noted`` of numbers."""
    run(ask(running, "CREATE TABLE noted (n int)"))


async def note(running: Running, number: int) -> None:
    """Commit a row of ``noted``."""
    await ask(running, "INSERT INTO noted VALUES (%s)", number)


async def waiting_commits(running: Running, count: int = 1) -> list[int]:
    """Wait until so many commits wait for a standby: the process ids of their sessions."""
    sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' ORDER BY pid"

    async def probe() -> list[int] | None:
        pids = [row["pid"] for row in await ask(running, sql)]
        return pids if len(pids) == count else None

    return await until(probe, f"{count} commits that wait for a standby", timeout=10)


async def left_recovery(running: Running, timeout: float = 10.0) -> None:
    """Wait until a server is a primary."""

    async def probe() -> bool:
        return bool(await value(running, "SELECT NOT pg_is_in_recovery()"))

    await until(probe, "a server out of recovery", timeout=timeout)


async def caught_up(primary: Running, standby: Running, kind: str = "replay") -> None:
    """Wait until a standby has replayed (or, ``receive``, received) all that the primary wrote."""
    lsn = await value(primary, "SELECT pg_current_wal_flush_lsn()::text")
    sql = f"SELECT pg_last_wal_{kind}_lsn() >= %s::text::pg_lsn"

    async def probe() -> bool:
        return bool(await value(standby, sql, lsn))

    await until(probe, f"{kind} up to {lsn}", timeout=10)


@asynccontextmanager
async def opened(running: Running, **options: str) -> AsyncIterator[PgStore]:
    """An open store on a server."""
    store = running.store(**options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def write(running: Running, key: str, **options: str) -> Commit:
    """One change through a store of its own."""
    async with opened(running, **options) as store:
        return await store.apply(Change("write", key, 1, key))


def start_write(store: PgStore, key: str) -> asyncio.Task[Commit]:
    """A change that goes on in the background."""
    return asyncio.ensure_future(store.apply(Change("write", key, 1, key)))


@asynccontextmanager
async def superuser(running: Running) -> AsyncIterator[Session]:
    """A session that stays."""
    async with Place(running.home).session("postgres", 5) as session:
        yield session


def settle(running: Running, **values: object) -> None:
    """Add settings to the file of a server that is started later."""
    with Path(running.home, "data/postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{given}'\n" for name, given in values.items())


def admit(running: Running, line: str) -> None:
    """Add a line to ``pg_hba.conf`` of a server that is started later."""
    with Path(running.home, "data/pg_hba.conf").open("a") as file:
        file.write(f"{line}\n")


def idle_pair(provision: Provision, *, synchronous: bool = False) -> Pair:
    """A primary and its standby, neither started, so that files can still be changed."""
    one, two = free_port(), free_port()
    return Pair(
        provision("region1", "primary", port=one, peer_port=two, synchronous=synchronous, name="1"),
        provision("region2", "standby", port=two, peer_port=one, synchronous=synchronous, name="2"),
    )


def program(name: str, *arguments: str, check: bool = True) -> proc.Completed:
    """Run one of PostgreSQL's programs as user postgres."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSWORD": "configserver"}
    argv = launcher([find().program(name), *arguments])
    return proc.run(argv, check=check, env=environment, timeout=30)
