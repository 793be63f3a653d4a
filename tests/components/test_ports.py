"""No port of any component can be broken by what is sent to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.components import client
from drharness.topology import addresses
from tests.components.environment import World, play, until
from tests.components.test_csproxy import PROXY, VM

FRAMEWORK = "region1-framework-p"
PORTS = {
    "configserver": (FRAMEWORK, addresses.CONFIGSERVER_PORT),
    "configserver-management": (FRAMEWORK, addresses.MANAGEMENT_PORT),
    "framework-lca": (FRAMEWORK, addresses.LCA_PORT),
    "csproxy": (VM, addresses.PROXY_PORT),
    "csproxy-management": (VM, addresses.MANAGEMENT_PORT),
    "application": (VM, addresses.APPLICATION_PORT),
    "application-lca": (VM, addresses.LCA_PORT),
}
JUNK = (
    b"GET / HTTP/1.1\r\n\r\n",
    b'{"t":"rep","id":99,"body":{"t":"GetStatus"}}\n{"t":"pong"}\n{"t":"hello","name":""}\n'
    b'{"t":"note","body":{"t":"StopTraffic"}}\nnot json\n',
    b'{"t":"req","id":1,"body":{"t":"SetMode","name":"configserver","mode":"both"}}\n',
    b'{"t":"req","id":1,"body":{"t":"ChangeConfig","f":"drop","key":"a"}}\n',
    b'{"t":"hello","name":"x","addp":"soon"}\n',
    b"\xff" * 5000 + b"\n",
)


async def whole_region(world: World) -> None:
    """Both agents, and everything they start."""
    await world.start(f"{FRAMEWORK}.lca")
    await until(lambda: world.logged("configserver registered"), "registered")
    await client.set_mode("configserver", "primary", host=world.address(FRAMEWORK))
    await world.start(f"{VM}.lca")
    app = f"{VM}.application"
    await until(lambda: world.last(app).get("proxy") == PROXY, "the application is connected")


@pytest.mark.parametrize("port", PORTS)
def test_malformed_bytes_end_only_their_own_link(tmp_path: Path, port: str) -> None:
    async def scenario(world: World) -> None:
        await whole_region(world)
        before = {name: child.pid for name, child in world.children.items()}
        for junk in JUNK:
            link = await world.link(*PORTS[port])
            link.send_line(junk)
            await link.ended
        assert len(world.logged("malformed input from")) == len(JUNK)
        done = await client.canary("canary/1", 1, host=world.address(VM))
        assert done["ok"], done
        assert {name: child.pid for name, child in world.children.items()} == before
        for vm in (FRAMEWORK, VM):
            apps = (await client.lca_status(host=world.address(vm)))["apps"]
            assert {a["starts"] for a in apps.values()} == {1}

    play(tmp_path, scenario)


@pytest.mark.parametrize("port", PORTS)
def test_a_message_for_another_component_is_refused(tmp_path: Path, port: str) -> None:
    async def scenario(world: World) -> None:
        await whole_region(world)
        vm, number = PORTS[port]
        message = {"t": "ChangeExecutionMode", "mode": "backup"}
        answer = await client.ask(number, message, host=world.address(vm))
        assert (answer["t"], answer["name"]) == ("Error", "UnsupportedRequest")

    play(tmp_path, scenario)


def test_every_component_answers_for_its_status(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await whole_region(world)
        master = await client.component_status(host=world.address(FRAMEWORK))
        assert (master["id"], master["role"]) == (f"{FRAMEWORK}.configserver", "primary")
        proxy = await client.component_status(host=world.address(VM))
        assert (proxy["id"], proxy["mode"], proxy["role"]) == (PROXY, "normal", "primary")
        app = await client.component_status(7000, host=world.address(VM))
        assert (app["id"], app["via"]) == (f"{VM}.application", PROXY)
        agent = await client.lca_status(host=world.address(VM))
        assert {n: a["status"] for n, a in agent["apps"].items()} == {
            "csproxy": "Running",
            "application": "Running",
        }

    play(tmp_path, scenario)
