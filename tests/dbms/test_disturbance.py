"""What breaks replication between two servers: a reader that blocks replay, a lost slot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drharness.dbms import disturbance, replay, server
from drharness.dbms.place import Place
from drharness.dbms.session import until
from drharness.errors import UsageError, WaitTimeout
from tests.dbms.running import Pair, Running, run


async def blocked(pair: Pair) -> asyncio.Task[None]:
    """A reader on the standby that replay waits for."""
    home = pair.standby.home
    await disturbance.set_for_now(name="max_standby_streaming_delay", value="-1", home=home)
    reader = asyncio.ensure_future(disturbance.read_on(home))
    await disturbance.wait_reader(there=True, home=home)
    await disturbance.conflict(home=pair.primary.home)
    return reader


async def follows(pair: Pair, seconds: float = 5.0) -> tuple[bool, bool]:
    """Whether a commit on the primary is received and replayed within this time."""
    marked = await disturbance.mark(home=pair.primary.home)
    seen = await disturbance.follows(
        lsn=marked["lsn"], receive_s=5.0, replay_s=seconds, home=pair.standby.home
    )
    return seen["received"], seen["replayed"]


def test_a_promotion_that_a_reader_blocks_happens_late_and_by_itself(async_pair: Pair) -> None:
    async def story() -> None:
        home = async_pair.standby.home
        reader = await blocked(async_pair)
        assert await follows(async_pair, 0.1) == (True, False)
        with pytest.raises(WaitTimeout, match="as soon as what blocks its replay has gone"):
            await server.promote(token="e2", timeout=0.3, home=home)
        assert (await server.status(home=home))["in_recovery"]
        reader.cancel()
        await disturbance.wait_reader(there=False, home=home)

        async def promoted() -> bool:
            return bool((await server.status(home=home))["writable"])

        await until(promoted, "a promotion that nobody asks for again", timeout=10)
        late = await server.promote(token="e2", home=home)
        assert (late["promoted"], late["token"], late["tli"]) == (False, "e2", 2)

    run(story())


def test_a_reader_that_ends_lets_replay_go_on(async_pair: Pair) -> None:
    async def story() -> None:
        reader = await blocked(async_pair)
        assert await follows(async_pair, 0.1) == (True, False)
        reader.cancel()
        assert await follows(async_pair) == (True, True)

    run(story())


def test_changed_settings_end_with_their_file(primary: Running) -> None:
    delay = "max_standby_streaming_delay"

    async def story() -> None:
        await disturbance.set_for_now(name=delay, value="-1", home=primary.home)
        await disturbance.set_for_now(name="wal_keep_size", value="0", home=primary.home)
        await disturbance.set_back(name=delay, home=primary.home)

    run(story())
    volatile = Path(primary.home, "volatile.conf")
    assert volatile.read_text() == "wal_keep_size = '0'\n"
    primary.stop()
    run(disturbance.set_back(name="wal_keep_size", home=primary.home))
    assert volatile.read_text() == ""


def test_an_unknown_setting_is_refused_and_not_kept(primary: Running) -> None:
    with pytest.raises(UsageError, match="name: there is no setting 'max_stanby_delay'"):
        run(disturbance.set_for_now(name="max_stanby_delay", value="1", home=primary.home))
    assert not Path(primary.home, "volatile.conf").exists()


def test_a_slot_is_dropped_while_its_standby_streams(sync_pair: Pair) -> None:
    home = sync_pair.primary.home
    assert run(disturbance.lose_slot(name="region2", home=home)) == {
        "slot": "region2",
        "dropped": True,
    }
    assert run(disturbance.lose_slot(name="region2", home=home))["dropped"] is False
    run(server.create_slot(name="region2", home=home))
    run(disturbance.wait_receiving(home=sync_pair.standby.home))
    assert run(follows(sync_pair)) == (True, True)


def test_waiting_for_a_standby_that_does_not_receive_tells_what_it_needs(async_pair: Pair) -> None:
    home = async_pair.standby.home
    run(disturbance.cut_upstream(home=home))
    with pytest.raises(WaitTimeout, match=r"standby receiving[\s\S]*'recv': '0/"):
        run(disturbance.wait_receiving(home=home, timeout=0.2))


async def half_a_record(pair: Pair) -> None:
    """The standby receives the first pages of a record, and then the primary dies."""
    async with Place(pair.primary.home).session("postgres", 5) as session:
        await session.fetch("BEGIN", limit=5)  # nothing flushes the rest of it
        sql = "SELECT pg_logical_emit_message(false, 'drharness', repeat('x', 20000))"
        await session.fetch(sql, limit=5)

        async def behind() -> bool:
            status = await server.status(home=pair.standby.home)
            return bool(status["recv"] != status["replay"])

        await until(behind, "half a record on the standby", timeout=10)
        pair.primary.kill()


def test_half_a_record_at_the_end_is_nothing_to_wait_for(async_pair: Pair) -> None:
    home = async_pair.standby.home
    run(half_a_record(async_pair))
    status = run(server.status(home=home))
    assert status["recv"] != status["replay"]

    async def at_the_end() -> bool:
        return await replay.out_of_wal(home=home)

    run(until(at_the_end, "the end of what was received", timeout=10))


def test_blocked_or_paused_replay_is_not_at_its_end(async_pair: Pair) -> None:
    async def story() -> None:
        home = async_pair.standby.home
        reader = await blocked(async_pair)
        assert await follows(async_pair, 0.1) == (True, False)
        assert not await replay.out_of_wal(home=home)
        reader.cancel()
        assert await follows(async_pair) == (True, True)
        assert await replay.out_of_wal(home=home)
        await disturbance.pause_replay(home=home)
        assert await follows(async_pair, 0.1) == (True, False)
        assert not await replay.out_of_wal(home=home)

    run(story())
