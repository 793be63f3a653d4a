"""Delay by a packet queue (NFQUEUE): the kernel hands over ids, a process answers them later.

Message layouts: linux/netfilter/nfnetlink_queue.h. Packets stay in the kernel: only their headers'
ids are copied, and one verdict accepts a whole batch, so that a delayed line is still a fast one.
The kernel needs no sch_netem for it, which many hosts lack.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import struct
from collections import deque

from drharness.engines.agent.nlmsg import (
    ACK,
    NETFILTER,
    REQUEST,
    acknowledgements,
    attribute,
    message,
)
from drharness.kernel import clock

_QUEUE_SUBSYSTEM = 3 << 8
_VERDICT_BATCH, _CONFIG = _QUEUE_SUBSYSTEM | 3, _QUEUE_SUBSYSTEM | 2
_CFG_COMMAND, _CFG_PARAMS, _CFG_LENGTH, _CFG_MASK, _CFG_FLAGS = 1, 2, 3, 4, 5
_BIND, _COPY_META, _FAIL_OPEN, _WHOLE_SEGMENTS = 1, 1, 1, 4
_VERDICT_HEADER, _ACCEPT = 2, 1
_SOL_NETLINK, _NO_ENOBUFS = 270, 5
_ROOM = 20_000  # packets under way at once; beyond, they pass undelayed instead of being lost
_BUFFER = 8 << 20
_ID_OFFSET = 24  # nlmsghdr 16, nfgenmsg 4, then the first attribute: the packet header, id first


def _message(kind: int, queue: int, body: bytes, flags: int) -> bytes:
    return message(kind, flags, 0, struct.pack("=BBH", 0, 0, socket.htons(queue)) + body)


def bind(queue: int) -> socket.socket:
    """A socket that gets the ids of a queue's packets; closing it unbinds the queue.

    :param queue: number in this network namespace
    :raises OSError: the kernel has no queues, or another process has this one
    """
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    try:
        link.bind((0, 0))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        link.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        flags = struct.pack("!I", _FAIL_OPEN | _WHOLE_SEGMENTS)
        for body in (
            attribute(_CFG_COMMAND, struct.pack("=BBH", _BIND, 0, 0)),
            attribute(_CFG_PARAMS, struct.pack("!IB", 0, _COPY_META)),
            attribute(_CFG_LENGTH, struct.pack("!I", _ROOM)),
            attribute(_CFG_MASK, flags) + attribute(_CFG_FLAGS, flags),
        ):
            link.send(_message(_CONFIG, queue, body, REQUEST | ACK))
            ((_, error),) = acknowledgements(link, 1)
            if error:
                raise OSError(error, f"packet queue {queue}: {os.strerror(error)}")
    except OSError:
        link.close()
        raise
    return link


class _Ended(Exception):
    """SIGTERM came."""


def delay(link: socket.socket, queue: int, seconds: float) -> None:
    """Let every packet of a bound queue pass ``seconds`` after it came, until SIGTERM.

    All wait equally long, so they leave in the order they came in. At the end all that wait pass:
    the kernel would drop them.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Ended

    link.setblocking(False)
    waiting: deque[tuple[float, int]] = deque()
    newest = 0
    try:
        signal.signal(signal.SIGTERM, end)
        poll = select.poll()
        poll.register(link, select.POLLIN)
        while True:
            poll.poll(_milliseconds(waiting))
            newest = _collect(link, waiting, seconds) or newest
            due, now = 0, clock.now()
            while waiting and waiting[0][0] <= now:
                due = waiting.popleft()[1]
            if due:
                _accept(link, queue, due)
    except _Ended:
        _accept(link, queue, _collect(link, waiting, seconds) or newest)


def _milliseconds(waiting: deque[tuple[float, int]]) -> float | None:
    """Until the next packet is due; poll(2) counts whole milliseconds, so round up."""
    return math.ceil(max(0.0, waiting[0][0] - clock.now()) * 1000) if waiting else None


def _accept(link: socket.socket, queue: int, newest: int) -> None:
    """Let pass all packets up to that id."""
    verdict = attribute(_VERDICT_HEADER, struct.pack("!II", _ACCEPT, newest))
    link.send(_message(_VERDICT_BATCH, queue, verdict, REQUEST))


def _collect(link: socket.socket, waiting: deque[tuple[float, int]], seconds: float) -> int:
    """Take the ids of packets that have come; the newest, 0 if none has."""
    leave, newest = clock.now() + seconds, 0
    for _ in range(256):
        try:
            data = link.recv(4096)
        except BlockingIOError:
            break
        if struct.unpack_from("=H", data, 4)[0] == _QUEUE_SUBSYSTEM:
            newest = struct.unpack_from("!I", data, _ID_OFFSET)[0]
            waiting.append((leave, newest))
    return newest
