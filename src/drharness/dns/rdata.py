"""The one door to dnslib: record data between text and wire form, and whole messages decoded.

dnslib packs names in record data with compression against the buffer they are packed into, which is
wrong anywhere else; :class:`_Plain` turns that off, so stored record data is valid in any message.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from dnslib import QTYPE, RCODE, RR, DNSRecord
from dnslib.buffer import BufferError as ShortBuffer
from dnslib.dns import DNSError
from dnslib.label import DNSBuffer, DNSLabelError

from drharness.errors import UsageError
from drharness.kernel import validate

NS, CNAME, SOA, OPT, AXFR, IXFR, ANY = 2, 5, 6, 41, 252, 251, 255
TYPES = {
    "A": 1,
    "AAAA": 28,
    "CAA": 257,
    "CNAME": CNAME,
    "MX": 15,
    "NS": NS,
    "PTR": 12,
    "SRV": 33,
    "TXT": 16,
}
_FAMILIES: dict[str, type[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {
    "A": ipaddress.IPv4Address,
    "AAAA": ipaddress.IPv6Address,
}
_BAD_TEXT = (ValueError, IndexError, KeyError, AttributeError, DNSError, DNSLabelError)
_BAD_WIRE = (*_BAD_TEXT, ShortBuffer, struct.error)


class _Plain(DNSBuffer):  # type: ignore[misc]
    """A buffer that never compresses names."""

    def encode_name(self, name: Any) -> None:
        self.encode_name_nocompress(name)


class BadMessage(ValueError):
    """Bytes that are not a DNS message; the text says why."""


def encode(kind: str, text: str, *, where: str) -> bytes:
    """Wire form of one record's data; names in it are absolute.

    :param kind: one of :data:`TYPES`
    :param text: as in a zone file: ``"10.81.1.11"``, ``"10 mail.dr.internal."``
    :param where: what to call it in an error
    :raises UsageError: unknown type, or text that is not data of that type
    """
    validate.choice(where, kind, TYPES)
    family = _FAMILIES.get(kind)
    if not isinstance(text, str) or "\n" in text:
        raise UsageError(f"{where}: expected the text of one {kind} record, got {text!r}.")
    try:
        if family is not None:
            return family(text).packed
        return _pack(kind, text)
    except _BAD_TEXT as error:
        raise UsageError(f"{where}: expected {kind} record data, got {text!r} ({error}).") from None


def _pack(kind: str, text: str) -> bytes:
    (record,) = RR.fromZone(f"x. 0 IN {kind} {text}")
    buffer = _Plain()
    record.rdata.pack(buffer)
    return bytes(buffer.data)


def soa(primary: str, contact: str, serial: int, *, negative_ttl: int) -> bytes:
    """Wire form of a start-of-authority record; both names absolute."""
    return _pack("SOA", f"{primary} {contact} {serial} 3600 600 86400 {negative_ttl}")


def type_name(number: int) -> str:
    """``"A"`` for 1; ``"TYPE666"`` for a type without a name."""
    name = QTYPE.get(number)
    return name if isinstance(name, str) else f"TYPE{number}"


def rcode_name(number: int) -> str:
    """``"NXDOMAIN"`` for 3; ``"RCODE23"`` for a code without a name."""
    name = RCODE.get(number)
    return name if isinstance(name, str) else f"RCODE{number}"


def decode(message: bytes) -> dict[str, Any]:
    """A message in words.

    :returns: ``{"name", "type", "rcode", "aa": bool, "tc": bool, "ra": bool, "answers": [{"name",
        "type", "ttl": s, "value"}], "authority": [same]}``; name and type "" without a question
    :raises BadMessage: not a DNS message
    """
    try:
        record = DNSRecord.parse(message)
        question = record.questions[0] if record.questions else None
        return {
            "name": _bare(question.qname) if question else "",
            "type": type_name(question.qtype) if question else "",
            "rcode": rcode_name(record.header.rcode),
            "aa": bool(record.header.aa),
            "tc": bool(record.header.tc),
            "ra": bool(record.header.ra),
            "answers": [_words(rr) for rr in record.rr],
            "authority": [_words(rr) for rr in record.auth],
        }
    except _BAD_WIRE as error:
        raise BadMessage(f"not a DNS message of {len(message)} bytes: {error}") from None


def _words(rr: Any) -> dict[str, Any]:
    value = str(rr.rdata)
    return {"name": _bare(rr.rname), "type": type_name(rr.rtype), "ttl": rr.ttl, "value": value}


def _bare(label: Any) -> str:
    text = str(label)
    return text[:-1] if len(text) > 1 else text
