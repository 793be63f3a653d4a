"""Messages between the controller and an agent: newline-delimited JSON on a stream socket.

File descriptors may ride along (a message says how many in ``fds``); they arrive in order.
"""

from __future__ import annotations

import array
import os
import socket
from typing import Any

import msgspec

Message = dict[str, Any]
_CHUNK = 1 << 18


class ChannelClosed(ConnectionError):
    """The other side has gone."""


class Channel:
    """One end. Reading never blocks; writing blocks until all is sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._parts: list[bytes] = []
        self._fds: list[int] = []

    def fileno(self) -> int:
        """For ``select``."""
        return self.socket.fileno()

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send one message.

        :raises ChannelClosed: the other side has gone
        """
        if fds:
            message = {**message, "fds": len(fds)}
        data = memoryview(msgspec.json.encode(message) + b"\n")
        try:
            if fds:
                sent = socket.send_fds(self.socket, [data], list(fds))
                data = data[sent:]
            if data:
                self.socket.sendall(data)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> list[Message]:
        """Read once and return the complete messages; ``fds`` of each is a list of descriptors.

        Never waits on a blocking socket: the poll result that led here may be about a descriptor
        that was closed, and its number given to this one, by an earlier handler of the same turn.

        :raises ChannelClosed: end of stream
        """
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        try:
            data, ancillary, _, _ = self.socket.recvmsg(_CHUNK, socket.CMSG_SPACE(32 * 4), flags)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        for _, _, packed in ancillary:
            numbers = array.array("i")
            numbers.frombytes(packed[: len(packed) - len(packed) % numbers.itemsize])
            self._fds.extend(numbers)
        if not data:
            raise ChannelClosed("end of stream")
        complete, newline, rest = data.rpartition(b"\n")
        if not newline:  # of a long message: joined once, at its end
            self._parts.append(data)
            return []
        lines = b"".join([*self._parts, complete]).split(b"\n")
        self._parts = [rest]
        return [self._with_fds(msgspec.json.decode(line)) for line in lines]

    def _with_fds(self, message: Message) -> Message:
        count = message.get("fds", 0)
        if count:
            message["fds"], self._fds = self._fds[:count], self._fds[count:]
        return message

    def close(self) -> None:
        """Close this end and any descriptor nobody asked for."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        self.socket.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected stream sockets; not inherited across exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
