"""What the tests of names share: a loop in a thread, plain sockets, an environment for ``main``."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dns.message
import dns.query
import dns.rcode

from drharness.components.environment import Child, Disk
from drharness.components.store import Store
from drharness.dns.server import DnsServer
from drharness.kernel import rng
from drharness.topology.profile import FAST, Profile

T = TypeVar("T")
TIMEOUT_S = 5.0


class Background:
    """An event loop in a thread, where servers run while the test asks them from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.problems: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(repr(context)))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def call(self, function: Callable[[], T]) -> T:
        """Run a plain function there and wait for its result."""

        async def work() -> T:
            return function()

        return self.run(work())

    def begin(self, work: Coroutine[Any, Any, Any]) -> Callable[[], None]:
        """Start a coroutine that does not end by itself; call the result to cancel it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        return lambda: (future.cancel(), None)[1]

    def stop(self) -> None:
        """End the loop, its tasks first."""

        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await closing()

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(TIMEOUT_S)
        self.loop.close()


def ask(
    port: int, name: str, kind: str = "A", *, tcp: bool = False, **options: Any
) -> dns.message.Message:
    """One question by the independent client; ``options`` are dnspython's ``make_query``'s."""
    query = dns.message.make_query(name, kind, **options)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", port=port, timeout=TIMEOUT_S)


def values(reply: dns.message.Message) -> list[str]:
    """Data of all answer records, as text."""
    return [item.to_text() for rrset in reply.answer for item in rrset]


def rcode(reply: dns.message.Message) -> str:
    """The reply's code by name."""
    return dns.rcode.to_text(reply.rcode())


def raw(port: int, *packets: bytes) -> list[bytes]:
    """Send packets as they are; the replies up to the one to a last, ordinary query."""
    last = dns.message.make_query("last.dr.internal", "A", id=0xFFFF).to_wire()
    replies: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", port))
        for packet in (*packets, last):
            sock.send(packet)
        while True:
            reply = sock.recv(65535)
            if reply[:2] == last[:2]:
                return replies
            replies.append(reply)


@dataclass
class HandClock:
    """A clock that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        """The instant it was set to."""
        return self.now


class Upstream:
    """A name server in the test's own hands: it hears questions and answers when told."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.sock.getsockname()

    def hear(self) -> tuple[dns.message.Message, Any]:
        """The next question and who asked."""
        packet, client = self.sock.recvfrom(65535)
        return dns.message.from_wire(packet), client

    def say(self, heard: tuple[dns.message.Message, Any], address: str, *, ttl: int = 30) -> None:
        """Answer a question with one address."""
        query, client = heard
        reply = dns.message.make_response(query)
        name = query.question[0].name
        reply.answer.append(dns.rrset.from_text(name, ttl, "IN", "A", address))
        self.sock.sendto(reply.to_wire(), client)

    def deny(self, heard: tuple[dns.message.Message, Any], *, ttl: int, minimum: int) -> None:
        """Answer that there is no such name, with a SOA record of that TTL and minimum."""
        query, client = heard
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns1.dr.internal. hostmaster.dr.internal. 1 2 3 4 {minimum}"
        reply.authority.append(dns.rrset.from_text("dr.internal.", ttl, "IN", "SOA", soa))
        self.sock.sendto(reply.to_wire(), client)


class Files:
    """A VM's disk below a directory of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read_text(self, path: str) -> str:
        """Content of a file."""
        return self._at(path).read_text()

    def write_text(self, path: str, text: str) -> None:
        """Replace a file."""
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        self._at(path).write_text(text)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._at(path).exists()


@dataclass
class VmEnvironment:
    """What the processes' ``main`` may use of a VM; anything else is refused."""

    argv: Sequence[str]
    disk: Disk
    component: str = "dns.server"
    vm: str = "dns"
    region: str = "outside"
    address: str = "127.0.0.1"
    profile: Profile = FAST
    rng: random.Random = field(default_factory=lambda: rng.stream(1, "vm"))
    lines: list[str] = field(default_factory=list)

    def log(self, text: str) -> None:
        """Keep a line of the log."""
        self.lines.append(text)

    def sample(self, kind: str, /, **fields: Any) -> None:
        """An event each."""
        self.record(kind, **fields)

    def record(self, kind: str, /, **fields: Any) -> None:
        """Refuse: these processes record no events."""
        raise NotImplementedError(kind)

    async def resolve(self, name: str) -> list[str]:
        """Refuse: these processes look no names up."""
        raise NotImplementedError(name)

    async def spawn(self, name: str, factory: str, argv: Sequence[str]) -> Child:
        """Refuse: these processes start no others."""
        raise NotImplementedError(name)

    async def start_part(self, name: str) -> Child:
        """Refuse: these processes have no parts."""
        raise NotImplementedError(name)

    def open_store(self, settings: object) -> Store:
        """Refuse: these processes use no database."""
        raise NotImplementedError(settings)


async def serving(server: DnsServer, *, control: str = "") -> DnsServer:
    """The server, started."""
    await server.start(control=control)
    return server


async def closing(*close: Callable[[], None]) -> None:
    """Close servers and let their connections end; asyncio loses one that is being accepted."""
    await _turns(10)
    for function in close:
        function()
    await _turns(10)


async def _turns(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
