"""An event loop whose clock stands still while the machine runs somebody else.

Every party of a test in ``World`` lives in one loop, with keep-alives of less than half a second.
On a busy machine the whole process may be kept waiting for longer: on the usual clock its parties
then find each other silent, though none of them could run.
"""

from __future__ import annotations

import asyncio
import resource
import selectors
from collections.abc import Awaitable
from typing import TypeVar

from drharness.kernel import clock

T = TypeVar("T")


def _processor_s() -> float:
    """Seconds of the processor that this thread has had."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_utime + used.ru_stime


class _Waits(selectors.EpollSelector):
    """Counts seconds: those worked, and those waited for, but not those by which it woke late."""

    def __init__(self) -> None:
        super().__init__()
        self._waited, self._since = 0.0, _processor_s()

    def seconds(self) -> float:
        """Since it was made."""
        return self._waited + _processor_s() - self._since

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; what is so already has not been waited for."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        before, worked = clock.now(), _processor_s()
        ready = super().select(timeout)
        waited = clock.now() - before - (_processor_s() - worked)
        self._waited += max(0.0, waited if timeout is None else min(waited, timeout))
        return ready


class OwnTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on that clock."""

    def __init__(self) -> None:
        self._waits = _Waits()
        super().__init__(self._waits)

    def time(self) -> float:
        """Seconds since the loop was made in which it worked, or waited as long as it meant to."""
        return self._waits.seconds()


def run(work: Awaitable[T]) -> T:
    """As ``asyncio.run``, on that clock."""

    async def whole() -> T:
        return await work

    with asyncio.Runner(loop_factory=OwnTimeLoop) as runner:
        return runner.run(whole())
