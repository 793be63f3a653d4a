"""Links, addresses, routes, rules and queues by raw rtnetlink: milliseconds, no program needed.

Message layouts: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/fib_rules.h,
linux/pkt_sched.h, linux/pkt_cls.h. Requests are queued and sent as one batch by
:meth:`Netlink.flush`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from types import TracebackType

from drharness.engines.agent.nlmsg import (
    ACK,
    CREATE,
    EXCLUSIVE,
    REPLACE,
    REQUEST,
    acknowledgements,
    attribute,
    message,
)

_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _NEWROUTE = 16, 17, 20, 21, 24
_NEWRULE, _DELRULE, _NEWQDISC, _DELQDISC = 32, 33, 36, 37
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_BLACKHOLE_RULE = 6
_ROOT = 0xFFFFFFFF
_NEWCLASS, _DELCLASS, _NEWFILTER, _DELFILTER = 40, 41, 44, 45
_CLASSES = 1 << 16  # handle 1: of the qdisc that limits; class 1:N is the limit of network N
_ETHERNET = 1  # link layer of a rate: with it the kernel needs no rate table
_IPV4 = 0x0800
_SOURCE_OFFSET = 12  # of the source address in an IPv4 header
_BURST_S, _BURST = 0.01, 16_000  # what may pass at once: bytes of that time, or that many
_QUEUE_S, _QUEUE = 0.1, 80_000  # what may wait, likewise; more than one segment of 64 KiB
ABSENT = (errno.ENOENT, errno.EINVAL)  # removing what is not there


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
        batch = (message(kind, flags, n, body) for n, (_, kind, flags, body) in enumerate(queue))
        self._socket.send(b"".join(batch))
        answers = list(acknowledgements(self._socket, len(queue)))
        for number, error in answers:
            if error and error not in ignore:
                raise OSError(error, f"{queue[number][0]}: {os.strerror(error)}")

    def set_link(self, index: int, *, up: bool) -> None:
        """Bring an interface up or down."""
        self._add(f"link {index} up={up}", _NEWLINK, _link(index, up=up))

    def set_mac(self, index: int, mac: bytes) -> None:
        """The hardware address of an interface."""
        self._add(f"mac of {index}", _NEWLINK, _link(index) + attribute(_IFLA_ADDRESS, mac))

    def add_bridge(self, name: str, mac: bytes) -> None:
        """A bridge, up. Without a MAC of its own it would take the lowest of its ports', and so
        change whenever a VM is powered on: its neighbours would talk to nobody for seconds."""
        info = attribute(_IFLA_LINKINFO, attribute(1, "bridge"))
        self._add(
            f"bridge {name}",
            _NEWLINK,
            _link(up=True) + attribute(_IFLA_NAME, name) + attribute(_IFLA_ADDRESS, mac) + info,
            CREATE | EXCLUSIVE,
        )

    def add_veth(self, name: str, bridge: int, peer: str, peer_namespace: int, mac: bytes) -> None:
        """A cable: ``name`` on the bridge, ``peer`` in the network namespace of a descriptor."""
        # The peer must not be up at creation: ENOTCONN.
        other = (
            _link()
            + attribute(_IFLA_NAME, peer)
            + attribute(_IFLA_NET_NS_FD, peer_namespace)
            + attribute(_IFLA_ADDRESS, mac)
        )
        info = attribute(1, "veth") + attribute(2, attribute(1, other))
        body = (
            _link(up=True)
            + attribute(_IFLA_NAME, name)
            + attribute(_IFLA_MASTER, bridge)
            + attribute(_IFLA_LINKINFO, info)
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
        return head + attribute(2, packed) + attribute(1, packed)

    def add_default_route(self, gateway: str, index: int) -> None:
        """The default route through ``gateway``."""
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        self._add(
            f"default route {gateway}",
            _NEWROUTE,
            body + attribute(5, socket.inet_aton(gateway)) + attribute(4, index),
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
        body += attribute(1, socket.inet_aton(dst)) + attribute(2, socket.inet_aton(src))
        kind, flags = (_NEWRULE, CREATE | EXCLUSIVE) if on else (_DELRULE, 0)
        self._add(f"rule {source} to {target} blackhole={on}", kind, body, flags)

    def discard_outgoing(self, index: int, *, on: bool) -> None:
        """Discard everything an interface would send (or stop doing so): a one-way cut."""
        body = struct.pack("=BBHiIII", 0, 0, 0, index, 0, _ROOT, 0)
        if on:
            self._add(
                f"discard on {index}",
                _NEWQDISC,
                body + attribute(1, "blackhole"),
                CREATE | REPLACE,
            )
        else:
            self._add(f"stop discard on {index}", _DELQDISC, body)

    def add_classes(self, index: int) -> None:
        """Prepare an interface for :meth:`add_limit`; what has no limit passes as before."""
        init = attribute(2, struct.pack("=IIIII", 3, 10, 0, 0, 0))  # TCA_HTB_INIT, version 3
        body = _queueing(index, _CLASSES, _ROOT) + attribute(1, "htb") + attribute(2, init)
        self._add(f"htb on {index}", _NEWQDISC, body, CREATE | EXCLUSIVE)

    def remove_classes(self, index: int) -> None:
        """Undo :meth:`add_classes`, with all limits."""
        self._add(f"no htb on {index}", _DELQDISC, _queueing(index, _CLASSES, _ROOT))

    def add_limit(self, index: int, number: int, source: str, *, bits_per_s: float) -> None:
        """What the interface sends of a network (CIDR) passes at that rate at most.

        :param number: of the limit, 1 to 0xFFFE
        """
        rate, child = bits_per_s / 8, _CLASSES | number
        burst = max(_BURST, int(rate * _BURST_S))
        spec = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, int(rate))
        ticks = min(0xFFFFFFFF, int(burst / rate * 1e9) >> 6)  # PSCHED_SHIFT: units of 64 ns
        options = struct.pack("=12s12sIIIII", spec, spec, ticks, ticks, _BURST, 0, 0)
        body = _queueing(index, child, _CLASSES) + attribute(1, "htb")
        self._add(f"class {number}", _NEWCLASS, body + attribute(2, attribute(1, options)), CREATE)
        waiting = attribute(2, struct.pack("=I", max(_QUEUE, int(rate * _QUEUE_S))))
        body = _queueing(index, (number + 1) << 16, child) + attribute(1, "bfifo")
        self._add(f"queue {number}", _NEWQDISC, body + waiting, CREATE)
        network, bits = source.split("/")
        mask = socket.inet_aton(netmask(int(bits)))
        key = struct.pack("=4s4sii", mask, socket.inet_aton(network), _SOURCE_OFFSET, 0)
        select = struct.pack("=BBBxHHhhI", 1, 0, 1, 0, 0, 0, 0, 0) + key  # terminal, one key
        info = attribute(1, child) + attribute(5, select)
        body = _queueing(index, 0, _CLASSES, info=_filter(number))
        filtering = body + attribute(1, "u32") + attribute(2, info)
        self._add(f"filter {source}", _NEWFILTER, filtering, CREATE | EXCLUSIVE)

    def remove_limit(self, index: int, number: int) -> None:
        """Undo that :meth:`add_limit` and only that."""
        body = _queueing(index, 0, _CLASSES, info=_filter(number))
        self._add(f"no filter {number}", _DELFILTER, body)
        self._add(f"no class {number}", _DELCLASS, _queueing(index, _CLASSES | number, _CLASSES))


def _queueing(index: int, handle: int, parent: int, *, info: int = 0) -> bytes:
    return struct.pack("=BBHiIII", 0, 0, 0, index, handle, parent, info)


def _filter(priority: int) -> int:
    return priority << 16 | socket.htons(_IPV4)


def netmask(bits: int) -> str:
    """``255.255.0.0`` for 16."""
    return socket.inet_ntoa(struct.pack("!I", 0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF))
