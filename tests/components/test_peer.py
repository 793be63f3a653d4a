"""The reconnecting peer: alternates between two names and resolves again every time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from drharness.components import wire
from drharness.components.link import Link, Quiet
from drharness.components.messages import AnyBody, Error, Register, Registered
from tests.components.environment import PATIENCE, B, P, World, play, until

PORT = 4101
ME = "region1-application-p.csproxy"


class Door(Quiet):
    """Lets clients in, or says that it is the backup."""

    def __init__(self, name: str, *, primary: bool) -> None:
        self.name, self.primary = name, primary
        self.links: list[Link] = []

    def opened(self, link: Link) -> None:
        self.links.append(link)

    def request(self, link: Link, number: int, body: AnyBody) -> None:
        if self.primary:
            link.reply(number, Registered("s", self.name, "e", 0))
        else:
            link.reply(number, Error("backup", "ServerNotPrimary", "not me"))


class Rig:
    """A peer and up to four doors on the Framework VMs."""

    def __init__(self, world: World) -> None:
        self.world, self.env = world, world.environment(ME)
        self.server = ""
        self.doors: list[Door] = []
        self.servers: list[asyncio.Server] = []
        self.peer = wire.Peer(
            self.env, "ConfigServer", [P, B], PORT, handler=Quiet(), login=self.log_in
        )
        self.task = asyncio.create_task(self.peer.run())

    async def log_in(self, link: Link) -> None:
        answer = await link.request(Register(ME), Registered, timeout=PATIENCE)
        self.server = answer.server

    async def door(self, vm: str, *, primary: bool) -> Door:
        door = Door(vm, primary=primary)
        address = self.world.address(vm)
        self.servers.append(await wire.serve(self.env, PORT, door, address=address))
        self.doors.append(door)
        return door

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        for server in self.servers:
            server.close()
        for door in self.doors:
            for link in door.links:
                link.abort("end of the test")
        await asyncio.sleep(0)


def test_a_peer_finds_the_primary_of_the_pair(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        rig = Rig(world)
        await rig.door("region1-framework-p", primary=False)
        await rig.door("region1-framework-b", primary=True)
        await until(lambda: rig.peer.link, "connected")
        assert rig.server == "region1-framework-b"
        assert world.asked[:2] == [P, B]
        assert world.logged("ServerNotPrimary")
        assert world.logged("00-04503 Connected to [ConfigServer] at host " + B)
        await rig.end()

    play(tmp_path, scenario)


def test_a_peer_resolves_again_on_every_attempt(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        rig = Rig(world)
        await until(lambda: len(world.asked) >= 6, "three rounds without any server")
        assert world.asked[:4] == [P, B, P, B]
        await rig.door("region2-framework-p", primary=True)
        world.point_names_to("region2")
        await until(lambda: rig.peer.link, "connected to the other region")
        assert rig.server == "region2-framework-p"
        await rig.end()

    play(tmp_path, scenario)


def test_a_lost_peer_is_replaced_by_the_other_one(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        rig = Rig(world)
        first = await rig.door("region1-framework-p", primary=True)
        await until(lambda: rig.peer.link, "connected")
        await rig.door("region1-framework-b", primary=True)
        rig.servers[0].close()
        first.links[-1].abort("power off")
        await until(lambda: rig.server.endswith("-b") and rig.peer.link, "connected to the backup")
        assert world.logged("00-04504 Connection to [ConfigServer] at host " + P)
        await rig.end()

    play(tmp_path, scenario)


def test_names_that_do_not_resolve_are_tried_for_ever(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.names.clear()
        rig = Rig(world)
        await rig.door("region1-framework-p", primary=True)
        await until(lambda: len(world.asked) >= 4, "two rounds")
        assert len(world.logged(f"at host {P}")) == 1  # the same reason is logged once
        world.point_names_to("region1")
        await until(lambda: rig.peer.link, "connected")
        await rig.end()

    play(tmp_path, scenario)
