"""Schedules that are tried: one, whatever becomes of it, and several at once."""

from __future__ import annotations

from collections.abc import Callable

from drharness.errors import DrHarnessError, Unsupported, UsageError
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial

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
