"""How good is a line, how full is a disk? Measured from inside a VM, by effect."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import tempfile

from drharness.kernel import clock

_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_HEADERS = 14 + 20 + 8  # Ethernet, IPv4, ICMP: what a rate counts besides the payload
_BATCH = 32  # requests sent before answers are taken: fewer than the receive buffer holds
_SILENCE_S, _SLOWER = 0.3, 4.0  # seconds at least, and times the slowest answer
_UNHEARD_S = 4.0  # while nothing at all was answered
_WARM_S = 0.2


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Echo:
    """Echo requests to a host: its kernel answers, whatever its programs do."""

    def __init__(self, host: str, size: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.connect((host, 0))
        self._socket.setblocking(False)
        self._payload = bytes(size - size % 2)
        self._sent: dict[int, float] = {}
        self._mine = os.getpid() & 0xFFFF
        self.trips: list[float] = []

    @property
    def sent(self) -> int:
        """Requests sent so far."""
        return len(self._sent)

    def send(self) -> None:
        """One request."""
        number = self.sent & 0xFFFF
        head = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, self._mine, number)
        checksum = struct.pack("!H", _checksum(head + self._payload))
        self._sent[number] = clock.now()
        self._socket.send(head[:2] + checksum + head[4:] + self._payload)

    def receive(self, timeout: float) -> bool:
        """Wait for one answer; whether it came within ``timeout`` seconds."""
        deadline = clock.Deadline(timeout)
        while select.select([self._socket], [], [], deadline.left)[0]:
            data = self._socket.recv(65536)
            start = (data[0] & 15) * 4
            kind, _, _, whose, number = struct.unpack_from("!BBHHH", data, start)
            if (kind, whose) == (_ECHO_REPLY, self._mine) and number in self._sent:
                self.trips.append(clock.now() - self._sent[number])
                return True
        return False

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


def _gather(echo: Echo, count: int) -> None:
    """Receive the answers to ``count`` requests; what silence lasts too long for is lost.

    Too long is measured by the answers that came, so that a slow line is no lossy one.
    """
    while len(echo.trips) < count:
        slowest = max(echo.trips, default=_UNHEARD_S / _SLOWER)
        if not echo.receive(max(_SILENCE_S, _SLOWER * slowest)):
            return


def round_trip(host: str, count: int = 5) -> float | None:
    """Milliseconds of the fastest of several round trips to a host at once; None: no answer came.

    The fastest: a busy machine makes some slower, and nothing makes one faster than the line.
    """
    echo = Echo(host, 8)
    try:
        for _ in range(count):
            echo.send()
        _gather(echo, count)
    finally:
        echo.close()
    return min(echo.trips) * 1000 if echo.trips else None


def answered(host: str, count: int) -> int:
    """How many of ``count`` small packets to a host were answered."""
    echo = Echo(host, 8)
    try:
        for number in range(count):
            echo.send()
            if number % _BATCH == _BATCH - 1:
                while echo.receive(0.0):
                    pass
        _gather(echo, count)
    finally:
        echo.close()
    return len(echo.trips)


def throughput(host: str, seconds: float = 0.4) -> float:
    """Bits per second that come back from a host, headers included, while the line is kept busy.

    Few packets are under way at once: as many as a narrow line queues. Those that pass at once when
    a limited line was idle are not counted.
    """
    size, window, silence = 1400, 8, 0.1
    echo, lost, begun = Echo(host, size), 0, 0
    warm = clock.Deadline(_WARM_S)
    end = clock.Deadline(_WARM_S + seconds)
    try:
        while not end.passed:
            while echo.sent - len(echo.trips) - lost < window:
                echo.send()
            if not echo.receive(min(silence, end.left)):
                lost = echo.sent - len(echo.trips)
            if not warm.passed:
                begun = len(echo.trips)
    finally:
        echo.close()
    return (len(echo.trips) - begun) * 8 * (size + _HEADERS) / (end.waited - _WARM_S)


def write_file(directory: str, size: int) -> str:
    """Write ``size`` bytes to a new file and remove it: ``ok``, or the error, as ``no space``."""
    handle, path = tempfile.mkstemp(prefix=".drharness-", dir=directory)
    try:
        block = bytes(1 << 20)
        while size > 0:
            size -= os.write(handle, block[: min(size, len(block))])
    except OSError as error:
        return "no space" if error.errno == errno.ENOSPC else os.strerror(error.errno or 0)
    finally:
        os.close(handle)
        os.unlink(path)
    return "ok"
