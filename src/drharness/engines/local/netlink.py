"""Links, addresses, routes, rules and queues by raw rtnetlink: milliseconds, no program needed.

Message layouts: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/fib_rules.h. Requests are
queued and sent as one batch by :meth:`Netlink.flush`.
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType

REQUEST, ACK, REPLACE, CREATE = 0x001, 0x004, 0x100, 0x400
EXCLUSIVE = 0x200
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _NEWROUTE = 16, 17, 20, 21, 24
_NEWRULE, _DELRULE, _NEWQDISC, _DELQDISC = 32, 33, 36, 37
_ERROR = 2
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_BLACKHOLE_RULE = 6
_ROOT = 0xFFFFFFFF


def _attribute(kind: int, value: bytes | str | int) -> bytes:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _link(index: int = 0, *, up: bool | None = None) -> bytes:
    return struct.pack("=BBHiII", 0, 0, 0, index, int(bool(up)), 0 if up is None else _IFF_UP)


def index_of(name: str) -> int:
    """Interface index in the current network namespace."""
    return socket.if_nametoindex(name)


def mac_of(address: str) -> bytes:
    """A fixed MAC made of the IPv4 address: a VM made again does not fight stale ARP entries."""
    return b"\2\0" + socket.inet_aton(address)


class Netlink:
    """A netlink socket; it stays in the network namespace it was opened in."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))
        self._queue: list[tuple[str, int, int, bytes]] = []

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _add(self, what: str, kind: int, body: bytes, flags: int = 0) -> None:
        self._queue.append((what, kind, flags | REQUEST | ACK, body))

    def flush(self, ignore: tuple[int, ...] = ()) -> None:
        """Send what was queued and wait for every acknowledgement.

        :param ignore: errno values that are no error (already there, already gone)
        :raises OSError: names the request that failed
        """
        queue, self._queue = self._queue, []
        batch = b"".join(
            struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body
            for number, (_, kind, flags, body) in enumerate(queue)
        )
        self._socket.send(batch)
        acknowledged, failure = 0, None
        while acknowledged < len(queue):
            data, offset = self._socket.recv(65536), 0
            while offset < len(data):
                length, kind, _, number, _ = struct.unpack_from("=IHHII", data, offset)
                if kind == _ERROR:
                    acknowledged += 1
                    error = -struct.unpack_from("=i", data, offset + 16)[0]
                    if error and error not in ignore and failure is None:
                        failure = OSError(error, f"{queue[number][0]}: {os.strerror(error)}")
                offset += (length + 3) & ~3
        if failure is not None:
            raise failure

    def set_link(self, index: int, *, up: bool) -> None:
        """Bring an interface up or down."""
        self._add(f"link {index} up={up}", _NEWLINK, _link(index, up=up))

    def add_bridge(self, name: str, mac: bytes) -> None:
        """A bridge, up. Without a MAC of its own it would take the lowest of its ports', and so
        change whenever a VM is powered on: its neighbours would talk to nobody for seconds."""
        info = _attribute(_IFLA_LINKINFO, _attribute(1, "bridge"))
        self._add(
            f"bridge {name}",
            _NEWLINK,
            _link(up=True) + _attribute(_IFLA_NAME, name) + _attribute(_IFLA_ADDRESS, mac) + info,
            CREATE | EXCLUSIVE,
        )

    def add_veth(self, name: str, bridge: int, peer: str, peer_namespace: int, mac: bytes) -> None:
        """A cable: ``name`` on the bridge, ``peer`` in the network namespace of a descriptor."""
        # The peer must not be up at creation: ENOTCONN.
        other = (
            _link()
            + _attribute(_IFLA_NAME, peer)
            + _attribute(_IFLA_NET_NS_FD, peer_namespace)
            + _attribute(_IFLA_ADDRESS, mac)
        )
        info = _attribute(1, "veth") + _attribute(2, _attribute(1, other))
        body = (
            _link(up=True)
            + _attribute(_IFLA_NAME, name)
            + _attribute(_IFLA_MASTER, bridge)
            + _attribute(_IFLA_LINKINFO, info)
        )
        self._add(f"veth {name}", _NEWLINK, body, CREATE | EXCLUSIVE)

    def delete_link(self, index: int) -> None:
        """Remove an interface (and the other end of a veth)."""
        self._add(f"delete link {index}", _DELLINK, _link(index))

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """An IPv4 address on an interface."""
        body = self._address(index, address, prefix)
        self._add(f"address {address}/{prefix}", _NEWADDR, body, CREATE | EXCLUSIVE)

    def remove_address(self, index: int, address: str, prefix: int) -> None:
        """Take an IPv4 address from an interface."""
        body = self._address(index, address, prefix)
        self._add(f"no address {address}/{prefix}", _DELADDR, body)

    @staticmethod
    def _address(index: int, address: str, prefix: int) -> bytes:
        packed = socket.inet_aton(address)
        head = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, 0, index)
        return head + _attribute(2, packed) + _attribute(1, packed)

    def add_default_route(self, gateway: str, index: int) -> None:
        """The default route through ``gateway``."""
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        self._add(
            f"default route {gateway}",
            _NEWROUTE,
            body + _attribute(5, socket.inet_aton(gateway)) + _attribute(4, index),
            CREATE | EXCLUSIVE,
        )

    def blackhole(self, source: str, target: str, *, on: bool) -> None:
        """Drop (or stop dropping) what the router forwards from one network to another, one way.

        :param source: CIDR, ``10.81.0.0/16``; ``target`` alike
        """
        (src, src_len), (dst, dst_len) = source.split("/"), target.split("/")
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, int(dst_len), int(src_len), 0, 0, 0, 0, _BLACKHOLE_RULE, 0
        )
        body += _attribute(1, socket.inet_aton(dst)) + _attribute(2, socket.inet_aton(src))
        kind, flags = (_NEWRULE, CREATE | EXCLUSIVE) if on else (_DELRULE, 0)
        self._add(f"rule {source} to {target} blackhole={on}", kind, body, flags)

    def discard_outgoing(self, index: int, *, on: bool) -> None:
        """Discard everything an interface would send (or stop doing so): a one-way cut."""
        body = struct.pack("=BBHiIII", 0, 0, 0, index, 0, _ROOT, 0)
        if on:
            self._add(
                f"discard on {index}",
                _NEWQDISC,
                body + _attribute(1, "blackhole"),
                CREATE | REPLACE,
            )
        else:
            self._add(f"stop discard on {index}", _DELQDISC, body)
