"""Work in the background of a controller, waited for with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for

from drharness.errors import EngineLost
from drharness.kernel.waiting import scaled

_running: set[int] = set()


class Job:
    """Work in a thread of its own, begun at once; the end of the process does not wait for it.

    :param what: what is awaited, for the error: ``"the end of run 2026..."``
    """

    def __init__(self, what: str, work: Callable[[], object]) -> None:
        self._what, self._work = what, work
        self._done: Future[None] = Future()
        threading.Thread(target=self._run, name=f"drharness: {what}", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._done.done()

    def _run(self) -> None:
        own = threading.get_ident()
        _running.add(own)
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
        finally:
            _running.discard(own)

    def settle(self, timeout: float) -> None:
        """Wait until it has ended, well or not.

        :raises EngineLost: not in ``timeout`` seconds
        """
        wait_for([self._done], scaled(timeout))
        if not self.over:
            raise EngineLost(f"{self._what}: not within {scaled(timeout):.0f} s")

    def result(self, timeout: float) -> None:
        """Wait until it has ended; raises what it raised.

        :raises EngineLost: not in ``timeout`` seconds
        """
        self.settle(timeout)
        self._done.result()


def running_threads() -> frozenset[int]:
    """Identifiers of the threads of all jobs that have not ended."""
    return frozenset(_running)
