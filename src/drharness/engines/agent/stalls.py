"""Notices when the host keeps this VM's processes waiting: evidence about the machine, not the run.

A busy or stopped host makes everything late, and a bound in seconds would blame the system under
test for it. So every VM's agent sets itself an alarm and records by how much it was missed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from drharness.engines.agent.environment import EVENT_DIR
from drharness.kernel import clock

GAP_S = 0.05
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
WORTH_S = 0.1  # below that every host is late now and then, and every bound has room for it


class StallWatch:
    """Records a ``stall`` event whenever an alarm was heard more than :data:`WORTH_S` late.

    :param after: calls a function once, so many seconds from now
    """

    def __init__(self, vm: str, after: Callable[[float, Callable[[], None]], None]) -> None:
        self._vm, self._after = vm, after
        self._due = 0

    def start(self) -> None:
        """Set the first alarm."""
        self._due = clock.now_ns() + int(GAP_S * 1e9)
        self._after(GAP_S, self._ring)

    def _ring(self) -> None:
        now = clock.now_ns()
        if now - self._due > WORTH_S * 1e9:
            self._record(now)
        self.start()

    def _record(self, now: int) -> None:
        event = {"v": 1, "t": now, "kind": "stall", "vm": self._vm, "since": self._due}
        os.makedirs(EVENT_DIR, exist_ok=True)
        fd = os.open(
            f"{EVENT_DIR}/agent.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(fd, msgspec.json.encode(event) + b"\n")
        finally:
            os.close(fd)
