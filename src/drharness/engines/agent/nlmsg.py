"""Netlink messages: header, attributes and acknowledgements, the same for all that the kernel has.

Layouts: netlink(7), linux/netlink.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

REQUEST, ACK, REPLACE, EXCLUSIVE, CREATE, APPEND = 0x001, 0x004, 0x100, 0x200, 0x400, 0x800
NETFILTER = 12  # NETLINK_NETFILTER, which the socket module does not name
_ERROR = 2  # NLMSG_ERROR, which an acknowledgement is too: error 0
_HEADER = struct.Struct("=IHHII")


def attribute(kind: int, value: bytes | str | int, *, order: str = "=") -> bytes:
    """An attribute, padded to four bytes.

    :param value: a text gets its NUL, a number takes 32 bits
    :param order: of a number's bytes: ``=`` the host's (rtnetlink), ``>`` the network's (nf_tables)
    """
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack(f"{order}I", value)
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    """A message whose acknowledgement bears the same number."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body


def acknowledgements(link: socket.socket, count: int) -> Iterator[tuple[int, int]]:
    """(number, errno, 0 if it was done) of ``count`` messages with ``ACK``; stops after the last.

    :raises OSError: nothing came, if the socket has a timeout
    """
    seen = 0
    while seen < count:
        data, offset = link.recv(65536), 0
        while offset < len(data):
            length, kind, _, number, _ = _HEADER.unpack_from(data, offset)
            if kind == _ERROR:
                seen += 1
                yield number, -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
            offset += (length + 3) & ~3
