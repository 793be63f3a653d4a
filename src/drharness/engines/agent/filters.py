"""Packets that a VM shall not get: rules of its kernel, apart from the rules an operator sees.

Each filter is an nf_tables table of its own, set and removed whole by raw nfnetlink: no program is
needed, ``iptables`` neither lists nor saves it, and it comes before the operator's rules, as a
network comes before a host. It vanishes with the VM's power. Message layouts:
linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from functools import partial

from drharness.engines.agent import nlmsg
from drharness.engines.agent.nlmsg import ACK, APPEND, CREATE, EXCLUSIVE, REQUEST, attribute

HOWS = ("drop", "reject", "reset")

_TIMEOUT_S = 5.0
_BEGIN, _END, _SUBSYSTEM = 0x10, 0x11, 10
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_NESTED = 0x8000
_LOCAL_IN, _BEFORE_IPTABLES = 1, -10
_VERDICT_REGISTER, _REGISTER = 0, 1
_DROP, _ACCEPT = 0, 1
_EQUAL, _OTHER = 0, 1
_NETWORK, _TRANSPORT = 1, 2  # header that an offset counts from
_TCP, _ICMP = 6, 1
_META_IIF = 4
_UNREACHABLE = b"\3"  # ICMP type, and the code of "port unreachable"
_RST = b"\4"

_attribute = partial(attribute, order=">")


def _nest(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _expression(name: str, *parts: bytes) -> bytes:
    return _nest(1, _attribute(1, name), _nest(2, *parts))


def _load(base: int, offset: int, length: int) -> bytes:
    numbers = (_REGISTER, base, offset, length)
    return _expression("payload", *(_attribute(n, v) for n, v in enumerate(numbers, start=1)))


def _compare(value: bytes, how: int = _EQUAL) -> bytes:
    data = _nest(3, _attribute(1, value))
    return _expression("cmp", _attribute(1, _REGISTER), _attribute(2, how), data)


def _field(base: int, offset: int, value: bytes) -> bytes:
    return _load(base, offset, len(value)) + _compare(value)


def _from(address: str) -> bytes:
    return _field(_NETWORK, 12, socket.inet_aton(address))


def _protocol(number: int) -> bytes:
    return _field(_NETWORK, 9, bytes([number]))


def _has_rst() -> bytes:
    mask, zero = _nest(4, _attribute(1, _RST)), _nest(5, _attribute(1, b"\0"))
    registers = (_attribute(1, _REGISTER), _attribute(2, _REGISTER), _attribute(3, 1))
    flags = _load(_TRANSPORT, 13, 1) + _expression("bitwise", *registers, mask, zero)
    return flags + _compare(b"\0", _OTHER)


def _verdict(code: int) -> bytes:
    data = _nest(2, _nest(2, _attribute(1, code)))
    return _expression("immediate", _attribute(1, _VERDICT_REGISTER), data)


def _reject(*, reset: bool) -> bytes:
    return _expression("reject", _attribute(1, int(reset)), _attribute(2, _UNREACHABLE))


def _rules(source: str, port: int, how: str, *, answers: bool) -> Iterator[bytes]:
    """Expressions of each rule, in order.

    The errors that these rules themselves cause at the other end are let through: an RST ends the
    connection on both sides, and an ICMP error comes back from a link that is cut both ways.
    """
    what = _from(source)
    if port:
        what += _protocol(_TCP) + _field(_TRANSPORT, 0 if answers else 2, struct.pack(">H", port))
    if how == "drop":
        yield what + _verdict(_DROP)
    elif how == "reject":
        icmp_error = _protocol(_ICMP) + _field(_TRANSPORT, 0, _UNREACHABLE)
        yield _from(source) + icmp_error + _verdict(_ACCEPT)
        yield what + _reject(reset=False)
    else:
        yield what + _protocol(_TCP) + _has_rst() + _verdict(_ACCEPT)
        yield what + _protocol(_TCP) + _reject(reset=True)
        yield what + _verdict(_DROP)


class Filters:
    """The filters of the network namespace that the first one is added in."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None

    def add(self, name: str, source: str, *, port: int, how: str, answers: bool) -> None:
        """Keep from this VM what another one sends it.

        :param name: of the filter, to remove it by
        :param source: address of the other VM
        :param port: only TCP to this port of ours, 0 for everything
        :param how: ``drop``, ``reject`` (the sender gets an ICMP error) or ``reset`` (an RST)
        :param answers: ``port`` is the sender's: only what it answers to us
        :raises OSError: there is such a filter already, or the kernel cannot do it
        """
        self._install(name, list(_rules(source, port, how, answers=answers)))

    def deafen(self, name: str, interface: int) -> None:
        """Keep from this VM whatever comes through an interface, by its index.

        :raises OSError: there is such a filter already, or the kernel cannot do it
        """
        meta = _expression("meta", _attribute(1, _REGISTER), _attribute(2, _META_IIF))
        arriving = meta + _compare(struct.pack("=I", interface))
        self._install(name, [arriving + _verdict(_DROP)])

    def _install(self, name: str, rules: Sequence[bytes]) -> None:
        place = (_attribute(1, _LOCAL_IN), _attribute(2, _signed(_BEFORE_IPTABLES)))
        chain = _attribute(1, name) + _attribute(3, "input") + _nest(4, *place)
        requests = [
            (_NEW_TABLE, EXCLUSIVE, _attribute(1, name)),
            (_NEW_CHAIN, 0, chain + _attribute(7, "filter")),
        ]
        for expressions in rules:
            rule = _attribute(1, name) + _attribute(2, "input") + _nest(4, expressions)
            requests.append((_NEW_RULE, APPEND, rule))
        self._batch(f"filter {name}", [(kind, CREATE | f, body) for kind, f, body in requests])

    def remove(self, name: str) -> bool:
        """Remove a filter. False: there is none, for the VM was powered off since."""
        try:
            self._batch(f"no filter {name}", [(_DELETE_TABLE, 0, _attribute(1, name))])
        except FileNotFoundError:
            return False
        return True

    def _batch(self, what: str, requests: Sequence[tuple[int, int, bytes]]) -> None:
        """Do all of it or nothing."""
        parts = [_message(_BEGIN, REQUEST, 0, b"", family=0, extra=_SUBSYSTEM)]
        for number, (kind, flags, body) in enumerate(requests, start=1):
            kind, flags = kind | _SUBSYSTEM << 8, flags | REQUEST | ACK
            parts.append(_message(kind, flags, number, body, family=socket.AF_INET, extra=0))
        parts.append(_message(_END, REQUEST, 0, b"", family=0, extra=_SUBSYSTEM))
        link = self._open()
        link.send(b"".join(parts))
        error = next((e for _, e in nlmsg.acknowledgements(link, len(requests)) if e), 0)
        if error:
            self._link = None  # answers to the rest of the batch may still come
            raise OSError(error, f"{what}: {os.strerror(error)}")

    def _open(self) -> socket.socket:
        """The socket, kept: closing it waits until the kernel freed what was removed (15 ms)."""
        if self._link is None:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._link = socket.socket(socket.AF_NETLINK, kind, nlmsg.NETFILTER)
            self._link.settimeout(_TIMEOUT_S)
            self._link.bind((0, 0))
        return self._link


def _signed(number: int) -> bytes:
    return struct.pack(">i", number)


def _message(kind: int, flags: int, number: int, body: bytes, *, family: int, extra: int) -> bytes:
    return nlmsg.message(kind, flags, number, struct.pack(">BBH", family, 0, extra) + body)
