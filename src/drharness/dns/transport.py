"""Sockets of a DNS server: UDP drained in bursts, TCP with pipelining and limits.

A callback per packet would cost one round of the event loop each; draining the socket when it
becomes readable answers three times as many queries.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from drharness.errors import StartupFailed

DRAIN = 64
RECEIVE_BUFFER = 4 << 20
MAX_QUERY = 4096
MAX_CONNECTIONS = 256
IDLE_S = 10.0
PARTIAL_S = 2.0

Reply = Callable[[bytes | None], None]
"""Called once per message with the reply, or with None where there is to be none."""
Handler = Callable[[bytes, str, Reply], None]
"""Takes a message, the client's address, and where the reply goes."""


def bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP socket and a listening TCP socket on the same port; port 0: any that is free for both.

    :raises StartupFailed: protocol, address, port and the reason
    """
    attempts = 1 if port else 50
    while True:
        attempts -= 1
        udp = _socket(socket.SOCK_DGRAM, address, port)
        try:
            return udp, _socket(socket.SOCK_STREAM, address, udp.getsockname()[1])
        except StartupFailed:
            udp.close()
            if not attempts:
                raise


def _socket(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    # asyncio turns Nagle's delay off only where the protocol is given
    protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
    made = socket.socket(socket.AF_INET, kind, protocol)
    try:
        made.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            made.bind((address, port))
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            made.listen(128)
    except OSError as error:
        made.close()
        name = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        raise StartupFailed(
            f"DNS: cannot listen on {address}:{port}/{name}: {error.strerror or error}."
            f"{_HINTS.get(error.errno or 0, '')}"
        ) from error
    return made


_HINTS = {
    errno.EADDRINUSE: " Another process has the port: end it or choose another -port.",
    errno.EADDRNOTAVAIL: " This VM does not have the address: check -address.",
    errno.EACCES: " Ports below 1024 need root inside the VM.",
}


class Tcp:
    """The TCP side of a server: at most ``MAX_CONNECTIONS``, the oldest goes first."""

    def __init__(
        self, handle: Handler, *, idle_s: float = IDLE_S, partial_s: float = PARTIAL_S
    ) -> None:
        self.handle, self.idle_s, self.partial_s = handle, idle_s, partial_s
        self._sessions: dict[_Session, None] = {}
        self._server: asyncio.Server | None = None
        self._closed = False

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a listening socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), sock=sock)

    def opened(self, session: _Session) -> None:
        """Count a connection in; the oldest ends if there are too many."""
        self._sessions[session] = None
        if self._closed:  # it was being accepted meanwhile
            session.abort()
        elif len(self._sessions) > MAX_CONNECTIONS:
            next(iter(self._sessions)).abort()

    def closed(self, session: _Session) -> None:
        """Count a connection out."""
        self._sessions.pop(session, None)

    def close(self) -> None:
        """End all connections and stop listening."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.abort()


class _Session(asyncio.Protocol):
    """One connection: messages with a length prefix, answered as they come, in any number."""

    def __init__(self, owner: Tcp) -> None:
        self._owner = owner
        self._buffer = b""
        self._client = ""
        self._waiting = 0
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._partial = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")  # None where the client has gone already
        self._client = str(peer[0]) if peer else ""
        self._limit(self._owner.idle_s)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        at = 0
        while len(buffer) - at >= 2:
            end = at + 2 + int.from_bytes(buffer[at : at + 2], "big")
            if end > len(buffer):
                break
            self._waiting += 1
            self._owner.handle(buffer[at + 2 : end], self._client, self._reply)
            at = end
        self._buffer = buffer[at:]
        if not self._buffer:
            self._partial = False
            self._limit(self._owner.idle_s)
        elif at or not self._partial:
            self._partial = True
            self._limit(self._owner.partial_s)

    def eof_received(self) -> bool:
        self._ended = True
        return self._waiting > 0

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._owner.closed(self)

    def abort(self) -> None:
        """End the connection now."""
        self._owner.closed(self)
        if self._transport is not None:
            self._transport.abort()

    def _reply(self, reply: bytes | None) -> None:
        self._waiting -= 1
        if self._transport is None or self._transport.is_closing():
            return
        if reply is not None:
            self._transport.write(len(reply).to_bytes(2, "big") + reply)
        if self._ended and not self._waiting:
            self._transport.close()

    def _limit(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)
