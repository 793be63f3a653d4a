"""Where a user keeps what takes long to make and can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from drharness.errors import Unsupported


def directory(name: str, what: str, room: str) -> Path:
    """``$XDG_CACHE_HOME/drharness/<name>``, by default below ``~/.cache``; absolute, not made.

    A relative XDG_CACHE_HOME is not one, as its specification says.
    :param what: what is kept there, and ``room``: how much it takes, for the error
    :raises Unsupported: there is neither that variable nor a home directory
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if not base.is_absolute():
        base = Path(os.path.expanduser("~/.cache"))
    if not base.is_absolute():
        raise Unsupported(
            what,
            "this user has no home directory to keep it in",
            f"set XDG_CACHE_HOME to a directory that is writable, with {room} free",
        )
    return base / "drharness" / name
