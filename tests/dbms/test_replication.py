"""A streaming pair: what synchronous commits wait for, and promotion by its effect."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from drharness.components.store import Change, Indeterminate, ReadOnly
from drharness.dbms import server
from drharness.dbms.place import Place
from drharness.dbms.session import until
from drharness.errors import StartupFailed, WaitTimeout
from tests.dbms.conftest import Provision, streaming_pair
from tests.dbms.running import Pair, Running, run


async def write(running: Running, key: str, **options: str) -> int:
    """One change through a store of its own: its seq."""
    store = running.store(**options)
    await store.open()
    try:
        return (await store.apply(Change("write", key, 1, key))).seq
    finally:
        await store.close()


def test_an_acknowledged_synchronous_write_is_on_the_standby(sync_pair: Pair) -> None:
    run(write(sync_pair.primary, "app/1"))
    sync_pair.primary.kill()
    promoted = run(server.promote(token="e2", home=sync_pair.standby.home))
    assert (promoted["promoted"], promoted["tli"], promoted["first_seq"]) == (True, 2, 2)
    dumped = run(server.dump(home=sync_pair.standby.home))
    assert (dumped["objects"], dumped["ops"]) == ({"app/1": 1}, {"app/1": 1})
    assert dumped["epoch"] == "e2"
    assert [epoch["token"] for epoch in dumped["epochs"]][1:] == ["e2"]
    assert run(write(sync_pair.standby, "app/2")) == 2


def test_a_promoted_server_waits_for_no_standby(sync_pair: Pair) -> None:
    sync_pair.primary.kill()
    assert run(server.status(home=sync_pair.standby.home))["sync_names"] == 'FIRST 1 ("region1")'
    run(server.promote(token="e2", home=sync_pair.standby.home))
    seen = run(server.status(home=sync_pair.standby.home))
    assert (seen["sync_names"], seen["writable"], seen["epoch"]) == ("", True, "e2")
    sync_pair.standby.stop()
    sync_pair.standby.start()
    sync_pair.standby.accepting()
    assert run(server.status(home=sync_pair.standby.home))["sync_names"] == ""


def test_promoting_again_changes_nothing(async_pair: Pair) -> None:
    home = async_pair.standby.home
    first = run(server.promote(token="e2", plan=3, home=home))
    again = run(server.promote(token="other", plan=3, home=home))
    assert (again["promoted"], again["token"]) == (False, "e2")
    assert again["switch_lsn"] == first["switch_lsn"] != "0/0"
    with pytest.raises(StartupFailed, match="plan 2 is older than plan 3"):
        run(server.promote(token="late", plan=2, home=home))


def test_two_promotions_at_once_open_one_epoch(async_pair: Pair) -> None:
    """The controller died while its request was under way, and the procedure was run again."""
    home = async_pair.standby.home

    async def both() -> list[Any]:
        calls = [server.promote(token=f"plan{n}", plan=n, home=home) for n in (1, 2, 3, 4)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    ended = run(both())
    opened = [e for e in run(server.dump(home=home))["epochs"] if e["tli"] == 2]
    assert len(opened) == 1
    for seen in ended:
        told = seen["token"] if isinstance(seen, dict) else str(seen)
        assert told == opened[0]["token"] or "is older than plan" in str(told)


def test_a_file_that_the_server_takes_away_at_once_was_written(short_dir: Path) -> None:
    """Another promotion is under way, and the server removes the request as soon as it is there."""
    file, failed = short_dir / "promote", Event()

    def take_away(times: int) -> int:
        while times and not failed.is_set():
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
                times -= 1
        return times

    with ThreadPoolExecutor(1) as startup_process:
        taken = startup_process.submit(take_away, 200)
        try:
            while not taken.done():
                Place(str(short_dir)).write("promote", "")
        finally:
            failed.set()
    assert taken.result() == 0


def test_a_promotion_interrupted_before_its_epoch_is_completed(async_pair: Pair) -> None:
    async def bare() -> None:
        async with Place(async_pair.standby.home).session("postgres", 5) as session:
            await session.fetch("SELECT pg_promote(true, 10)", limit=12)

    run(write(async_pair.primary, "app/1"))
    run(server.quiesced(home=async_pair.standby.home))
    run(bare())
    done = run(server.promote(token="e2", home=async_pair.standby.home))
    assert (done["promoted"], done["token"], done["first_seq"]) == (False, "e2", 2)


def test_a_standby_takes_no_session_of_a_configuration_server(async_pair: Pair) -> None:
    with pytest.raises(ReadOnly) as caught:
        run(async_pair.standby.store().open())
    assert caught.value.sqlstate == "25006"


def test_a_write_refused_as_read_only_did_not_happen(primary: Running) -> None:
    async def work() -> None:
        async with Place(primary.home).session("postgres", 5) as session:
            sql = "ALTER ROLE configserver SET default_transaction_read_only = on"
            await session.fetch(sql, limit=5)
        with pytest.raises(ReadOnly):
            await write(primary, "app/1")

    run(work())


def test_a_master_takes_over_and_keeps_sessions_while_the_standby_is_away(sync_pair: Pair) -> None:
    run(write(sync_pair.primary, "app/1"))
    sync_pair.standby.signal_all(signal.SIGSTOP)

    async def work() -> tuple[str, int] | None:
        store = sync_pair.primary.store(response_timeout="1")
        await store.open()
        assert await store.acquire_writer_lock()
        await store.save_session("s1", "proxy", 1)
        kept = await store.session("s1")
        await store.close()
        return kept

    assert run(work()) == ("proxy", 1)
    sync_pair.standby.signal_all(signal.SIGCONT)


def test_a_deadline_during_a_synchronous_wait_leaves_the_outcome_open(sync_pair: Pair) -> None:
    sync_pair.standby.signal_all(signal.SIGSTOP)
    with pytest.raises(Indeterminate, match=r"not within 0\.5 s"):
        run(write(sync_pair.primary, "app/1", response_timeout="0.5"))
    assert run(server.status(home=sync_pair.primary.home))["seq"] == 0  # not visible: not cancelled
    sync_pair.standby.signal_all(signal.SIGCONT)

    async def committed() -> bool:
        return bool((await server.status(home=sync_pair.primary.home))["seq"] == 1)

    run(until(committed, "the waiting commit", timeout=10))


def test_a_cancelled_task_does_not_cancel_the_commit(sync_pair: Pair) -> None:
    async def work() -> None:
        store = sync_pair.primary.store()
        await store.open()
        task = asyncio.ensure_future(store.apply(Change("write", "app/1", 1, "o1")))
        await until(lambda: waiting_for_standby(sync_pair.primary), "a waiting commit", timeout=5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.lost.is_set()
        assert (await server.status(home=sync_pair.primary.home))["seq"] == 0
        await store.close()

    sync_pair.standby.signal_all(signal.SIGSTOP)
    run(work())


def test_a_cancelled_wait_returns_with_its_warning(sync_pair: Pair) -> None:
    async def work() -> None:
        store = sync_pair.primary.store()
        await store.open()
        task = asyncio.ensure_future(store.apply(Change("write", "app/1", 1, "o1")))
        await until(lambda: waiting_for_standby(sync_pair.primary), "a waiting commit", timeout=5)
        assert store._session is not None
        async with Place(sync_pair.primary.home).session("postgres", 5) as session:
            await session.fetch("SELECT pg_cancel_backend(%s)", [store._session.pid], limit=5)
        commit = await task
        assert commit.seq == 1
        assert "canceling wait for synchronous replication" in commit.notices[0]
        await store.close()

    sync_pair.standby.signal_all(signal.SIGSTOP)
    run(work())


async def waiting_for_standby(running: Running) -> bool:
    """Whether a commit waits for the synchronous standby."""
    sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with Place(running.home).session("observer", 5) as session:
        return bool((await session.fetch(sql, limit=5))[0]["n"])


def test_releasing_sync_ends_the_waits(sync_pair: Pair) -> None:
    async def work() -> None:
        task = asyncio.ensure_future(write(sync_pair.primary, "app/1"))
        await until(lambda: waiting_for_standby(sync_pair.primary), "a waiting commit", timeout=5)
        await server.release_sync(home=sync_pair.primary.home)
        assert await task == 1

    sync_pair.standby.signal_all(signal.SIGSTOP)
    run(work())


def test_a_frozen_standby_is_not_promoted_in_time(async_pair: Pair) -> None:
    async_pair.standby.signal_all(signal.SIGSTOP)
    with pytest.raises(WaitTimeout, match=r"not within 0\.5 s"):
        run(server.promote(token="e2", timeout=0.5, home=async_pair.standby.home))


def test_both_databases_have_one_digest_at_one_lsn(sync_pair: Pair) -> None:
    for n in range(20):
        run(write(sync_pair.primary, f"app/{n}"))
    above = run(server.quiesced(home=sync_pair.primary.home))
    run(server.quiesced(lsn=above["cur"], home=sync_pair.standby.home))
    first = run(server.digest(home=sync_pair.primary.home))
    assert run(server.digest(home=sync_pair.standby.home))["sha"] == first["sha"]
    run(write(sync_pair.primary, "app/more"))
    assert run(server.digest(home=sync_pair.primary.home))["sha"] != first["sha"]


def test_a_promotion_is_noticed_at_once(provision: Provision) -> None:
    """By the server's own account of it; pg_promote and pg_ctl look only every 100 ms."""
    late = []
    for name in ("first", "second", "third"):
        pair = streaming_pair(provision, synchronous=True, name=name)
        took = run(server.promote(token=name, home=pair.standby.home))["ms"]
        late.append(took - milliseconds_of_promotion(pair.standby.log.read_text()))
    assert statistics.median(late) < 50, late


def milliseconds_of_promotion(log: str) -> float:
    """From "received promote request" to the first "ready" after it, in a server's log."""
    lines = log[log.index("received promote request") - 100 :].splitlines()
    said = ("received promote request", "ready to accept connections")
    began, ended = (next(line for line in lines if text in line)[:23] for text in said)
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)) / timedelta(
        milliseconds=1
    )


def test_a_long_reader_delays_a_promotion_that_then_completes(async_pair: Pair) -> None:
    home = async_pair.standby.home

    async def work() -> None:
        async with Place(home).session("postgres", 5) as reader:
            await reader.fetch("BEGIN ISOLATION LEVEL REPEATABLE READ", limit=5)
            await reader.fetch("SELECT * FROM cfg_object", limit=5)
            async with Place(async_pair.primary.home).session("postgres", 5) as session:
                await session.fetch("DROP TABLE cfg_hdb_session", limit=5)
                await session.fetch("ALTER TABLE cfg_object ADD COLUMN x int", limit=5)
            await until(blocked_replay, "replay blocked by the reader", timeout=10)
            with pytest.raises(WaitTimeout, match="standby out of recovery"):
                await server.promote(token="e2", timeout=0.5, home=home)
        done = await server.promote(token="e3", timeout=10, home=home)
        assert done["token"] == "e3"

    async def blocked_replay() -> bool:
        seen = await server.status(home=home)
        return bool(seen["recv"] != seen["replay"])

    run(work())
