"""Names of runs: sortable by time, unique on a machine, short enough for a unix socket path."""

from __future__ import annotations

from drharness.kernel import clock, rng


def new_run_id() -> str:
    """``20261122-203712-7f3a``: start in UTC and four random hexadecimal digits."""
    return f"{clock.wall():%Y%m%d-%H%M%S}-{rng.token(2)}"
