"""Messages on the wire: reading a query's envelope, building replies. Pure, and fast by hand.

Rules for what cannot be answered: shorter than a header or itself a reply: dropped; another opcode:
NOTIMP with nothing but the opcode; otherwise broken: FORMERR, header only. Both halves follow
RFC 1035, 2308 (negative answers), 6891 (EDNS) and 8906 (what odd queries must get).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from drharness.dns import rdata
from drharness.dns.zone import NOERROR, NXDOMAIN, REFUSED, Found, RRset, Zone

HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_OPTION = struct.Struct("!HH")

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
OPCODE = 0x7800
FORMERR, SERVFAIL, NOTIMP = 1, 2, 4
BADVERS = 16
IN = 1
UDP_PLAIN, UDP_EDNS, LARGEST = 512, 1232, 65535
_DO = 0x8000


class Dropped(Exception):
    """Not to be answered at all: no header, or a reply."""


class BadQuery(Exception):
    """To be answered with a header only, which ``reply`` is."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply.hex())
        self.reply = reply


@dataclass(frozen=True)
class Query:
    """A query's envelope.

    :ivar flags: RD and CD as asked
    :ivar question: the question section as it came, with the asker's capital letters
    :ivar name: the name asked for, lower case
    :ivar size: bytes of UDP reply the asker takes
    :ivar edns: whether it sent an OPT record; ``version`` and ``do`` are that record's
    """

    id: int
    flags: int
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: bool = False
    size: int = UDP_PLAIN
    version: int = 0
    do: bool = False


def header_only(packet: bytes, rcode: int) -> bytes:
    """A reply that has only a header; RD is copied for ordinary queries only (RFC 8906, 8.2)."""
    asked = int.from_bytes(packet[2:4], "big")
    kept = asked & OPCODE
    if not kept:
        kept = asked & (RD | CD)
    return HEADER.pack(int.from_bytes(packet[:2], "big"), QR | kept | rcode, 0, 0, 0, 0)


def parse(packet: bytes) -> Query:
    """Read a query.

    :raises Dropped: see the module
    :raises BadQuery: with the FORMERR or NOTIMP reply
    """
    if len(packet) < HEADER.size:
        raise Dropped
    ident, flags, questions, *others = HEADER.unpack_from(packet)
    if flags & QR:
        raise Dropped
    if flags & OPCODE:
        raise BadQuery(header_only(packet, NOTIMP))
    try:
        if questions != 1:
            raise ValueError
        end = _name_end(packet, HEADER.size, pointers=False)
        qtype, qclass = _OPTION.unpack_from(packet, end)
        question = packet[HEADER.size : end + 4]
        edns = _additional(packet, end + 4, others)
    except (ValueError, IndexError, struct.error):
        raise BadQuery(header_only(packet, FORMERR)) from None
    name = packet[HEADER.size : end].lower()
    kept = flags & (RD | CD)
    if edns is None:
        return Query(ident, kept, question, name, qtype, qclass)
    size, extended = edns
    size = max(UDP_PLAIN, min(size, UDP_EDNS))
    version, do = extended >> 16 & 0xFF, bool(extended & _DO)
    return Query(ident, kept, question, name, qtype, qclass, True, size, version, do)


def _name_end(packet: bytes, at: int, *, pointers: bool) -> int:
    """Where the name at ``at`` ends; ValueError or IndexError for one that is none."""
    start = at
    while length := packet[at]:
        if length & 0xC0:
            if not pointers or length & 0xC0 != 0xC0 or at + 1 >= len(packet):
                raise ValueError
            return at + 2
        at += length + 1
    if at + 1 - start > 255:
        raise ValueError
    return at + 1


def _additional(packet: bytes, at: int, counts: list[int]) -> tuple[int, int] | None:
    """(size, extended flags) of the one OPT record, None without; everything must add up."""
    found = None
    before = counts[0] + counts[1]
    for index in range(sum(counts)):
        start = at
        at = _name_end(packet, at, pointers=True)
        kind, size, extended, length = _FIXED.unpack_from(packet, at)
        at += _FIXED.size
        if at + length > len(packet):
            raise ValueError
        if kind == rdata.OPT:
            if found is not None or packet[start] or index < before:
                raise ValueError
            _check_options(packet, at, at + length)
            found = (size, extended)
        at += length
    if at != len(packet):
        raise ValueError
    return found


def _check_options(packet: bytes, at: int, end: int) -> None:
    while at < end:
        _, length = _OPTION.unpack_from(packet, at)
        at += _OPTION.size + length
    if at != end:
        raise ValueError


def answer(zone: Zone, query: Query, *, limit: int) -> bytes:
    """The authoritative reply to a query, at most ``limit`` bytes (else truncated: TC set)."""
    if query.version:
        return _encode(query, Found(NOERROR), flags=0, limit=limit)
    if query.qclass != IN or query.qtype in (rdata.AXFR, rdata.IXFR):
        return _encode(query, Found(REFUSED), flags=0, limit=limit)
    found = zone.find(query.name, query.qtype)
    flags = 0 if found.rcode == REFUSED else AA
    soa = _records(query, zone.origin, zone.soa) if found.soa else b""
    return _encode(query, found, flags=flags, limit=limit, soa=soa)


def failure(query: Query, rcode: int, *, flags: int = 0) -> bytes:
    """A reply with the question and nothing else (and OPT where it was asked)."""
    return _encode(query, Found(rcode), flags=flags, limit=LARGEST)


def denial(zone: Zone, query: Query, *, limit: int) -> bytes:
    """The authoritative reply that there is no such name, whatever the zone says."""
    soa = _records(query, zone.origin, zone.soa)
    return _encode(query, Found(NXDOMAIN, soa=True), flags=AA, limit=limit, soa=soa)


def truncated(query: Query) -> bytes:
    """An authoritative reply with TC set and no records, whatever would fit."""
    return _encode(query, Found(NOERROR), flags=AA | TC, limit=LARGEST)


def _encode(query: Query, found: Found, *, flags: int, limit: int, soa: bytes = b"") -> bytes:
    body = b"".join(_records(query, owner, rrset) for owner, rrset in found.answers) + soa
    count = sum(len(rrset.wires) for _, rrset in found.answers)
    return compose(
        query, body, flags=flags | found.rcode, counts=(count, 1 if soa else 0), limit=limit
    )


def compose(query: Query, body: bytes, *, flags: int, counts: tuple[int, int], limit: int) -> bytes:
    """A reply from encoded records: header, the question as asked, ``body``, OPT if asked.

    :param counts: records of the answer and of the authority section in ``body``
    :param limit: more bytes than this and TC is set instead, other flags and OPT kept
    """
    opt = _opt(query) if query.edns else b""
    flags |= QR | query.flags
    if HEADER.size + len(query.question) + len(body) + len(opt) > limit:
        flags, counts, body = flags | TC, (0, 0), b""
    head = HEADER.pack(query.id, flags, 1, *counts, 1 if opt else 0)
    return head + query.question + body + opt


def _opt(query: Query) -> bytes:
    extended = (BADVERS >> 4) << 24 if query.version else 0
    extended |= _DO if query.do else 0
    return b"\0" + _FIXED.pack(rdata.OPT, UDP_EDNS, extended, 0)


def _records(query: Query, owner: bytes, rrset: RRset) -> bytes:
    name = b"\xc0\x0c" if owner == query.name else owner
    return b"".join(
        name + _FIXED.pack(rrset.type, IN, rrset.ttl, len(wire)) + wire for wire in rrset.wires
    )


def encode_query(ident: int, question: bytes, *, recursion: bool) -> bytes:
    """A query of one's own, with EDNS.

    :param question: name in wire form, type and class
    """
    flags = RD if recursion else 0
    opt = b"\0" + _FIXED.pack(rdata.OPT, UDP_EDNS, 0, 0)
    return HEADER.pack(ident, flags, 1, 0, 0, 1) + question + opt


def question_of(name: bytes, qtype: int) -> bytes:
    """A question section in class IN."""
    return name + _OPTION.pack(qtype, IN)
