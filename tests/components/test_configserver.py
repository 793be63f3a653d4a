"""The Configuration Server pair: who may write, what is acknowledged when, who is told what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drharness.components.link import Link, Quiet, Refused
from drharness.components.messages import (
    AnyBody,
    ChangeConfig,
    Changed,
    Event,
    Read,
    Register,
    Registered,
    Value,
)
from drharness.components.store import Change
from drharness.topology import addresses
from tests.components.environment import PATIENCE, World, play, until
from tests.components.memory_store import MemoryStore

P_VM, B_VM = "region1-framework-p", "region1-framework-b"
P_CS, B_CS = f"{P_VM}.configserver", f"{B_VM}.configserver"
PORT = addresses.CONFIGSERVER_PORT


class Ear(Quiet):
    """Remembers what a link was told, answers included in their order."""

    def __init__(self) -> None:
        self.heard: list[AnyBody] = []

    def note(self, link: Link, body: AnyBody) -> None:
        self.heard.append(body)

    @property
    def events(self) -> list[Event]:
        """The events among it."""
        return [body for body in self.heard if isinstance(body, Event)]


async def primary(world: World, component: str = P_CS) -> None:
    """A server that was made primary, and is."""
    await world.start(component, "-lca", "0")
    await until(lambda: world.last(component).get("role") == "primary", f"{component} primary")


async def client(world: World, vm: str = P_VM) -> tuple[Link, Ear, Registered]:
    """A subscribed client."""
    ear = Ear()
    link = await world.link(vm, PORT, ear)
    return (
        link,
        ear,
        await link.request(Register("c", subscribe=True), Registered, timeout=PATIENCE),
    )


async def create(link: Link, key: str, val: object = 1) -> Changed:
    """Create an object."""
    return await link.request(ChangeConfig("create", key, val, opid=key), Changed, timeout=PATIENCE)


def test_a_primary_serves_reads_and_writes(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, registered = await client(world)
        assert (registered.server, registered.epoch, registered.seq) == (P_CS, "e1", 0)
        done = await create(link, "app/1", {"a": [1]})
        assert (done.epoch, done.seq) == ("e1", 1)
        value = await link.request(Read("app/1"), Value, timeout=PATIENCE)
        assert (value.found, value.val, value.dbid) == (True, {"a": [1]}, done.dbid)
        missing = await link.request(Read("app/2"), Value, timeout=PATIENCE)
        assert (missing.found, missing.val) == (False, None)
        claim = world.last(P_CS)
        assert (claim["db"], claim["peer"]) == ("region1", "10.81.3.10:5432")

    play(tmp_path, scenario)


def test_only_one_server_of_a_pair_is_primary(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        await world.start(B_CS, "-lca", "0")
        await until(lambda: world.logged("writer lock is held by another"), "B says why not")
        await asyncio.sleep(5 * world.profile.retry)
        assert world.last(B_CS)["role"] == "none"
        link = await world.link(B_VM, PORT)
        with pytest.raises(Refused, match="ServerNotPrimary") as refused:
            await link.request(Register("c"), Registered, timeout=PATIENCE)
        assert refused.value.error.cls == "backup"

    world = play(tmp_path, scenario)
    assert not world.of("comp", id=B_CS, role="primary")


def test_the_other_server_takes_the_lock_over(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, _ = await client(world)
        await create(link, "app/1")
        await world.start(B_CS, "-lca", "0")
        world.children[P_CS].kill(9)
        await until(lambda: world.last(B_CS).get("role") == "primary", "B primary")
        assert world.last(B_CS)["seq"] == 1
        link, _, _ = await client(world, B_VM)
        assert (await create(link, "app/2")).seq == 2

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [("reachable", "connection refused"), ("read_only", "in recovery")],
)
def test_a_server_without_database_says_why_and_retries(
    tmp_path: Path, break_it: str, reason: str
) -> None:
    async def scenario(world: World) -> None:
        database = world.database("region1")
        setattr(database, break_it, break_it == "read_only")
        await world.start(P_CS, "-lca", "0")
        await until(lambda: world.logged(reason), "the log says why")
        assert world.last(P_CS)["role"] == "none"
        setattr(database, break_it, break_it != "read_only")
        await until(lambda: world.last(P_CS)["role"] == "primary", "primary after the repair")

    play(tmp_path, scenario)


@pytest.mark.parametrize("loss", ["reset", "silence"])
def test_a_lost_session_ends_the_role_and_all_links(tmp_path: Path, loss: str) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        database = world.database("region1")
        link, _, _ = await client(world)
        database.reachable = False
        if loss == "reset":
            database.drop_sessions()
        else:
            database.frozen.clear()
        await link.ended
        await until(lambda: world.last(P_CS)["role"] == "none", "not primary any more")
        database.reachable = True
        database.frozen.set()
        await until(lambda: world.last(P_CS)["role"] == "primary", "primary again")

    play(tmp_path, scenario)


def test_an_event_comes_before_its_acknowledgement(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, ear, _ = await client(world)
        _, other, _ = await client(world)
        for n in range(1, 30):
            done = await create(link, f"app/{n}", n)
            assert ear.events[-1].seq == done.seq
        await until(lambda: len(other.events) == 29, "the other client was told everything")
        assert [(e.prev, e.seq) for e in other.events] == [(n - 1, n) for n in range(1, 30)]

    play(tmp_path, scenario)


def test_a_violated_constraint_is_refused_and_nothing_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, ear, _ = await client(world)
        await create(link, "app/1")
        with pytest.raises(Refused, match="exists") as refused:
            await create(link, "app/1")
        assert refused.value.error.cls == "rejected"
        assert refused.value.error.sqlstate == "23505"
        assert len(ear.events) == 1
        assert link.open

    play(tmp_path, scenario)


def test_an_indeterminate_commit_is_unknown_and_reloads(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, ear, _ = await client(world)
        world.database("region1").lose = True
        with pytest.raises(Refused) as refused:
            await create(link, "app/1")
        assert refused.value.error.cls == "unknown"
        await link.ended
        assert not ear.events
        await until(lambda: world.last(P_CS).get("seq") == 1, "reloaded, with the commit")

    play(tmp_path, scenario)


def test_a_commit_with_the_sync_warning_is_unknown_but_seen(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, ear, _ = await client(world)
        world.database("region1").warn = True
        with pytest.raises(Refused) as refused:
            await create(link, "app/1")
        assert refused.value.error.cls == "unknown"
        assert "synchronous replication" in refused.value.error.notices[0]
        assert [e.seq for e in ear.events] == [1]
        assert [(a["opid"], a["sure"]) for a in world.of("ack")] == [("app/1", False)]
        assert link.open

    play(tmp_path, scenario)


def test_every_commit_is_recorded_before_anybody_is_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, _ = await client(world)
        known: list[int] = []
        for n in (1, 2):
            await create(link, f"app/{n}")
            known.append(len(world.of("ack")))
        acks = world.of("ack", server=P_CS, epoch="e1")
        assert known == [1, 2]
        told = [(a["opid"], a["seq"], a["dbid"], a["again"]) for a in acks]
        assert told == [("app/1", 1, 101, False), ("app/2", 2, 102, False)]

    play(tmp_path, scenario)


def test_a_second_writer_in_the_database_is_noticed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, ear, _ = await client(world)
        world.database("region1").commit(Change("create", "by/somebody", 1))
        with pytest.raises(Refused, match="another writer") as refused:
            await create(link, "app/1")
        assert refused.value.error.cls == "unknown"
        assert not ear.events
        await until(lambda: world.last(P_CS).get("seq") == 2, "reloaded")

    play(tmp_path, scenario)


def test_a_write_that_waited_too_long_is_not_done(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        database = world.database("region1")
        link, _, _ = await client(world)
        database.frozen.clear()
        first = asyncio.create_task(create(link, "app/1"))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(create(link, "app/2"))
        await asyncio.sleep(world.profile.op_deadline + 0.1)
        database.frozen.set()
        assert (await first).seq == 1
        with pytest.raises(Refused) as refused:
            await second
        assert refused.value.error.cls == "unavailable"
        assert "app/2" not in database.objects

    play(tmp_path, scenario)


def test_the_backup_follows_every_change(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, _ = await client(world)
        await create(link, "app/1")
        await world.start(B_CS)
        await until(lambda: world.last(B_CS).get("seq") == 1, "the backup has read everything")
        await create(link, "app/2")
        await until(lambda: world.last(B_CS).get("seq") == 2, "the backup was told")
        assert world.last(B_CS)["role"] == "backup"
        assert world.last(B_CS)["peer"] == ""

    play(tmp_path, scenario)


def test_sessions_are_kept_in_the_database(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        _, _, known = await client(world)
        sessions = world.database("region1").sessions
        await until(lambda: known.session in sessions, "saved")
        assert sessions[known.session][0] == "c"

    play(tmp_path, scenario)


def test_the_lock_is_free_after_a_kill(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        assert isinstance(world.database("region1").holder, MemoryStore)
        world.children[P_CS].kill(9)
        await world.children[P_CS].wait()
        assert world.database("region1").holder is None

    play(tmp_path, scenario)
