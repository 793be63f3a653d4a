"""The Local Control Agent: restarts, modes that survive, commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drharness.components import client
from drharness.components.link import Refused
from drharness.components.messages import ApplicationRegistered, RegisterApplication
from drharness.topology.addresses import LCA_PORT
from tests.components.environment import World, play, until

VM = "region1-framework-p"
CS = f"{VM}.configserver"
LCA = f"{VM}.lca"


async def entry(world: World, name: str = "configserver") -> dict[str, Any]:
    """What the agent says about an application."""
    apps = (await client.lca_status(host=world.address(VM)))["apps"]
    found: dict[str, Any] = apps[name]
    return found


async def set_mode(world: World, mode: str) -> dict[str, Any]:
    """Command a mode."""
    return await client.set_mode("configserver", mode, host=world.address(VM))


async def running(world: World) -> None:
    """Agent and Configuration Server are up and know each other."""
    await world.start(LCA)
    await until(lambda: world.logged("configserver registered"), "registered")


def test_a_master_comes_up_as_backup_until_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await until(lambda: world.last(CS).get("role") == "backup", "backup")
        assert (await entry(world))["mode"] == "backup"
        done = await set_mode(world, "primary")
        assert (done["changed"], done["mode"]) == (True, "primary")
        await until(lambda: world.last(CS)["role"] == "primary", "primary")
        await until(lambda: world.logged("primary at"), "it holds the lock")
        assert (await entry(world))["role"] == "primary"
        await set_mode(world, "backup")
        await until(lambda: world.last(CS)["role"] == "backup", "backup again")
        assert world.database("region1").holder is None

    play(tmp_path, scenario)


def test_a_killed_component_returns_in_the_same_mode(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await set_mode(world, "primary")
        await until(lambda: world.last(CS)["role"] == "primary", "primary")
        before = world.children[CS]
        before.kill(9)
        await until(lambda: world.children[CS] is not before, "started again")
        await until(lambda: len(world.logged("primary at")) == 2, "primary again")
        seen = await entry(world)
        assert (seen["starts"], seen["last_exit"], seen["mode"]) == (2, -9, "primary")

    play(tmp_path, scenario)


def test_modes_and_stops_survive_a_reboot(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await set_mode(world, "primary")
        await world.stop()
        world.events.clear()
        await world.start(LCA)
        await until(lambda: world.last(CS).get("role") == "primary", "primary after the reboot")
        stopped = await client.stop_component("configserver", host=world.address(VM))
        assert (stopped["pid"], stopped["status"], stopped["last_exit"]) == (0, "Stopped", -15)
        await world.stop()
        world.events.clear()
        world.logs.clear()
        await world.start(LCA)
        await until(lambda: world.logged("listening on port 4999"), "the agent is up")
        assert (await entry(world))["wanted"] is False
        assert not world.logged("started configserver")
        await client.start_component("configserver", host=world.address(VM))
        await until(lambda: world.last(CS).get("role") == "primary", "primary once started")

    play(tmp_path, scenario)


def test_a_stopped_component_is_not_restarted(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await client.stop_component("configserver", host=world.address(VM))
        before = world.children[CS]
        claims = len(world.of("comp", id=CS))
        at = len(world.of("comp", id=LCA))
        await until(lambda: len(world.of("comp", id=LCA)) > at + 3, "some time has passed")
        assert world.children[CS] is before
        assert len(world.of("comp", id=CS)) == claims

    play(tmp_path, scenario)


def test_a_mode_for_an_absent_component_is_remembered(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await client.stop_component("configserver", host=world.address(VM))
        assert (await set_mode(world, "primary"))["changed"] is False
        await client.start_component("configserver", host=world.address(VM))
        await until(lambda: world.last(CS).get("role") == "primary", "primary")

    play(tmp_path, scenario)


def test_an_unknown_application_is_named_in_the_refusal(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await running(world)
        with pytest.raises(Refused, match=r"no application 'scs' on .*known: configserver"):
            await client.set_mode("scs", "primary", host=world.address(VM))

    play(tmp_path, scenario)


def test_a_message_that_comes_while_the_agent_ends_starts_nothing(tmp_path: Path) -> None:
    errors: list[str] = []

    async def scenario(world: World) -> None:
        await running(world)
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(f"{context['message']}: {context.get('exception')}")
        )
        link = await world.link(VM, LCA_PORT)
        register = RegisterApplication("configserver", 1, "Running", "backup")
        request = link.request(register, ApplicationRegistered, timeout=30.0)
        asked = asyncio.create_task(request)
        await asyncio.sleep(0)  # it is written, and read in the next turn of the loop,
        world.children[LCA].kill(15)  # in which the agent cancels its jobs, before it closes links
        await asyncio.wait([asked])
        assert len(world.logged("configserver registered")) == 2

    play(tmp_path, scenario)
    assert errors == []


def test_a_component_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        disk = world.environment(LCA).disk
        path = "/etc/drharness/confserv.conf"
        text = disk.read_text(path)
        disk.write_text(path, text.replace("port=2020", "port=none", 1))
        await world.start(LCA)
        await until(lambda: len(world.logged("configserver ended with status 1")) >= 2, "retried")
        disk.write_text(path, text)
        await until(lambda: world.last(CS).get("role") == "backup", "up after the repair")

    play(tmp_path, scenario)
