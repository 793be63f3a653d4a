"""Messages between controller and agent, and the loop that serves them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from drharness.engines.agent import channel
from drharness.engines.agent.channel import Channel, ChannelClosed


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Two connected channels."""
    pair = channel.pair()
    yield Channel(pair[0]), Channel(pair[1])
    for sock in pair:
        sock.close()


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends

    def send_all() -> None:
        for n in range(999):
            one.send({"n": n, "x": "x" * n})

    sender = threading.Thread(target=send_all)
    sender.start()
    got: list[int] = []
    while len(got) < 999:
        got += [m["n"] for m in other.receive()]
    sender.join()
    assert got == list(range(999))


def test_reading_without_data_returns_at_once(ends: tuple[Channel, Channel]) -> None:
    """A stale poll result must not stop an init for ever."""
    _one, other = ends
    assert other.receive() == []


def test_descriptors_ride_along_with_their_message(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    reading, writing = os.pipe()
    one.send({"n": 1})
    one.send({"n": 2}, fds=(writing,))
    os.close(writing)
    messages: list[channel.Message] = []
    while len(messages) < 2:
        messages += other.receive()
    assert "fds" not in messages[0]
    (received,) = messages[1]["fds"]
    os.write(received, b"through")
    os.close(received)
    assert os.read(reading, 10) == b"through"
    os.close(reading)


def test_an_end_that_has_gone_is_told_from_silence(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.close()
    with pytest.raises(ChannelClosed):
        other.receive()
    with pytest.raises(ChannelClosed):
        other.send({"n": 1})
