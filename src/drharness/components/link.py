"""One link: newline-delimited JSON on TCP with keep-alive (ADDP) inside; both sides use it.

An ``asyncio.Protocol`` with callbacks, because streams are several times slower; a coroutine is
needed only to await an answer. Malformed input closes the link it came on and nothing else. Links
are made by ``wire`` only; the messages are in ``messages``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import msgspec

from drharness.components.messages import (
    AnyBody,
    Error,
    Frame,
    Hello,
    Note,
    Ping,
    Pong,
    Reply,
    Request,
)

MAX_LINE = 4 * 1024 * 1024  # bytes; a page of the history log is about 200 kB
MAX_QUEUE = 64 * 1024 * 1024  # bytes unread by the peer before the link is given up

Answer = TypeVar("Answer")
Log = Callable[[str], None]


class LinkLost(ConnectionError):
    """The link ended; ``sent`` tells whether the request had left before."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Refused(Exception):
    """The other side answered with an ``Error``."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.name or error.cls}: {error.text}")
        self.error = error


class Handler(Protocol):
    """What a link tells its owner; all calls are synchronous and in the order of the lines."""

    def opened(self, link: Link) -> None:
        """The connection is up."""

    def request(self, link: Link, number: int, body: AnyBody) -> None:
        """A request; answer it with :meth:`Link.reply`, now or later, exactly once."""

    def note(self, link: Link, body: AnyBody) -> None:
        """A message that expects no answer."""

    def lost(self, link: Link, reason: str) -> None:
        """The connection has ended; called once."""


class Quiet:
    """A handler that takes no requests and ignores the rest; a base for others."""

    def opened(self, link: Link) -> None:
        """Nothing to do."""

    def request(self, link: Link, number: int, body: AnyBody) -> None:
        """Refuse."""
        link.reply(number, unsupported(body))

    def note(self, link: Link, body: AnyBody) -> None:
        """Ignore."""

    def lost(self, link: Link, reason: str) -> None:
        """Nothing to do."""


def unsupported(body: AnyBody) -> Error:
    """The answer to a request that this server does not know."""
    return Error("rejected", "UnsupportedRequest", f"{type(body).__name__} is not served here")


_decode = msgspec.json.Decoder(Frame).decode
_encode = msgspec.json.Encoder().encode
_PING = _encode(Ping()) + b"\n"
_PONG = _encode(Pong()) + b"\n"


class Link(asyncio.Protocol):
    """One connection, from either side.

    :ivar remote: the other end, ``"10.81.1.11:2020"``
    :ivar client: name the other side gave in its hello (accepted links only)
    :ivar ended: resolves to the reason once the connection is gone
    """

    def __init__(self, handler: Handler, log: Log, *, max_line: int = MAX_LINE) -> None:
        self._handler, self._log, self._max_line = handler, log, max_line
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: dict[int, asyncio.Future[AnyBody]] = {}
        self._number = 0
        self._addp = 0.0
        self._polled = False
        self._last_heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self.open = False
        self.remote = ""
        self.client = ""
        self.ended: asyncio.Future[str] = self._loop.create_future()

    # -- transport callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop, which has set TCP_NODELAY."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_QUEUE)
        host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        self.remote = f"{host}:{port}"
        self.open = True
        self._last_heard = self._loop.time()
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._last_heard = self._loop.time()
        self._polled = False
        self._buffer += data
        if b"\n" in data:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = rest
            for line in lines:
                if not self.open:
                    return
                self._line(line)
        if len(self._buffer) > self._max_line:
            self._malformed(f"a line longer than {self._max_line} bytes")

    def pause_writing(self) -> None:
        """Called by the event loop: the other side does not read."""
        self.abort(f"more than {MAX_QUEUE} bytes unread by the other side")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._end(str(exc) if exc is not None else "closed by the other side")

    # -- what owners call ------------------------------------------------------------------

    def keep_alive(self, timeout: float) -> None:
        """Poll after ``timeout`` s without traffic, give up after the same again; 0 is off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._addp = timeout
        if timeout > 0 and self.open:
            self._timer = self._loop.call_at(self._loop.time() + timeout, self._tick)

    async def request(self, body: AnyBody, answer: type[Answer], *, timeout: float) -> Answer:
        """Send a request and wait for its answer.

        :raises Refused: the answer is an ``Error``
        :raises LinkLost: the link had gone or went; ``sent`` says which
        :raises TimeoutError: no answer within ``timeout`` s
        """
        if not self.open:
            raise LinkLost(self._reason or "not connected", sent=False)
        self._number += 1
        number = self._number
        waiting = self._waiting[number] = self._loop.create_future()
        self._send(Request(number, body))
        try:
            async with asyncio.timeout(timeout):
                got = await waiting
        finally:
            self._waiting.pop(number, None)
        if isinstance(got, Error):
            raise Refused(got)
        if not isinstance(got, answer):
            self._malformed(f"{type(got).__name__} in answer to {type(body).__name__}")
            raise LinkLost(self._reason, sent=True)
        return got

    def hello(self, name: str, *, remote_timeout: float) -> None:
        """Say who is calling, and which keep-alive timeout the other side shall use (s, 0 off)."""
        self._send(Hello(name, remote_timeout))

    def reply(self, number: int, body: AnyBody) -> None:
        """Answer a request; nothing happens if the link has gone."""
        self._send(Reply(number, body))

    def notify(self, body: AnyBody) -> None:
        """Send a message that expects no answer; nothing happens if the link has gone."""
        self._send(Note(body))

    def send_line(self, line: bytes) -> None:
        """Send an encoded note (:func:`encode_note`): one encoding for many links."""
        if self.open and self._transport is not None:
            self._transport.write(line)

    def close(self, reason: str = "closed here") -> None:
        """Send what is queued, then close."""
        if self.open and self._transport is not None:
            self._transport.close()
        self._end(reason)

    def abort(self, reason: str) -> None:
        """Close at once; what is queued is dropped."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    # -- inside ----------------------------------------------------------------------------

    def _send(self, frame: Frame) -> None:
        if self.open and self._transport is not None:
            self._transport.write(_encode(frame) + b"\n")

    def _line(self, line: bytes | bytearray) -> None:
        if len(line) > self._max_line:
            self._malformed(f"a line of {len(line)} bytes, at most {self._max_line} are allowed")
            return
        try:
            frame = _decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            self._malformed(f"{error} in {bytes(line[:80])!r}")
            return
        match frame:
            case Request(number, body):
                self._handler.request(self, number, body)
            case Note(body):
                self._handler.note(self, body)
            case Reply(number, body):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(body)
            case Ping():
                self.send_line(_PONG)
            case Hello(name, addp):
                self.client = name
                self.keep_alive(max(0.0, addp))

    def _malformed(self, what: str) -> None:
        self._log(f"malformed input from {self.remote}: {what}; link closed")
        self.abort(f"malformed input: {what}")

    def _tick(self) -> None:
        now = self._loop.time()
        due = self._last_heard + self._addp
        if now < due:
            self._timer = self._loop.call_at(due, self._tick)
        elif self._polled:
            self.abort(f"ADDP: nothing heard for {now - self._last_heard:.2f} s")
        else:
            self._polled = True
            self.send_line(_PING)
            self._timer = self._loop.call_at(now + self._addp, self._tick)

    def _end(self, reason: str) -> None:
        if not self.open:
            return
        self.open = False
        self._reason = reason
        self.keep_alive(0)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(LinkLost(reason, sent=True))
        self._waiting.clear()
        if not self.ended.done():
            self.ended.set_result(reason)
        self._handler.lost(self, reason)


def encode_note(body: AnyBody) -> bytes:
    """A note as a line, for :meth:`Link.send_line`."""
    return _encode(Note(body)) + b"\n"
