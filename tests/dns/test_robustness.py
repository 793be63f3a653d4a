"""Broken and hostile packets: FORMERR or silence by rule, and the server goes on answering."""

from __future__ import annotations

import socket
import struct

import dns.message
import pytest

from drharness.dns import codec, zonefile
from drharness.dns.server import DnsServer
from drharness.kernel import rng
from tests.dns.background import TIMEOUT_S, ask, raw, values

NAME = b"\x0bcfgmaster-p\x02dr\x08internal\x00"
IN_A = struct.pack("!HH", 1, 1)
OPT = b"\x00" + struct.pack("!HHIH", 41, 1232, 0, 0)


def packet(
    body: bytes, *, counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = 0
) -> bytes:
    return struct.pack("!HHHHHH", 7, flags, *counts) + body


BROKEN = {
    "no question": packet(b"", counts=(0, 0, 0, 0)),
    "two questions": packet(NAME + IN_A + NAME + IN_A, counts=(2, 0, 0, 0)),
    "truncated question": packet(NAME + b"\x00"),
    "truncated name": packet(NAME[:5]),
    "pointer loop": packet(b"\xc0\x0c" + IN_A),
    "label of 64": packet(b"\x40" + b"a" * 64 + b"\x00" + IN_A),
    "name of 256": packet((b"\x3f" + b"a" * 63) * 4 + b"\x00" + IN_A),
    "trailing bytes": packet(NAME + IN_A + b"x"),
    "record that is not there": packet(NAME + IN_A, counts=(1, 0, 0, 1)),
    "two OPT records": packet(NAME + IN_A + OPT + OPT, counts=(1, 0, 0, 2)),
    "OPT with an owner": packet(NAME + IN_A + b"\x01a" + OPT, counts=(1, 0, 0, 1)),
    "OPT as an answer": packet(NAME + IN_A + OPT, counts=(1, 1, 0, 0)),
    "option longer than OPT": packet(
        NAME + IN_A + OPT[:-2] + struct.pack("!HHH", 4, 10, 9), counts=(1, 0, 0, 1)
    ),
}


@pytest.mark.parametrize("query", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_query_gets_formerr(server: DnsServer, query: bytes) -> None:
    assert raw(server.port, query) == [query[:2] + b"\x80\x01" + bytes(8)]


@pytest.mark.parametrize("query", [b"", b"\x00\x07", packet(NAME + IN_A)[:11]])
def test_less_than_a_header_is_dropped(server: DnsServer, query: bytes) -> None:
    assert raw(server.port, query) == []


def test_a_reply_is_never_answered(server: DnsServer) -> None:
    assert raw(server.port, packet(NAME + IN_A, flags=0x8000)) == []


def test_a_name_of_odd_bytes_is_looked_up(server: DnsServer) -> None:
    odd = b"\x04\x00\xff.\x20\x02dr\x08internal\x00"
    (reply,) = raw(server.port, packet(odd + IN_A))
    assert reply[3] & 0xF == 3
    assert dns.message.from_wire(reply).authority


def test_a_broken_query_is_not_answered_from_a_good_ones_reply(server: DnsServer) -> None:
    good = packet(NAME + IN_A)
    first, second, third = raw(server.port, good, good + b"x", good)
    assert (first[3] & 0xF, second[3] & 0xF, third) == (0, 1, first)


def mangled(seed: int, number: int) -> bytes:
    """A query with bytes changed, cut out, or doubled."""
    draw = rng.stream(seed, f"packet {number}")
    out = bytearray(packet(NAME + IN_A + OPT, counts=(1, 0, 0, 1)))
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(out))
        match draw.randrange(4):
            case 0:
                out[at] = draw.randrange(256)
            case 1:
                del out[at : at + draw.randint(1, 4)]
            case 2:
                out[at:at] = out[at : at + draw.randint(1, 8)]
            case _:
                out[at] ^= 1 << draw.randrange(8)
        out = out or bytearray(b"\x00")
    return bytes(out)


def test_mangled_packets_are_answered_or_dropped_by_rule(server: DnsServer) -> None:
    packets = [mangled(20261122, number) for number in range(2000)]
    for start in range(0, len(packets), 50):
        sent = packets[start : start + 50]
        for reply in raw(server.port, *sent):
            assert reply[2] & 0x80
            assert any(reply[:2] == query[:2] for query in sent)
            dns.message.from_wire(reply)
    assert values(ask(server.port, "cfgmaster-p.dr.internal")) == ["10.81.1.11"]


def test_no_bytes_raise_anything_else_than_the_two_refusals() -> None:
    zone = zonefile.empty("dr.internal", "127.0.0.1")
    outcomes = set()
    for number in range(3000):
        try:
            query = codec.parse(mangled(7, number))
            dns.message.from_wire(codec.answer(zone, query, limit=512))
            outcomes.add("answered")
        except (codec.Dropped, codec.BadQuery) as refusal:
            outcomes.add(type(refusal).__name__)
    assert outcomes == {"answered", "Dropped", "BadQuery"}


def test_a_burst_of_queries_is_answered_in_full(server: DnsServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", server.port))
        for ident in range(1000):
            sock.send(struct.pack("!H", ident) + packet(NAME + IN_A)[2:])
        idents = {sock.recv(512)[:2] for _ in range(1000)}
    assert len(idents) == 1000
