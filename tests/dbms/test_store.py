"""The store on one real server: what each change does, how errors are told apart, who may write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from drharness.components.store import (
    Change,
    Commit,
    Indeterminate,
    NotDone,
    Rejected,
    Store,
    Unavailable,
)
from drharness.dbms import server
from drharness.dbms.place import Place
from drharness.dbms.session import until
from drharness.dbms.store import PgStore
from tests.dbms.running import Running, free_port, run


def on(primary: Running, work: Callable[[PgStore], Awaitable[object]]) -> None:
    """Do something with an open store."""

    async def _work() -> None:
        store = primary.store()
        await store.open()
        await work(store)
        await store.close()

    run(_work())


def test_pg_store_is_a_store() -> None:
    store: Store = PgStore({"dbserver": "127.0.0.1"})
    assert not store.lost.is_set()


def test_each_change_does_what_its_name_says(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        commits = [
            await store.apply(change)
            for change in (
                Change("create", "app/1", {"port": 1}, "o1"),
                Change("write", "app/1", 7, "o2"),
                Change("cas", "app/1", 8, "o3", expected=7),
                Change("append", "app/1/log", "a", "o4"),
                Change("append", "app/1/log", "b", "o5"),
                Change("write", "app/2", None, "o6"),
                Change("delete", "app/1", None, "o7"),
            )
        ]
        assert [c.seq for c in commits] == [1, 2, 3, 4, 5, 6, 7]
        assert [c.val for c in commits] == [{"port": 1}, 7, 8, ["a"], ["a", "b"], None, None]
        assert [c.dbid for c in commits] == [101, 101, 101, 102, 102, 103, 101]
        assert len({c.epoch for c in commits}) == 1
        assert all(c.notices == () and "" not in c.lsn for c in commits)
        snapshot = await store.load()
        assert snapshot.objects == {"app/1/log": (102, ["a", "b"]), "app/2": (103, None)}
        assert (snapshot.seq, snapshot.epoch) == (7, commits[0].epoch)
        assert [(e.token, e.first_seq) for e in snapshot.epochs] == [(commits[0].epoch, 1)]

    on(primary, work)


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        (Change("create", "app/1", 2, "x"), "DR001"),
        (Change("cas", "app/9", 2, "x", expected=1), "DR002"),
        (Change("delete", "app/9", None, "x"), "DR002"),
        (Change("cas", "app/1", 2, "x", expected=0), "DR003"),
        (Change("append", "app/1", 2, "x"), "DR004"),
        (Change("write", "app/1", 2, "first"), "DR005"),
        (Change("explode", "app/1", 2, "x"), "DR006"),
        (Change("write", "app/1", "\0", "x"), "22P05"),
        (Change("write", "app/\0", 1, "x"), ""),
    ],
)
def test_a_refused_change_leaves_no_trace(primary: Running, change: Change, sqlstate: str) -> None:
    async def work(store: PgStore) -> None:
        await store.apply(Change("create", "app/1", 1, "first"))
        with pytest.raises(Rejected) as caught:
            await store.apply(change)
        assert caught.value.sqlstate == sqlstate
        snapshot = await store.load()
        assert (snapshot.seq, snapshot.objects) == (1, {"app/1": (101, 1)})
        assert not store.lost.is_set()

    on(primary, work)


def test_the_same_operation_twice_is_applied_once(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        first = await store.apply(Change("append", "app/1", "a", "o1"))
        again = await store.apply(Change("append", "app/1", "a", "o1"))
        assert (again.seq, again.val, again.dbid) == (first.seq, first.val, first.dbid)
        assert (await store.load()).objects == {"app/1": (101, ["a"])}

    on(primary, work)


def test_ids_are_never_issued_twice(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        first = await store.apply(Change("create", "app/1", 1, "o1"))
        await store.apply(Change("delete", "app/1", None, "o2"))
        assert (await store.apply(Change("create", "app/1", 1, "o3"))).dbid == first.dbid + 1

    on(primary, work)


def test_history_returns_changes_after_a_point(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        for n in range(5):
            await store.apply(Change("append", "app/1", n, f"o{n}"))
        found = await store.history(2, 2)
        assert [(c.seq, c.change.val, c.change.opid) for c in found] == [(3, 2, "o2"), (4, 3, "o3")]
        assert found[-1].val == [0, 1, 2, 3]

    on(primary, work)


def test_sessions_of_clients_are_remembered(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        assert await store.session("s1") is None
        await store.save_session("s1", "proxy", 3)
        await store.save_session("s1", "proxy", 9)
        assert await store.session("s1") == ("proxy", 9)

    on(primary, work)


def test_seq_is_the_commit_order_of_concurrent_writers(primary: Running) -> None:
    async def writer(name: str) -> list[Commit]:
        store = primary.store()
        await store.open()
        made = [
            await store.apply(Change("append", "list", f"{name}{n}", f"{name}{n}"))
            for n in range(50)
        ]
        await store.close()
        return made

    async def work() -> None:
        written = await asyncio.gather(*(writer(name) for name in "abcd"))
        commits = sorted((c for made in written for c in made), key=lambda c: c.seq)
        assert [c.seq for c in commits] == list(range(1, 201))
        # The list grew in the order of seq: each commit saw exactly those before it.
        assert commits[-1].val == [c.change.val for c in commits]
        assert all(made == sorted(made, key=lambda c: c.seq) for made in written)

    run(work())


def test_the_writer_lock_has_one_holder(primary: Running) -> None:
    async def work() -> None:
        first, second = primary.store(), primary.store()
        await first.open()
        await second.open()
        assert await first.acquire_writer_lock()
        assert not await second.acquire_writer_lock()
        await first.close()
        assert await second.acquire_writer_lock()
        await second.close()

    run(work())


def test_a_killed_session_frees_the_writer_lock(primary: Running) -> None:
    async def work() -> None:
        first, second = primary.store(), primary.store()
        await first.open()
        await second.open()
        assert await first.acquire_writer_lock()
        await terminate(primary, first)
        with pytest.raises(Unavailable, match="terminating connection"):
            await first.ping()
        assert first.lost.is_set()
        await until(second.acquire_writer_lock, "writer lock", timeout=5)
        for store in (first, second):
            await store.close()

    run(work())


async def terminate(primary: Running, store: PgStore) -> None:
    """End the server's side of a session, and wait until it has gone."""
    assert store._session is not None
    async with Place(primary.home).session("postgres", 5) as session:
        pid = store._session.pid
        await session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid], limit=6)


def test_a_session_closed_before_the_request_did_nothing(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        await terminate(primary, store)
        with pytest.raises(Unavailable):
            await store.apply(Change("write", "app/1", 1, "o1"))
        assert store.lost.is_set()

    on(primary, work)
    assert run(server.dump(home=primary.home))["ops"] == {}


def test_a_session_lost_during_a_change_leaves_it_open(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        async with Place(primary.home).session("postgres", 5) as session:
            await session.fetch("BEGIN", limit=5)
            await session.fetch("SELECT * FROM cfg_commit FOR UPDATE", limit=5)
            change = asyncio.ensure_future(store.apply(Change("write", "app/1", 1, "o1")))
            await until(lambda: blocked(primary), "a blocked change", timeout=5)
            await terminate(primary, store)
            with pytest.raises(Indeterminate) as caught:
                await change
        assert caught.value.sqlstate == "57P01"
        assert store.lost.is_set()

    on(primary, work)


async def blocked(primary: Running) -> bool:
    """Whether a Configuration Server's session waits for a lock."""
    sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with Place(primary.home).session("observer", 5) as session:
        return bool((await session.fetch(sql, limit=5))[0]["n"])


def test_a_change_ended_by_the_server_did_not_happen(primary: Running) -> None:
    async def work(store: PgStore) -> None:
        async with Place(primary.home).session("postgres", 5) as session:
            await session.fetch("BEGIN", limit=5)
            await session.fetch("SELECT * FROM cfg_commit FOR UPDATE", limit=5)
            change = asyncio.ensure_future(store.apply(Change("write", "app/1", 1, "o1")))
            await until(lambda: blocked(primary), "a blocked change", timeout=5)
            assert store._session is not None
            await session.fetch("SELECT pg_cancel_backend(%s)", [store._session.pid], limit=5)
            with pytest.raises(NotDone) as caught:
                await change
        assert caught.value.sqlstate == "57014"
        await store.ping()

    on(primary, work)


def test_nobody_listening_is_unavailable() -> None:
    store = PgStore({"dbserver": "127.0.0.1", "dbport": str(free_port())})
    with pytest.raises(Unavailable, match="refused"):
        run(store.open())


def test_a_wrong_password_is_unavailable(primary: Running) -> None:
    with pytest.raises(Unavailable, match="password authentication failed") as caught:
        run(primary.store(password="guess").open())
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


@pytest.mark.parametrize("user", ["postgres", "observer", "replicator"])
def test_other_roles_may_not_come_by_tcp(primary: Running, user: str) -> None:
    with pytest.raises(Unavailable, match=r"no pg_hba.conf entry"):
        run(primary.store(username=user, password=user).open())


def test_pg_variables_of_the_environment_count_for_nothing(
    primary: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICE", "no-such-service")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    monkeypatch.setenv("PGSSLMODE", "require")
    on(primary, lambda store: store.apply(Change("write", "app/1", 1, "o1")))
