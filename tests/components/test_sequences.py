"""Mistakes that need several events: right until the last of them, wrong after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.components.store import Change
from drharness.components.wire import Link, Refused
from tests.components.environment import World, play, until
from tests.components.test_configserver import P_CS, client, create, primary
from tests.components.test_csproxy import MASTER_2, PROXY, login, proxied, value

_HERE = "drharness.selftest.sequences"
OTHER = "region1-application-b.csproxy"


def planted(world: World, component: str, mistake: str) -> None:
    """One component is a mistaken one."""
    world.topology = world.topology.replace(component, f"{_HERE}:{mistake}")


async def filled(world: World) -> None:
    """A master with two objects, and a proxy that has them."""
    await proxied(world)
    link, _, _ = await client(world)
    await create(link, "app/1")
    ear = (await login(world))[1]
    await create(link, "app/2")
    await until(lambda: [e.key for e in ear.events][-1:] == ["app/2"], "both at the proxy")


async def restarted(world: World, mode: str) -> None:
    """The proxy is killed and started again, and comes into a mode."""
    child = world.children[PROXY]
    child.kill(9)
    await child.wait()
    world.events.clear()
    await world.start(PROXY, "-lca", "0")
    await until(lambda: world.last(PROXY).get("mode") == mode, f"{mode} mode after a start")


async def killed(world: World, component: str) -> None:
    """A component is killed."""
    world.children[component].kill(9)
    await world.children[component].wait()


def test_an_amnesiac_proxy_serves_nothing_only_if_started_without_a_master(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        planted(world, PROXY, "amnesiac")
        await filled(world)
        await restarted(world, "normal")
        link, _, _ = await login(world)
        assert (await value(link, "app/1")).found

        await killed(world, P_CS)
        await restarted(world, "limited")
        link, _, _ = await login(world)
        seen = await value(link, "app/1")
        assert (seen.found, seen.mode, seen.seq) == (False, "limited", 2)

    play(tmp_path, scenario)


async def a_second_spell(world: World) -> Link:
    """A client of a proxy that is without a master once more, one change after the first time."""
    await proxied(world)
    link, ear, _ = await login(world)
    await create(link, "app/1")
    await killed(world, P_CS)
    await until(lambda: world.last(PROXY).get("mode") == "limited", "the first spell")
    with pytest.raises(Refused, match="ReadOnlyOperationalModeActivated"):
        await create(link, "app/refused")
    world.events.clear()
    await primary(world)
    await until(lambda: world.last(PROXY).get("mode") == "normal", "the master is back")
    await create(link, "app/2")
    await until(lambda: [e.key for e in ear.events][-1:] == ["app/2"], "the proxy has it")
    await killed(world, P_CS)
    await until(lambda: world.last(PROXY).get("mode") == "limited", "the second spell")
    return link


def test_a_flattering_proxy_acknowledges_in_its_second_spell_only(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        planted(world, PROXY, "flattering")
        link = await a_second_spell(world)
        assert (await create(link, "app/3")).seq == 2
        assert not (await value(link, "app/3")).found

    play(tmp_path, scenario)


def test_a_nostalgic_proxy_goes_back_to_its_first_spell(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        planted(world, PROXY, "nostalgic")
        link = await a_second_spell(world)
        seen = await value(link, "app/2")
        assert (seen.found, seen.seq) == (False, 1)

    play(tmp_path, scenario)


def test_a_pinning_proxy_follows_names_unless_it_started_without_dns(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        planted(world, PROXY, "pinning")
        await filled(world)
        await world.start(OTHER, "-lca", "0")
        await until(lambda: world.last(OTHER).get("mode") == "normal", "the right one as well")
        names = dict(world.names)
        world.names.clear()
        await restarted(world, "normal")  # by what is on disk

        world.names.update(names)
        world.point_names_to("region2")
        await killed(world, P_CS)
        world.events.clear()
        await primary(world, MASTER_2)
        await until(lambda: world.last(OTHER).get("mode") == "normal", "the right one over there")
        there = world.address(MASTER_2.rpartition(".")[0])
        assert any(there in line for line in world.logged(f"{OTHER} "))
        assert not any(there in line for line in world.logged(f"{PROXY} "))

    play(tmp_path, scenario)


def test_a_remembering_server_reads_its_data_again_once_and_not_twice(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        planted(world, P_CS, "remembering")
        database = world.database("region1")
        await primary(world)
        for spell in (2, 3):
            database.drop_sessions()
            database.commit(Change("create", f"app/{spell}"))
            await until(lambda: world.last(P_CS)["role"] == "none", "no primary")
            await until(lambda: world.last(P_CS)["role"] == "primary", f"spell {spell}")
            assert world.last(P_CS)["seq"] == 1, spell  # the third misses the second change
        assert database.seq == 2

    play(tmp_path, scenario)
