"""Links between components: newline-delimited JSON on TCP, keep-alive (ADDP) inside, reconnection.

The only module that opens or accepts connections. An ``asyncio.Protocol`` with callbacks, because
streams are several times slower; a coroutine is needed only to await an answer. Malformed input
closes the link it came on and nothing else. The messages are in ``messages``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, cast

import msgspec

from drharness.components import messages
from drharness.components.environment import Environment, NameNotFound
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
MIN_CONNECT_S = 0.25  # a handshake is answered by the kernel, so a live host needs no longer

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
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_QUEUE)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


async def connect(
    address: str,
    port: int,
    handler: Handler,
    *,
    log: Log,
    timeout: float,
    max_line: int = MAX_LINE,
) -> Link:
    """Connect to an IPv4 address.

    :raises OSError: refused, unreachable, or (``TimeoutError``) no answer within ``timeout`` s
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        _, link = await loop.create_connection(
            lambda: Link(handler, log, max_line=max_line), address, port
        )
    return link


def is_address(host: str) -> bool:
    """Whether ``host`` is an IPv4 address rather than a name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


async def dial(env: Environment, host: str, port: int, handler: Handler) -> Link:
    """Resolve ``host`` now, connect to its first address, say hello, start the keep-alive.

    :raises NameNotFound: the name cannot be resolved
    :raises OSError: refused, unreachable or no answer in time
    """
    profile = env.profile
    if is_address(host):
        address = host
    else:
        async with asyncio.timeout(max(profile.addp_timeout, MIN_CONNECT_S)):
            address = (await env.resolve(host))[0]
    patience = max(profile.retry, MIN_CONNECT_S)
    link = await connect(address, port, handler, log=env.log, timeout=patience)
    link.hello(env.component, remote_timeout=profile.addp_remote_timeout)
    link.keep_alive(profile.addp_timeout)
    return link


async def serve(env: Environment, port: int, handler: Handler, *, address: str) -> asyncio.Server:
    """Accept links on ``address`` and ``port``.

    :raises OSError: the port is taken
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Link(handler, env.log), address, port)


class Peer:
    """Keeps one outgoing link up, for ever: tries each host in turn, resolving it again each time.

    After a round over all hosts it pauses ``profile.retry`` s; so a host that answers "not me" costs
    no pause before the other one is asked.

    :ivar link: the link that is logged in, or None
    """

    def __init__(
        self,
        env: Environment,
        what: str,
        hosts: Sequence[str],
        port: int,
        *,
        handler: Handler,
        login: Callable[[Link], Awaitable[None]],
    ) -> None:
        self._env, self._what, self._hosts, self._port = env, what, tuple(hosts), port
        self._handler, self._login = handler, login
        self._said: dict[str, str] = {}
        self.link: Link | None = None

    async def run(self) -> None:
        """Connect, log in, wait for the end, and again; ends only by cancellation."""
        while True:
            for host in self._hosts:
                await self._stay(host)
            await asyncio.sleep(self._env.profile.retry)

    def drop(self, reason: str) -> None:
        """Close the link, if there is one; it is dialled again."""
        if self.link is not None:
            self.link.close(reason)

    async def _stay(self, host: str) -> None:
        where = f"[{self._what}] at host {host} port {self._port}"
        link: Link | None = None
        try:
            link = await dial(self._env, host, self._port, self._handler)
            await self._login(link)
            self.link = link
            self._said.clear()
            self._env.log(f"00-04503 Connected to {where} ({link.remote})")
            reason = await link.ended
            self._env.log(f"00-04504 Connection to {where} lost: {reason}")
        except (OSError, NameNotFound, Refused) as error:
            self._say(where, f"{type(error).__name__}: {error}")
        finally:
            self.link = None
            if link is not None:
                link.close()

    def _say(self, where: str, reason: str) -> None:
        if self._said.get(where) != reason:
            self._said[where] = reason
            self._env.log(f"cannot connect to {where}: {reason}")


__all__ = [
    "MAX_LINE",
    "Handler",
    "Link",
    "LinkLost",
    "Peer",
    "Quiet",
    "Refused",
    "connect",
    "dial",
    "encode_note",
    "is_address",
    "messages",
    "serve",
    "unsupported",
]
