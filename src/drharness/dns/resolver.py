"""The caching resolver of a VM: asks one or more servers, remembers answers, and can be flushed.

Equal questions in flight share one upstream query. What was asked before a flush is given to those
who asked before it, but is not remembered and not shared with later questions.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any

from drharness.components.environment import Environment
from drharness.dns import cache, channel, codec, exchange, names, options, rdata, transport
from drharness.dns.endpoint import Endpoint
from drharness.errors import UsageError
from drharness.kernel import clock

DEFAULTS = {
    "address": "127.0.0.1",
    "port": "53",
    "upstream": "",
    "upstream-port": "53",
    "control": "/run/drharness-resolver.sock",
    "timeout": "0.6",  # three tries end before a stub's two tries of a second do
    "tries": "3",
}
MAX_IN_FLIGHT = 1000


class Resolver(Endpoint):
    """Answers from its cache or from upstream; SERVFAIL when upstream says nothing usable.

    :ivar counts: queries, hits, upstream (queries sent), failed (no usable answer), stale, unsent
    """

    def __init__(
        self,
        upstreams: Sequence[exchange.Server],
        rng: random.Random,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        timeout: float = 0.6,
        tries: int = 3,
        clock: Callable[[], float] = clock.now,
        policy: cache.Policy | None = None,
    ) -> None:
        """:param clock: seconds, never going back; what TTLs are counted on"""
        super().__init__(address, port, transport.Tcp(self._on_message))
        self.cache = cache.Cache(clock, policy or cache.Policy())
        self.counts = {"queries": 0, "hits": 0, "upstream": 0, "failed": 0, "unsent": 0}
        self.counts["stale"] = 0
        self._upstreams, self._rng = tuple(upstreams), rng
        self._timeout, self._tries = timeout, tries
        self._flights: dict[cache.Key, asyncio.Task[cache.Answer]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """Stop answering, give up what is under way, and free the port."""
        super().close()
        for task in self._tasks:
            task.cancel()

    def flush(self, name: str | None = None) -> int:
        """Forget everything, or one name; how many answers were forgotten.

        :raises UsageError: not a name
        """
        wire = None if name is None else names.to_wire(name)
        for key in [k for k in self._flights if wire is None or k[0] == wire]:
            del self._flights[key]
        return self.cache.flush(wire)

    def verbs(self) -> dict[str, channel.Verb]:
        """What the control socket understands."""
        return {
            "flush": lambda request: {"flushed": self.flush(**request)},
            "cache": lambda request: {"entries": self.cache.listing()},
            "policy": self._policy,
            "stats": lambda request: {
                **self.counts,
                "in_flight": len(self._flights),
                "port": self.port,
            },
        }

    def _policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the policy; with ``how``, follow another one from now on."""
        if request:
            self.cache.follow(cache.policy(**request))
        return {"how": self.cache.policy.how, "seconds": self.cache.policy.seconds}

    def _drain(self, sock: socket.socket) -> None:
        for _ in range(transport.DRAIN):
            try:
                packet, client = sock.recvfrom(transport.MAX_QUERY)
            except BlockingIOError:
                return
            self._handle(packet, _to_client(self, sock, client), udp=True)

    def _on_message(self, message: bytes, client: str, reply: transport.Reply) -> None:
        self._handle(message, reply, udp=False)

    def _handle(self, packet: bytes, reply: transport.Reply, *, udp: bool) -> None:
        self.counts["queries"] += 1
        try:
            query = codec.parse(packet)
        except codec.BadQuery as bad:
            reply(bad.reply)
            return
        except codec.Dropped:
            reply(None)
            return
        if query.version:
            reply(codec.failure(query, 0, flags=codec.RA))
            return
        if query.qclass != codec.IN:
            reply(codec.failure(query, 5, flags=codec.RA))
            return
        entry = self.cache.get((query.name, query.qtype))
        limit = query.size if udp else codec.LARGEST
        if entry is not None:
            self.counts["hits"] += 1
            age = self.cache.clock() - entry.asked
            reply(_compose(query, entry.answer, age=age, kept=entry.kept, limit=limit))
            return
        task = asyncio.get_running_loop().create_task(self._fetch(query, reply, limit=limit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, query: codec.Query, reply: transport.Reply, *, limit: int) -> None:
        key = (query.name, query.qtype)
        flight = self._flights.get(key)
        if flight is None and len(self._flights) < MAX_IN_FLIGHT:
            flight = asyncio.get_running_loop().create_task(self._ask(key))
            self._flights[key] = flight
            self._tasks.add(flight)
            flight.add_done_callback(self._tasks.discard)
        try:
            if flight is None:
                raise exchange.NoAnswer("too many questions in flight")
            answer = await asyncio.shield(flight)
        except (exchange.NoAnswer, rdata.BadMessage):
            self.counts["failed"] += 1
            if not self._reply_stale(query, reply, limit=limit):
                reply(codec.failure(query, codec.SERVFAIL, flags=codec.RA))
            return
        if answer.usable or not self._reply_stale(query, reply, limit=limit):
            kept = self.cache.policy.keep(answer)
            reply(_compose(query, answer, age=0.0, kept=kept, limit=limit))

    def _reply_stale(self, query: codec.Query, reply: transport.Reply, *, limit: int) -> bool:
        """Answer with what has ended, if there is such an answer and the policy allows it."""
        entry = self.cache.get_stale((query.name, query.qtype))
        if entry is None:
            return False
        self.counts["stale"] += 1
        reply(_compose(query, entry.answer, age=0.0, kept=cache.STALE_TTL, limit=limit))
        return True

    async def _ask(self, key: cache.Key) -> cache.Answer:
        """One question upstream; its answer is remembered unless a flush came in between."""
        this = asyncio.current_task()
        asked = self.cache.clock()
        try:
            answer = cache.read(await self._upstream(codec.question_of(*key)))
            if self._flights.get(key) is this:
                self.cache.put(key, answer, asked=asked)
            return answer
        finally:
            if self._flights.get(key) is this:
                del self._flights[key]

    async def _upstream(self, question: bytes) -> bytes:
        """The first usable reply; each server gets its tries in turn.

        :raises exchange.NoAnswer: none of them answered
        """
        texts = []
        for server in self._upstreams:
            packet = codec.encode_query(self._rng.getrandbits(16), question, recursion=True)
            self.counts["upstream"] += 1
            try:
                return await exchange.ask(server, packet, timeout=self._timeout, tries=self._tries)
            except exchange.NoAnswer as error:
                texts.append(str(error))
        raise exchange.NoAnswer("; ".join(texts))


def _to_client(owner: Resolver, sock: socket.socket, client: tuple[str, int]) -> transport.Reply:
    def reply(message: bytes | None) -> None:
        if message is None:
            return
        try:
            sock.sendto(message, client)
        except OSError:  # no route, a full buffer, or closed meanwhile: a lost packet
            owner.counts["unsent"] += 1

    return reply


def _compose(
    query: codec.Query, answer: cache.Answer, *, age: float, kept: float, limit: int
) -> bytes:
    body = cache.aged(answer, age, kept)
    flags = codec.RA | answer.rcode
    return codec.compose(query, body, flags=flags, counts=answer.counts, limit=limit)


async def main(env: Environment) -> None:
    """The process in an Application VM; runs until it is cancelled.

    Options: see ``DEFAULTS``; ``-upstream`` takes one address or several with commas between.

    :raises UsageError: bad options
    :raises StartupFailed: the address, the port or the control socket cannot be had
    """
    chosen = options.parse(env.argv, DEFAULTS)
    if not chosen["upstream"]:
        raise UsageError("option -upstream: expected a DNS server's address, got none.")
    port = options.whole(chosen, "upstream-port", low=1, high=65535)
    resolver = Resolver(
        [(address, port) for address in chosen["upstream"].split(",")],
        env.rng,
        address=chosen["address"],
        port=options.whole(chosen, "port", low=0, high=65535),
        timeout=options.decimal(chosen, "timeout", low=0.001, high=60),
        tries=options.whole(chosen, "tries", low=1, high=20),
    )
    await resolver.start(control=chosen["control"])
    env.log(f"resolver on {resolver.address}:{resolver.port}, upstream {chosen['upstream']}")
    try:
        await asyncio.Event().wait()
    finally:
        resolver.close()
