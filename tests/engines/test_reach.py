"""What a probe says of a new connection is the kernel's word, not the scheduler's."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest

from drharness.engines.agent import reach


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port of it that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def beside_a_standstill(*ports: int) -> list[str]:
    """Probe while something keeps the loop for longer than the probe waits."""
    asyncio.get_running_loop().call_later(0.001, select.select, [], [], [], 0.1)
    return await reach.probe([("127.0.0.1", port) for port in ports], timeout=0.01)


def test_an_answer_that_came_while_nobody_could_look_counts(listening: int, closed: int) -> None:
    assert asyncio.run(beside_a_standstill(listening, closed)) == ["ok", "refused"]


def test_an_answer_counts_that_came_in_a_standstill_longer_than_the_patience() -> None:
    """The kernel asks a full server again after a second; by then it has room."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()

        def make_room_and_stand_still() -> None:
            server.accept()[0].close()
            select.select([], [], [], 1.5)

        async def late() -> list[str]:
            asyncio.get_running_loop().call_later(0.003, make_room_and_stand_still)
            return await reach.probe([address], timeout=0.01)

        with socket.create_connection(address):
            assert asyncio.run(late()) == ["ok"]


def test_each_target_is_told_by_itself(listening: int, closed: int) -> None:
    targets = [("127.0.0.1", listening), ("127.0.0.1", closed)]
    assert asyncio.run(reach.probe(targets)) == ["ok", "refused"]


def test_silence_is_a_timeout() -> None:
    """A server whose queue is full takes no further connection, and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        with socket.create_connection(address):
            assert asyncio.run(reach.probe([address], timeout=0.05)) == ["timeout"]
