"""An encrypted stream as a plain socket: who polls and reads descriptors cannot read TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Protocol

_CHUNK = 1 << 16


class SupportsClose(Protocol):
    """Something that can be closed."""

    def close(self) -> object:
        """Let go of what it holds."""


def plain(far: ssl.SSLSocket, *owners: SupportsClose) -> socket.socket:
    """A socket whose other end carries what goes over ``far``, which is the pump's from now on.

    Closing it closes ``far``; it ends when ``far`` does. One thread: OpenSSL does not allow a
    stream to be read and written at the same time.

    :param owners: who holds ``far`` open, too (an HTTP response); closed with it
    """
    near, inner = socket.socketpair()
    far.setblocking(False)
    inner.setblocking(False)
    pump = _Pump(far, inner, owners)
    threading.Thread(target=pump.run, name="drharness-tls", daemon=True).start()
    return near


class _Pump:
    """Both directions of one stream."""

    def __init__(
        self, far: ssl.SSLSocket, inner: socket.socket, owners: tuple[SupportsClose, ...]
    ) -> None:
        self._far, self._inner, self._owners = far, inner, owners
        self._outgoing, self._incoming = b"", b""
        self._wants_write = False  # OpenSSL has to write before it can read, or has more to write

    def run(self) -> None:
        """Until either end has gone."""
        with contextlib.ExitStack() as held:
            held.enter_context(contextlib.suppress(OSError))
            for one in (*self._owners, self._far, self._inner):
                held.callback(one.close)
            while True:
                self._wait()
                if not self._outgoing:
                    self._outgoing = self._taken(self._inner)
                self._send_out()
                while not self._incoming and (data := self._received()):
                    self._incoming = data
                    self._pass_in()

    def _wait(self) -> None:
        reading: list[socket.socket] = [] if self._incoming else [self._far]
        writing: list[socket.socket] = [self._inner] if self._incoming else []
        if self._outgoing or self._wants_write:
            writing.append(self._far)
        if not self._outgoing:
            reading.append(self._inner)
        select.select(reading, writing, [])
        self._pass_in()

    def _taken(self, source: socket.socket) -> bytes:
        """What has come; nothing yet is empty.

        :raises OSError: it has ended
        """
        try:
            data = source.recv(_CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionError("end of stream")
        return data

    def _received(self) -> bytes:
        self._wants_write = False
        try:
            data = self._far.recv(_CHUNK)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return b""
        if not data:
            raise ConnectionError("end of stream")
        return data

    def _send_out(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self._outgoing:
                self._outgoing = self._outgoing[self._far.send(self._outgoing) :]

    def _pass_in(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._incoming:
                self._incoming = self._incoming[self._inner.send(self._incoming) :]
