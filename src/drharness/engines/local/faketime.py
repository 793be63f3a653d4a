"""Where this host has libfaketime, which gives one program a wall clock that is wrong.

Namespaces cannot: a time namespace shifts only the monotonic clocks.
"""

from __future__ import annotations

import glob
import os

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
    for place in _PLACES:
        for path in glob.glob(f"{place}/libfaketime.so.1"):
            if os.path.isfile(path):
                return path
    raise FileNotFoundError(f"no libfaketime.so.1 in {', '.join(_PLACES)}")
