"""The authoritative server: UDP and TCP on one event loop, answered from encoded replies.

    packet ─▶ without its id, seen in this zone version? ─▶ the stored reply, id put in front
                     └ no ─▶ codec.parse ─▶ codec.answer(zone) ─▶ stored

A change makes a new zone, empties the stored replies and takes effect between two packets: from
then on no answer comes from the old zone, and none from half of the change.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drharness.components.environment import Environment
from drharness.dns import channel, codec, names, options, transport, zonefile
from drharness.dns.endpoint import Endpoint
from drharness.dns.misbehaviour import Misbehaviour, misbehaviour
from drharness.dns.zone import Zone
from drharness.kernel import clock

STORED_REPLIES = 20_000
LOGGED_QUERIES = 50_000
LISTED_QUERIES = 10_000
DEFAULTS = {
    "address": "127.0.0.1",
    "port": "53",
    "zone": "dr.internal",
    "control": "/run/drharness-dns.sock",
    "records": "/etc/drharness/zone.json",
}


@dataclass(frozen=True, slots=True)
class _Stored:
    """A reply without its id, the zone version that it is from, and seconds to wait with it."""

    tail: bytes
    serial: int
    delay: float = 0.0


_Logged = tuple[int, tuple[str, int], str, _Stored]


class DnsServer(Endpoint):
    """Serves one zone; :meth:`publish` swaps it.

    :ivar zone: the version being served
    :ivar port: the port in use, also where 0 was asked for
    """

    def __init__(
        self,
        zone: Zone,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        save: Callable[[Zone], None] | None = None,
        logged: int = LOGGED_QUERIES,
        idle_s: float = transport.IDLE_S,
        partial_s: float = transport.PARTIAL_S,
    ) -> None:
        """Begins to answer with :meth:`start`.

        :param save: stores a new zone before it is served; its OSError refuses the change
        :param logged: queries that the log keeps
        :param idle_s: seconds until an idle TCP connection is closed
        :param partial_s: seconds that a message may take to arrive over TCP
        """
        super().__init__(
            address, port, transport.Tcp(self._on_message, idle_s=idle_s, partial_s=partial_s)
        )
        self.zone = zone
        self.counts = {"udp": 0, "tcp": 0, "dropped": 0, "unsent": 0, "changes": 0}
        self._save = save
        self._stored: dict[str, dict[bytes, _Stored]] = {"udp": {}, "tcp": {}}
        self._wrong: dict[bytes | None, Misbehaviour] = {}
        self._log: deque[_Logged] = deque(maxlen=logged)

    def publish(self, zone: Zone) -> None:
        """Store a new version and serve it from the next packet on."""
        if zone is self.zone:
            return
        if self._save is not None:
            self._save(zone)
        self.zone = zone
        self._stored = {"udp": {}, "tcp": {}}
        self.counts["changes"] += 1

    def misbehave(self, how: str, seconds: float = 0.0, name: str | None = None) -> None:
        """Answer wrongly from the next packet on; with ``how`` empty: rightly again.

        :param name: only for questions about this name, which comes before what holds for all
        :raises UsageError: no such way to misbehave, or not a name
        """
        about = None if name is None else names.to_wire(name)
        if how:
            self._wrong[about] = misbehaviour(how, seconds, self.zone)
        else:
            self._wrong.pop(about, None)
        self._stored = {"udp": {}, "tcp": {}}

    def logged(self, *, since_ns: int = 0, limit: int = LISTED_QUERIES) -> list[_Logged]:
        """Queries answered at or after ``since_ns``: the newest ``limit``, oldest first."""
        out: list[_Logged] = []
        for entry in reversed(self._log):
            if entry[0] < since_ns or len(out) == limit:
                break
            out.append(entry)
        return out[::-1]

    def verbs(self) -> dict[str, channel.Verb]:
        """What the control socket understands."""
        return {
            "misbehave": self._misbehave,
            "set": self._set,
            "zone": self._zone,
            "queries": self._queries,
            "stats": self._stats,
        }

    def _drain(self, sock: socket.socket) -> None:
        receive, send, log, now = sock.recvfrom, sock.sendto, self._log.append, clock.now_ns
        stored = self._stored["udp"]
        for _ in range(transport.DRAIN):
            try:
                packet, client = receive(transport.MAX_QUERY)
            except BlockingIOError:
                return
            self.counts["udp"] += 1
            found = stored.get(packet[2:]) or self._reply(packet, "udp")
            if found is None:
                continue
            log((now(), client, "udp", found))
            if found.delay:
                later = asyncio.get_running_loop().call_later
                later(found.delay, self._send, sock, packet[:2] + found.tail, client)
                continue
            try:
                send(packet[:2] + found.tail, client)
            except OSError:  # no route or a full buffer: to the client a lost packet
                self.counts["unsent"] += 1

    def _send(self, sock: socket.socket, reply: bytes, client: tuple[str, int]) -> None:
        try:
            sock.sendto(reply, client)
        except OSError:  # as above, or closed meanwhile
            self.counts["unsent"] += 1

    def _on_message(self, message: bytes, client: str, reply: transport.Reply) -> None:
        self.counts["tcp"] += 1
        found = self._stored["tcp"].get(message[2:]) or self._reply(message, "tcp")
        if found is None:
            reply(None)
            return
        self._log.append((clock.now_ns(), (client, 0), "tcp", found))
        if found.delay:
            later = asyncio.get_running_loop().call_later
            later(found.delay, reply, message[:2] + found.tail)
            return
        reply(message[:2] + found.tail)

    def _reply(self, packet: bytes, over: str) -> _Stored | None:
        """Work a reply out and store it; None where there is to be none."""
        delay, reply = 0.0, None
        try:
            query = codec.parse(packet)
            limit = codec.LARGEST if over == "tcp" else query.size
            wrong = self._wrong.get(query.name) or self._wrong.get(None)
            if wrong is None:
                reply = codec.answer(self.zone, query, limit=limit)
            else:
                delay = wrong.delay
                reply = wrong.answer(self.zone, query, over=over, limit=limit)
        except codec.BadQuery as bad:
            reply = bad.reply
        except codec.Dropped:
            pass
        if reply is None:
            self.counts["dropped"] += 1
            return None
        made = _Stored(reply[2:], self.zone.serial, delay)
        stored = self._stored[over]
        if len(stored) >= STORED_REPLIES:
            stored.clear()
        stored[packet[2:]] = made
        return made

    def _set(self, request: dict[str, Any]) -> dict[str, Any]:
        change = self.zone.transaction()
        for name, values in dict(request["records"]).items():
            change.set(name, values, ttl=request.get("ttl"), where=f"records.{name}")
        before = self.zone.serial
        self.publish(change.commit())
        return {**self._where(), "changed": self.zone.serial != before}

    def _misbehave(self, request: dict[str, Any]) -> dict[str, Any]:
        self.misbehave(**request)
        return self._where()

    def _zone(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**zonefile.as_table(self.zone), **self._where()}

    def _where(self) -> dict[str, Any]:
        return {"serial": self.zone.serial, "address": self.address, "port": self.port}

    def _queries(self, request: dict[str, Any]) -> dict[str, Any]:
        listed = self.logged(**request)
        return {
            "queries": [
                [t, client[0], over, found.serial, base64.b64encode(found.tail).decode()]
                for t, client, over, found in listed
            ]
        }

    def _stats(self, request: dict[str, Any]) -> dict[str, Any]:
        stored = sum(len(replies) for replies in self._stored.values())
        wrong = {
            "*" if about is None else names.to_text(about): how.as_table()
            for about, how in self._wrong.items()
        }
        counted = {**self.counts, "stored": stored, "logged": len(self._log)}
        return {**self._where(), **counted, "misbehaves": wrong}


async def main(env: Environment) -> None:
    """The process in the DNS VM; runs until it is cancelled.

    Options: see ``DEFAULTS``. Without a records file the zone starts empty, and the first change
    makes the file.

    :raises UsageError: bad options or records file
    :raises StartupFailed: the address, the port or the control socket cannot be had
    """
    chosen = options.parse(env.argv, DEFAULTS)
    path, address = chosen["records"], chosen["address"]
    port = options.whole(chosen, "port", low=0, high=65535)
    if env.disk.exists(path):
        text = env.disk.read_text(path)
        zone = zonefile.load(text, path, origin=chosen["zone"], address=address)
    else:
        zone = zonefile.empty(chosen["zone"], address, ttl=env.profile.ttl)
        env.log(f"{path}: no such file, the zone is empty")

    def save(changed: Zone) -> None:
        env.disk.write_text(path, zonefile.dump(changed))
        env.log(f"zone {changed.name} serial {changed.serial}")

    server = DnsServer(zone, address=address, port=port, save=save)
    await server.start(control=chosen["control"])
    env.log(f"zone {zone.name} serial {zone.serial} on {address}:{server.port}")
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
