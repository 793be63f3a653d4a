"""Changing the database that a Configuration Server uses: an edit of its configuration file.

Called inside its VM. The server reads the file whenever it tries to become primary, so that nothing
has to be restarted.
"""

from __future__ import annotations

import os
from pathlib import Path

from drharness.components.options import CONF_DIR
from drharness.errors import UsageError

CONF = Path(CONF_DIR) / "confserv.conf"


def repoint(*, address: str, path: Path = CONF) -> dict[str, str]:
    """Set ``dbserver`` of section ``[dbserver]``; all else in the file stays as it is.

    :param address: IPv4 address of the DBMS
    :return: ``was`` and ``is``: the address before, and the one read back
    :raises UsageError: the file has no such option
    """
    was = _address(path)
    if was != address:
        lines = path.read_text().splitlines()
        lines[_place(lines, path)] = f"dbserver={address}"
        fresh = path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        os.replace(fresh, path)  # a server that reads meanwhile finds all of the one or the other
    return {"was": was, "is": _address(path)}


def _address(path: Path) -> str:
    lines = path.read_text().splitlines()
    return lines[_place(lines, path)].partition("=")[2].strip()


def _place(lines: list[str], path: Path) -> int:
    section = ""
    for number, line in enumerate(lines):
        if line.strip().startswith("["):
            section = line.strip()
        elif section == "[dbserver]" and line.partition("=")[0].strip() == "dbserver":
            return number
    raise UsageError(f"{path}: expected an option dbserver in section [dbserver].")
