"""The door to time.

All instants of a history are nanoseconds of ``CLOCK_MONOTONIC``, which every process on one host
shares (also across network, mount and pid namespaces), so no clock has to be synchronised. Of
several hosts it is that of the controller's: a VM on another is told how far its own is behind.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

_behind_ns = 0


def follow(behind_ns: int) -> None:
    """Let :func:`now_ns` be another host's, of which this one's is that far behind.

    For this process and those it forks.
    """
    global _behind_ns
    _behind_ns = behind_ns


def now_ns() -> int:
    """Nanoseconds of CLOCK_MONOTONIC: what histories are stamped with."""
    return time.monotonic_ns() + _behind_ns


def source() -> str:
    """Which clock CLOCK_MONOTONIC is: the boot and the time namespace (Linux 5.6 and newer)."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = Path("/proc/self/ns/time")
    return f"{boot}:{space.stat().st_ino if space.exists() else 0}"


def now() -> float:
    """Seconds of CLOCK_MONOTONIC, the same clock as ``asyncio``'s ``loop.time()``."""
    return time.monotonic()


def wall() -> datetime:
    """Wall-clock time in UTC; for names and reports, never for measuring."""
    return datetime.now(UTC)


def nap(seconds: float) -> None:
    """Give up the processor between two probes; only ``waiting`` uses it."""
    time.sleep(seconds)


class Deadline:
    """An instant by which something must be done; ``left`` never falls below zero."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = now()

    @property
    def left(self) -> float:
        """Seconds that remain, 0.0 once passed."""
        return max(0.0, self.started + self.seconds - now())

    @property
    def passed(self) -> bool:
        """Whether the deadline is over."""
        return self.left == 0.0

    @property
    def waited(self) -> float:
        """Seconds since it was set."""
        return now() - self.started
