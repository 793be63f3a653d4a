"""The link: framing, keep-alive, answers, and what it does with bytes that are no message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from drharness.components import wire
from drharness.components.link import Link, LinkLost, Quiet, Refused
from drharness.components.messages import Answer, AnyBody, GetStatus, Read, Register, Value
from tests.components.environment import PATIENCE, World, play, until

PORT = 4100
VM = "region1-framework-p"


class Server(Quiet):
    """Answers ``GetStatus`` with the number of its link; never answers ``Read``."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.losses: list[str] = []

    def opened(self, link: Link) -> None:
        self.links.append(link)

    def request(self, link: Link, number: int, body: AnyBody) -> None:
        match body:
            case GetStatus():
                link.reply(number, Answer({"link": self.links.index(link)}))
            case Read():
                return
            case _:
                super().request(link, number, body)

    def lost(self, link: Link, reason: str) -> None:
        self.losses.append(reason)


def scene(
    root: Path, act: Callable[[World, Server, wire.Link], Awaitable[None]]
) -> tuple[World, Server]:
    """One server and one link to it."""
    server = Server()

    async def scenario(world: World) -> None:
        env = world.environment(f"{VM}.configserver")
        listening = await wire.serve(env, PORT, server, address=env.address)
        link = await wire.dial(env, env.address, PORT, Quiet())
        try:
            await act(world, server, link)
        finally:
            listening.close()
            for each in [link, *server.links]:
                each.abort("end of the test")
            await asyncio.sleep(0)

    return play(root, scenario), server


def test_a_request_gets_its_own_answer(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        slow = asyncio.create_task(link.request(Read("a"), Value, timeout=0.2))
        answer = await link.request(GetStatus(), Answer, timeout=PATIENCE)
        assert answer.values == {"link": 0}
        with pytest.raises(TimeoutError):
            await slow

    scene(tmp_path, act)


def test_an_unknown_request_is_refused_by_name(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        with pytest.raises(Refused, match="UnsupportedRequest: Register is not served here"):
            await link.request(Register("x"), Answer, timeout=PATIENCE)

    scene(tmp_path, act)


def test_a_lost_link_says_whether_the_request_left(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        waiting = asyncio.create_task(link.request(Read("a"), Value, timeout=PATIENCE))
        await until(lambda: server.links, "the server sees the link")
        await asyncio.sleep(0.02)
        server.links[0].abort("gone")
        with pytest.raises(LinkLost) as lost:
            await waiting
        assert lost.value.sent
        with pytest.raises(LinkLost) as lost:
            await link.request(Read("a"), Value, timeout=PATIENCE)
        assert not lost.value.sent

    scene(tmp_path, act)


def test_a_silent_peer_is_noticed_after_twice_the_timeout(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        loop = asyncio.get_running_loop()
        await until(lambda: server.links and server.links[0].client, "hello")
        transport = server.links[0]._transport
        assert transport is not None
        transport.pause_reading()  # the peer's process hangs: its kernel still takes the bytes
        server.links[0].keep_alive(0)
        started = loop.time()
        reason = await link.ended
        assert "ADDP" in reason
        assert 0.7 <= loop.time() - started <= 1.6  # 2 x 0.4 s, and what a busy machine adds

    scene(tmp_path, act)


def test_a_quiet_but_living_link_stays(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        await asyncio.sleep(1.2)  # three timeouts without a message
        assert link.open
        assert server.links[0].open

    scene(tmp_path, act)


def test_the_server_keeps_the_pushed_timeout(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        assert link._transport is not None
        link._transport.pause_reading()
        link.keep_alive(0)
        await until(lambda: server.losses, "the server gives the client up")
        assert "ADDP" in server.losses[0]

    scene(tmp_path, act)


def test_small_messages_leave_at_once(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        for end in (link, server.links[0]):
            assert end._transport is not None
            sock = end._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    scene(tmp_path, act)


@pytest.mark.parametrize(
    "junk",
    [
        b"hello\n",
        b"\x00\xff\xfe\n",
        b"{}\n",
        b'{"t":"req","id":1}\n',
        b'{"t":"req","id":1,"body":{"t":"Nonsense"}}\n',
        b'{"t":"req","id":"x","body":{"t":"GetStatus"}}\n',
        b'{"t":"note","body":{"t":"Read","key":3}}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (wire.MAX_LINE + 2),
        b"\n",
    ],
    ids=lambda junk: repr(junk[:24]),
)
def test_malformed_input_ends_only_its_own_link(tmp_path: Path, junk: bytes) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        bad = await world.link(VM, PORT)
        bad.send_line(junk)
        await bad.ended
        assert world.logged("malformed input")
        answer = await link.request(GetStatus(), Answer, timeout=PATIENCE)
        assert answer.values == {"link": 0}

    scene(tmp_path, act)


def test_a_message_in_pieces_is_put_together(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        line = b'{"t":"req","id":7,"body":{"t":"GetStatus"}}\n'
        waiting = link._waiting[7] = asyncio.get_running_loop().create_future()
        for at in range(len(line)):
            link.send_line(line[at : at + 1])
            await asyncio.sleep(0)
        assert await waiting == Answer({"link": 0})

    scene(tmp_path, act)


def test_an_answer_of_the_wrong_kind_ends_the_link(tmp_path: Path) -> None:
    async def act(world: World, server: Server, link: Link) -> None:
        with pytest.raises(LinkLost, match="Answer in answer to GetStatus"):
            await link.request(GetStatus(), Value, timeout=PATIENCE)
        assert not link.open

    scene(tmp_path, act)
