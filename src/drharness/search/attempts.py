"""Schedules that are tried: one, whatever becomes of it, and several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from drharness.errors import DrHarnessError, Unsupported, UsageError
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial

T = TypeVar("T")
Try = Callable[[Schedule], Trial]


def tried(attempt: Try, schedule: Schedule) -> tuple[Trial | None, str]:
    """A schedule's trial; or None, and the error for which there is no result.

    :raises UsageError, Unsupported: of the search or its host, so every other trial would end so
    """
    try:
        return attempt(schedule), ""
    except (UsageError, Unsupported):
        raise
    except DrHarnessError as error:
        return None, f"{type(error).__name__}: {error}"


def at_once(todo: Iterable[Callable[[], T]], jobs: int) -> Iterator[T]:
    """Do one after the other, so many at once, each in a thread; what they return, as they end.

    The next one is only asked for when there is room for it, and none any more if the caller has
    seen enough. An error of one is raised, and ends it all.
    """
    left = iter(todo)
    running: list[Future[T]] = []
    workers = ThreadPoolExecutor(jobs, thread_name_prefix="attempt")
    try:
        while True:
            for one in islice(left, jobs - len(running)):
                running.append(workers.submit(one))
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            results = [future.result() for future in running if future in ended]
            running = [future for future in running if future not in ended]
            yield from results
    finally:  # those under way end with their deployments
        workers.shutdown(wait=False, cancel_futures=True)
