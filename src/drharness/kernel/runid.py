"""Names of runs: sortable by time, unique on a machine, short enough for a unix socket path."""

from __future__ import annotations

import threading

from drharness.kernel import clock, rng

_lock = threading.Lock()
_last = ("", 0)


def new_run_id() -> str:
    """``20261122-203712-7f3a``: start in UTC and four hexadecimal digits.

    The digits are random, and of one process's ids always the higher the later, so that its runs
    sort as they began.
    """
    global _last
    with _lock:
        second = f"{clock.wall():%Y%m%d-%H%M%S}"
        if second > _last[0]:
            number = int(rng.token(2), 16) // 2  # there is room for many more in this second
        else:
            second, number = _last[0], _last[1] + 1 + int(rng.token(1), 16) // 8
        _last = (second, number)
    return f"{second}-{number:04x}"
