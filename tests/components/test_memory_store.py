"""The model of the database keeps the promises of the ``Store`` interface."""

from __future__ import annotations

import asyncio

import pytest

from drharness.components.store import Change, Indeterminate, ReadOnly, Rejected, Unavailable
from tests.components.memory_store import Database, MemoryStore


async def opened(database: Database) -> MemoryStore:
    """A session."""
    store = MemoryStore(database)
    await store.open()
    return store


def test_the_writer_lock_has_one_holder_at_a_time() -> None:
    async def scenario() -> None:
        database = Database()
        one, two = await opened(database), await opened(database)
        assert await one.acquire_writer_lock()
        assert not await two.acquire_writer_lock()
        await one.close()
        assert await two.acquire_writer_lock()

    asyncio.run(scenario())


def test_a_standby_refuses_sessions_until_promoted() -> None:
    async def scenario() -> None:
        primary = Database()
        await (await opened(primary)).apply(Change("create", "a", 1))
        standby = primary.copy()
        with pytest.raises(ReadOnly):
            await opened(standby)
        standby.promote("e2")
        done = await (await opened(standby)).apply(Change("write", "a", 2))
        assert (done.epoch, done.seq, done.dbid) == ("e2", 2, 101)
        assert [e.first_seq for e in standby.epochs] == [1, 2]
        assert primary.objects == {"a": (101, 1)}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        Change("create", "a", 2),
        Change("delete", "b"),
        Change("cas", "b", 1, expected=None),
        Change("cas", "a", 2, expected=5),
    ],
)
def test_a_violated_constraint_changes_nothing(change: Change) -> None:
    async def scenario() -> None:
        database = Database()
        store = await opened(database)
        await store.apply(Change("create", "a", 1))
        with pytest.raises(Rejected):
            await store.apply(change)
        assert (database.seq, database.objects) == (1, {"a": (101, 1)})

    asyncio.run(scenario())


def test_a_lost_acknowledgement_leaves_the_commit_done() -> None:
    async def scenario() -> None:
        database = Database(lose=True)
        store = await opened(database)
        with pytest.raises(Indeterminate):
            await store.apply(Change("create", "a", 1))
        assert store.lost.is_set()
        assert database.seq == 1
        with pytest.raises(Unavailable):
            await store.ping()

    asyncio.run(scenario())
