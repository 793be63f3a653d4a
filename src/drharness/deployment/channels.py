"""Talking to a keeper: its socket, one message at a time, and who may."""

from __future__ import annotations

import os
import select
import socket
import struct
from pathlib import Path
from typing import Any

from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.errors import DrHarnessError, UsageError
from drharness.kernel import sockets


class Said(DrHarnessError):
    """What a keeper answered instead of a result: an error of its own.

    :ivar exit_code: the one that the error has there
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code


def told(error: Exception) -> dict[str, Any]:
    """An error for the other side: its text, and the exit code that says what kind it is."""
    if isinstance(error, DrHarnessError):
        return {"text": str(error), "code": error.exit_code}
    return {"text": f"unexpected {type(error).__name__}: {error}", "code": 3}


def send(channel: Channel, message: Message, fds: tuple[int, ...] = ()) -> bool:
    """Send a message; false: the other side has gone, which is its own business."""
    try:
        channel.send(message, fds)
    except ChannelClosed:
        return False
    return True


def receive(channel: Channel) -> Message:
    """Wait for one message.

    :raises ChannelClosed: the other side has gone
    """
    while True:
        select.select([channel], [], [])
        for message in channel.receive():
            return message


def value_of(message: Message) -> Any:
    """What an answer brings.

    :raises Said: an error
    """
    error = message.get("error")
    if error is not None:
        raise Said(error["text"], error["code"])
    return message.get("value")


def listen(path: Path) -> socket.socket:
    """A socket at a path; what was there goes."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with sockets.short(path) as name:
        listening.bind(name)
    listening.listen(64)
    return listening


def connect(path: Path) -> Channel:
    """Connect to the keeper at a path.

    :raises OSError: none listens there
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with sockets.short(path) as name:
            sock.connect(name)
    except OSError:
        sock.close()
        raise
    return Channel(sock)


def check_peer(sock: socket.socket) -> None:
    """Nothing to say if the other side is this user.

    :raises UsageError: it is not
    """
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", packed)
    if uid != os.getuid():
        raise UsageError(f"this deployment belongs to user {os.getuid()}, you are user {uid}.")
