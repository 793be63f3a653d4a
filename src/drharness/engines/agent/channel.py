"""Messages between the controller and an agent: newline-delimited JSON on a stream.

The stream is a socket; where a VM is a container, its PID 1's input and output. On a socket file
descriptors may ride along (a message says how many in ``fds``); they arrive in order.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from typing import Any

import msgspec

Message = dict[str, Any]
_CHUNK = 1 << 18
_ERRORS = 4000  # bytes of a container's errors that are kept


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
        try:
            self._write(memoryview(msgspec.json.encode(message) + b"\n"), fds)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def _write(self, data: memoryview, fds: tuple[int, ...]) -> None:
        if fds:
            sent = socket.send_fds(self.socket, [data], list(fds))
            data = data[sent:]
        if data:
            self.socket.sendall(data)

    def receive(self) -> list[Message]:
        """Read once and return the complete messages; ``fds`` of each is a list of descriptors.

        Never waits on a blocking socket: the poll result that led here may be about a descriptor
        that was closed, and its number given to this one, by an earlier handler of the same turn.

        :raises ChannelClosed: end of stream
        """
        try:
            data = self._read()
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        complete, newline, rest = data.rpartition(b"\n")
        if not newline:  # of a long message: joined once, at its end
            self._parts.append(data)
            return []
        lines = b"".join([*self._parts, complete]).split(b"\n")
        self._parts = [rest]
        return [self._with_fds(msgspec.json.decode(line)) for line in lines]

    def _read(self) -> bytes:
        """What has come, perhaps nothing of a message.

        :raises BlockingIOError: nothing has
        :raises ChannelClosed: end of stream
        """
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        data, ancillary, _, _ = self.socket.recvmsg(_CHUNK, socket.CMSG_SPACE(32 * 4), flags)
        for _, _, packed in ancillary:
            numbers = array.array("i")
            numbers.frombytes(packed[: len(packed) - len(packed) % numbers.itemsize])
            self._fds.extend(numbers)
        if not data:
            raise ChannelClosed("end of stream")
        return data

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


class PipeChannel(Channel):
    """The end of a process that was given two pipes, as PID 1 of a container is: no descriptors.

    :param reading: requests come from there; ``writing``: answers go there
    """

    def __init__(self, reading: int, writing: int) -> None:
        ours, self._nobody = pair()  # for what a channel has, and nothing uses here
        super().__init__(ours)
        self._reading, self._writing = reading, writing
        os.set_blocking(reading, False)

    def fileno(self) -> int:
        """For ``select``: of the pipe that is read."""
        return self._reading

    def _write(self, data: memoryview, fds: tuple[int, ...]) -> None:
        if fds:
            raise OSError("descriptors cannot go through a pipe")
        while data:
            data = data[os.write(self._writing, data) :]

    def _read(self) -> bytes:
        data = os.read(self._reading, _CHUNK)
        if not data:
            raise ChannelClosed("end of stream")
        return data

    def close(self) -> None:
        """Close both pipes."""
        for fd in (self._reading, self._writing):
            os.close(fd)
        self._nobody.close()
        super().close()


class FramedChannel(Channel):
    """The other end of such pipes, through Docker's attach: what comes is in frames.

    A frame is a header of eight bytes (stream 1 or 2, three zeros, length as a big-endian number)
    and what the container wrote: "Attach to a container" in Docker's Engine API. What it wrote to
    stream 2, its errors, is kept in :attr:`errors`.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.errors = b""
        self._pending = b""

    def _read(self) -> bytes:
        self._pending += super()._read()
        found, place = [], 0
        while len(self._pending) >= place + 8:
            stream, length = struct.unpack_from(">BxxxI", self._pending, place)
            if len(self._pending) < place + 8 + length:
                break
            part = self._pending[place + 8 : place + 8 + length]
            place += 8 + length
            if stream == 1:
                found.append(part)
            else:
                self.errors = (self.errors + part)[-_ERRORS:]
        self._pending = self._pending[place:]
        return b"".join(found)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected stream sockets; not inherited across exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
