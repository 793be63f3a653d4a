"""The proxy: limited mode, read-your-writes, what happens to it over a failover."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drharness.components import client, wire
from drharness.components.cache import Cache
from drharness.components.link import Link, Quiet, Refused
from drharness.components.messages import (
    AllRead,
    AnyBody,
    ChangeConfig,
    Changed,
    EpochChanged,
    Event,
    ModeChanged,
    Read,
    ReadAll,
    Register,
    Registered,
    Value,
)
from drharness.components.store import Change
from drharness.topology import addresses
from tests.components.environment import PATIENCE, TaskChild, World, play, until
from tests.components.test_configserver import B_CS, P_CS, Ear, create, primary

VM = "region1-application-p"
PROXY = f"{VM}.csproxy"
MASTER_2 = "region2-framework-p.configserver"


async def proxied(world: World) -> TaskChild:
    """A primary master and a primary proxy in normal mode."""
    await primary(world)
    child = await world.start(PROXY, "-lca", "0")
    await until(lambda: world.last(PROXY).get("mode") == "normal", "normal mode")
    return child


async def login(world: World, vm: str = VM) -> tuple[Link, Ear, Registered]:
    """A subscribed application."""
    ear = Ear()
    link = await world.link(vm, addresses.PROXY_PORT, ear)
    return (
        link,
        ear,
        await link.request(Register("a", subscribe=True), Registered, timeout=PATIENCE),
    )


async def value(link: Link, key: str) -> Value:
    """Read an object."""
    return await link.request(Read(key), Value, timeout=PATIENCE)


async def dump(world: World, vm: str = VM) -> dict[str, Any]:
    """What a proxy serves."""
    return await client.proxy_dump(host=world.address(vm))


def test_a_write_through_a_proxy_is_read_back_at_once(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, ear, registered = await login(world)
        assert (registered.server, registered.mode) == (PROXY, "normal")
        for n in range(1, 40):
            done = await create(link, f"app/{n}", n)
            got = await value(link, f"app/{n}")
            assert (got.val, got.seq >= done.seq, got.mode) == (n, True, "normal")
        assert [e.seq for e in ear.events] == list(range(1, 40))
        assert world.last(PROXY)["master"] == f"{world.address('region1-framework-p')}:2020"

    play(tmp_path, scenario)


def test_limited_mode_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, ear, _ = await login(world)
        await create(link, "app/1", 7)
        world.children[P_CS].kill(9)
        await until(lambda: ModeChanged("limited") in ear.heard, "the application was told")
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(Refused) as refused:
            await create(link, "app/2")
        assert loop.time() - started < 0.2
        assert refused.value.error.cls == "limited"
        got = await value(link, "app/1")
        assert (got.val, got.mode) == (7, "limited")
        fresh, _, registered = await login(world)
        assert registered.mode == "limited"
        assert (await value(fresh, "app/1")).val == 7
        assert "app/2" not in world.database("region1").objects

    play(tmp_path, scenario)


def test_a_write_under_way_when_the_master_goes_is_unknown(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, _, _ = await login(world)
        world.database("region1").frozen.clear()
        write = asyncio.create_task(create(link, "app/1"))
        await asyncio.sleep(0.05)
        world.children[P_CS].kill(9)
        with pytest.raises(Refused) as refused:
            await write
        assert refused.value.error.cls == "unknown"

    play(tmp_path, scenario)


@pytest.mark.parametrize("cls", ["rejected", "unknown"])
def test_the_masters_refusal_reaches_the_application(tmp_path: Path, cls: str) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, _, _ = await login(world)
        await create(link, "app/1")
        world.database("region1").lose = cls == "unknown"
        with pytest.raises(Refused) as refused:
            await create(link, "app/1" if cls == "rejected" else "app/2")
        assert refused.value.error.cls == cls

    play(tmp_path, scenario)


def test_a_backup_proxy_refuses_applications_but_follows(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        await world.start(PROXY)
        await until(lambda: world.last(PROXY).get("mode") == "normal", "normal mode")
        assert world.last(PROXY)["role"] == "backup"
        world_link = await world.link("region1-framework-p", addresses.CONFIGSERVER_PORT)
        await create(world_link, "app/1")
        await until(lambda: world.last(PROXY)["seq"] == 1, "the backup is told too")
        link = await world.link(VM, addresses.PROXY_PORT)
        for body in (Register("a"), Read("app/1")):
            with pytest.raises(Refused, match="ServerNotPrimary") as refused:
                await link.request(body, object, timeout=PATIENCE)
            assert refused.value.error.cls == "backup"

    play(tmp_path, scenario)


def test_a_starting_proxy_serves_nobody_yet(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start(PROXY, "-lca", "0")
        await until(lambda: world.last(PROXY).get("mode") == "starting", "starting")
        link = await world.link(VM, addresses.PROXY_PORT)
        with pytest.raises(Refused) as refused:
            await link.request(Register("a"), Registered, timeout=PATIENCE)
        assert refused.value.error.cls == "unavailable"

    play(tmp_path, scenario)


def test_the_proxy_moves_to_the_backup_master_without_reloading(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, ear, _ = await login(world)
        await create(link, "app/1")
        sessions = world.database("region1").sessions
        await until(lambda: sessions, "the proxy's session is saved")
        world.children[P_CS].kill(9)
        world.database("region1").commit(Change("create", "app/2", 2))
        await primary(world, B_CS)
        await until(lambda: ModeChanged("normal") in ear.heard, "normal mode again")
        assert (await value(link, "app/2")).val == 2
        assert [e.seq for e in ear.events] == [1, 2]
        assert link.open
        assert len(world.of("cache", proxy=PROXY)) == 1  # the first load only

    play(tmp_path, scenario)


async def fail_over(world: World, *, lost: int) -> None:
    """Region 1 is gone; region 2 starts with all but the last ``lost`` commits."""
    old = world.database("region1")
    new = old.copy()
    for commit in old.log[len(old.log) - lost :]:
        del new.objects[commit.change.key]
        new.log.pop()
        new.seq -= 1
    new.promote("e2")
    world.databases["10.82.3.10"] = new
    world.children[P_CS].kill(9)
    await primary(world, MASTER_2)
    world.point_names_to("region2")


@pytest.mark.parametrize("lost", [0, 1])
def test_a_failover_keeps_the_common_prefix_or_reloads(tmp_path: Path, lost: int) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        link, ear, _ = await login(world)
        for n in (1, 2, 3):
            await create(link, f"app/{n}", n)
        await until(lambda: world.database("region1").sessions, "the proxy's session is saved")
        await fail_over(world, lost=lost)
        await until(lambda: world.last(PROXY).get("epoch") == "e2", "the new epoch")
        await until(lambda: world.last(PROXY).get("mode") == "normal", "normal mode")
        told = [b for b in ear.heard if isinstance(b, EpochChanged)]
        assert told == [EpochChanged("e2", 3 - lost, reloaded=lost > 0)]
        assert (await value(link, "app/3")).found is (lost == 0)
        served = await dump(world)
        assert served["objects"] == {f"app/{n}": n for n in range(1, 4 - lost)}
        assert (served["epoch"], served["seq"], served["mode"]) == ("e2", 3 - lost, "normal")
        assert (await create(link, "app/9")).epoch == "e2"
        recorded = world.of("cache", proxy=PROXY, epoch="e2")[-1]
        same = Cache.of_objects(
            [(k, 0, v) for k, v in served["objects"].items()], epoch="e2", seq=0, epochs=()
        )
        assert (recorded["seq"], recorded["sha"]) == (3 - lost, same.sha())

    play(tmp_path, scenario)


class GappyMaster(Quiet):
    """A master whose second event follows one that nobody was told."""

    def __init__(self) -> None:
        self.logins = 0

    def request(self, link: Link, number: int, body: AnyBody) -> None:
        match body:
            case Register():
                self.logins += 1
                link.reply(number, Registered("s", "gappy", "e1", 0))
            case ReadAll():
                link.reply(number, AllRead("e1", 2 * self.logins, [], 0))
                seq = 2 * self.logins
                if self.logins == 1:
                    link.notify(Event(seq, seq + 1, "e1", "create", "a", 1))
                    link.notify(Event(seq + 2, seq + 3, "e1", "create", "c", 3))
            case _:
                super().request(link, number, body)


def test_a_gap_in_the_events_makes_the_proxy_reload(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        master = GappyMaster()
        env = world.environment(P_CS)
        server = await wire.serve(env, 2020, master, address=env.address)
        await world.start(PROXY, "-lca", "0")
        await until(lambda: master.logins == 2, "it reads everything again")
        assert world.logged("gap in the events")
        await until(lambda: world.last(PROXY).get("mode") == "normal", "normal mode")
        assert (await dump(world))["seq"] == 4
        server.close()

    play(tmp_path, scenario)


def test_the_old_state_is_served_until_the_new_one_is_complete(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        env = world.environment(PROXY)
        path = "/etc/drharness/csproxy.conf"
        text = env.disk.read_text(path)
        env.disk.write_text(path, text.replace("delay-reload=0", "delay-reload=0.5"))
        await proxied(world)
        link, _, _ = await login(world)
        await create(link, "app/1")
        await fail_over(world, lost=1)
        await until(lambda: world.logged("session not restored: reading"), "reload has begun")
        got = await value(link, "app/1")
        assert (got.found, got.epoch, got.mode) == (True, "e1", "limited")
        with pytest.raises(Refused) as refused:
            await create(link, "app/2")
        assert refused.value.error.cls == "limited"
        await until(lambda: world.last(PROXY).get("mode") == "normal", "normal mode")
        got = await value(link, "app/1")
        assert (got.found, got.epoch) == (False, "e2")

    play(tmp_path, scenario)


def test_many_writers_through_one_proxy_see_one_order(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await proxied(world)
        links = [(await login(world))[0] for _ in range(5)]
        done = await asyncio.gather(
            *(
                link.request(ChangeConfig("append", "list", n), Changed, timeout=PATIENCE)
                for n, link in enumerate(links * 4)
            )
        )
        assert sorted(d.seq for d in done) == list(range(1, 21))
        got = await value(links[0], "list")
        by_seq = [d.val for d in sorted(done, key=lambda d: d.seq)]
        assert got.val == by_seq[-1]
        assert isinstance(got.val, list)
        assert sorted(got.val) == list(range(20))

    play(tmp_path, scenario)
