"""A wall clock that is wrong for one program: libfaketime, loaded before the program.

Namespaces cannot do it: a time namespace shifts only the monotonic clocks. What a program forks is
shifted alike. https://github.com/wolfcw/libfaketime
"""

from __future__ import annotations

import glob
from collections.abc import Mapping

_PLACES = (
    "/usr/lib/*/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
)


def library() -> str:
    """Path of the library on this host.

    :raises FileNotFoundError: it is not installed
    """
    found = [path for place in _PLACES for path in glob.glob(f"{place}/libfaketime.so.1")]
    if not found:
        raise FileNotFoundError(f"no libfaketime.so.1 in {', '.join(_PLACES)}")
    return found[0]


def environment(seconds: float) -> Mapping[str, str]:
    """Environment variables that shift a program's wall clock by so many seconds.

    CLOCK_MONOTONIC stays right: what waits for a time-out must not be confused. Time stamps of
    files stay the host's.
    """
    return {
        "LD_PRELOAD": library(),
        "FAKETIME": f"{seconds:+f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
