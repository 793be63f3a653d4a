"""Unix sockets by a path of any length."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def short(path: str | os.PathLike[str]) -> Iterator[str]:
    """Another name of a socket's path: its own may be longer than the 107 bytes of an address."""
    parent, name = os.path.split(path)
    folder = os.open(parent or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
