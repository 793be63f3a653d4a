"""What images are built of, as a tar: this package, the libraries it needs there, the Dockerfile.

The tar is a file without a name, so nothing of it stays, whatever ends this process. The libraries
of the last build stay in the user's cache: another build with the same needs no index.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO

from drharness.errors import CommandFailed, Unsupported
from drharness.kernel import caches, proc, waiting

PYTHON = "3.11"
_PACKAGE = Path(__file__).resolve().parents[2]
_LIBRARIES = ("msgspec", "psycopg[binary]", "dnslib", "filelock")  # of the controller's versions
_FETCH_S = 300.0


def dockerfile() -> Path:
    """The Dockerfile: beside the package in a wheel, in ``containers/`` of a checkout."""
    inside = _PACKAGE / "containers"
    return (inside if inside.is_dir() else _PACKAGE.parents[1] / "containers") / "Dockerfile"


def files() -> Iterator[tuple[str, Path]]:
    """Everything of this project that goes into images, by name."""
    yield "Dockerfile", dockerfile()
    for path in sorted(_PACKAGE.rglob("*")):
        name = path.relative_to(_PACKAGE)
        if path.is_file() and "__pycache__" not in name.parts and name.parts[0] != "containers":
            yield f"drharness/{name}", path


def libraries() -> list[str]:
    """The libraries in the images as pip takes them, in the versions that the controller has."""
    return [f"{name}=={metadata.version(name.partition('[')[0])}" for name in _LIBRARIES]


@contextmanager
def packed(telling: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """The tar, at its beginning.

    :param telling: told each line of progress
    :raises Unsupported: the libraries cannot be had, or not be kept
    """
    # Not above: where it is loaded, a fork within a fork fails; see dbms/template.py.
    from filelock import FileLock

    place = caches.directory("images", "libraries for images", "40 MB")
    with tempfile.TemporaryFile() as file:
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / "lock", timeout=waiting.scaled(_FETCH_S)):
                _fetch(place, telling)
                _pack(place / "libraries", file)
        except OSError as error:
            way = "free or allow it, or set XDG_CACHE_HOME and TMPDIR to writable directories"
            raise Unsupported("images", f"{place}: {error}", way) from error
        file.seek(0)
        yield file


def _fetch(place: Path, telling: Callable[[str], None]) -> None:
    wanted = libraries()
    text, stamp, target = f"{PYTHON} {wanted}\n", place / "libraries.txt", place / "libraries"
    if stamp.exists() and stamp.read_text() == text:
        return
    telling(f"libraries for Python {PYTHON}: {', '.join(wanted)}")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    options = ["--only-binary=:all:", "--python-version", PYTHON, "--no-compile", "--quiet"]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    try:
        proc.run([*pip, *options, "--target", str(target), *wanted], timeout=_FETCH_S)
    except CommandFailed as error:
        way = "pip must reach an index (pip config, PIP_INDEX_URL) when images are built"
        raise Unsupported("images", f"no libraries for them: {error}", way) from error
    stamp.write_text(text)


def _pack(libraries: Path, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, top in (("libraries", libraries), ("drharness", _PACKAGE)):
            tar.add(top, name, filter=_kept)
        tar.add(dockerfile(), "Dockerfile")


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(info.name).parts
    if "__pycache__" in parts or parts[:2] == ("drharness", "containers"):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
