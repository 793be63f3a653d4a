"""Which deployments of this user are kept by keepers: a directory with a record for each.

``$XDG_RUNTIME_DIR/drharness``, or ``/tmp/drharness-UID`` where there is none: only this user may
look into it. Beside the record ``NAME.json`` is the keeper's socket, ``NAME.sock``. The keeper has
the record locked for as long as it lives, and the kernel ends the lock with the process, however
that happens: a record that nobody has locked is what a killed keeper left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drharness.errors import UsageError
from drharness.kernel import clock
from drharness.kernel.waiting import wait_until

DEFAULT_NAME = "default"
STARTING, UP, ENDING = "starting", "up", "ending"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_GUARD_S = 10.0  # the guard clears up within milliseconds


@dataclass(frozen=True)
class Record:
    """What is told of a kept deployment.

    :ivar pid: of its keeper; ``state``: ``starting``, ``up`` or ``ending``
    :ivar since: when it was begun, ``until``: when it ends by itself; UTC, ISO 8601
    :ivar evidence: the run's directory, empty before there is one
    :ivar topology: ``Topology.as_dict()``; ``origin``: what it was kept for, if not by a command
    """

    name: str
    pid: int
    state: str
    since: str
    until: str
    evidence: str = ""
    topology: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""


def check_name(name: str, what: str = "name") -> str:
    """``name`` if a deployment can be called so.

    :raises UsageError: it cannot; says what a name looks like
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{what}: expected up to 40 small letters, digits, '-', '_' or '.', beginning with a "
            f"letter or digit, got {name!r}."
        )
    return name


def directory() -> Path:
    """The directory of this user's records; it need not be there.

    :raises UsageError: it is not this user's alone; says whose it is and what to do
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    path = Path(runtime) / "drharness" if runtime else Path(f"/tmp/drharness-{os.getuid()}")
    with contextlib.suppress(FileNotFoundError):
        check_directory(path)
    return path


def made() -> Path:
    """The same, made if need be."""
    path = directory()
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"runtime directory {path}: cannot be made ({error.strerror}). "
            "Let XDG_RUNTIME_DIR name a directory of your own, or unset it."
        ) from error
    check_directory(path)
    return path


def check_directory(path: Path) -> None:
    """Nothing to say if only this user can do anything in a directory.

    :raises UsageError: whose it is, or who else can, and what to do
    """
    seen = path.lstat()
    way_out = "Remove it, or let XDG_RUNTIME_DIR name a directory of your own."
    if not stat.S_ISDIR(seen.st_mode):
        raise UsageError(f"runtime directory {path}: it is no directory. {way_out}")
    if seen.st_uid != os.getuid():
        raise UsageError(
            f"runtime directory {path}: it belongs to user {seen.st_uid}, you are user "
            f"{os.getuid()}. {way_out}"
        )
    if stat.S_IMODE(seen.st_mode) & 0o077:
        mode = stat.S_IMODE(seen.st_mode)
        raise UsageError(
            f"runtime directory {path}: others may use it (mode {mode:04o}). "
            f"Run `chmod 700 {path}`, and see that nothing in it is strange."
        )


class Claim:
    """A name that this process has taken, until it ends; made by :func:`claim`."""

    def __init__(self, folder: Path, fd: int, record: Record) -> None:
        self.record = record
        self._folder, self._fd = folder, fd
        self._write()

    @property
    def socket(self) -> Path:
        """Where its keeper listens."""
        return self._folder / f"{self.record.name}.sock"

    def change(self, **fields: Any) -> None:
        """Tell something else of it from now on."""
        self.record = Record(**{**asdict(self.record), **fields})
        self._write()

    @property
    def holds(self) -> bool:
        """Whether others still find the record; false once its directory was cleared."""
        return self._fd >= 0 and _is_there(_path(self._folder, self.record.name), self._fd)

    def release(self) -> None:
        """The name is free again, if it was not before."""
        path = _path(self._folder, self.record.name)
        if self.holds or not path.exists():  # else another one has taken the name
            self.socket.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            _tidy(self._folder)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write(self) -> None:
        """In place: the lock is on this file. A reader that sees half of it reads again."""
        data = json.dumps(asdict(self.record)).encode()
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))


def claim(name: str, *, pid: int, since: str, until: str) -> Claim:
    """Take a name.

    :raises UsageError: it is taken; says by what and what to do
    """
    check_name(name)
    while True:
        clear(name)
        folder = made()
        path = _path(folder, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another keeper has just tidied up
            continue
        if _lock(fd) and _is_there(path, fd):
            return Claim(folder, fd, Record(name, pid, STARTING, since, until))
        os.close(fd)
        present = find(name)
        if present is not None:
            raise taken(present)


def taken(record: Record) -> UsageError:
    """The error of a name that is taken."""
    n = record.name
    return UsageError(
        f"name: a deployment {n!r} is {record.state} already (since {record.since}). Use it "
        f"(`drharness status {n}`), end it (`drharness down {n}`), or choose another --name."
    )


def find(name: str) -> Record | None:
    """The record of a kept deployment whose keeper lives."""
    path = _path(directory(), check_name(name))
    return _read(path) if _is_held(path) else None


def living() -> list[Record]:
    """All of this user's kept deployments, by name."""
    return [r for n in _names() if (r := find(n)) is not None]


@dataclass(frozen=True)
class Gone:
    """A kept deployment whose keeper was killed; ``left``: processes that are still there."""

    record: Record
    left: tuple[str, ...]


def clear_stale() -> list[Gone]:
    """Remove what killed keepers left, after a look at whether their machines have gone, too."""
    return [gone for name in _names() if (gone := clear(name)) is not None]


def clear(name: str) -> Gone | None:
    """Remove the record of a deployment whose keeper was killed; None: there is none."""
    folder = directory()
    path = _path(folder, name)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not _lock(fd) or not _is_there(path, fd):
            return None
        record = _read(path)
        (folder / f"{name}.sock").unlink(missing_ok=True)
        path.unlink()
        _tidy(folder)
    finally:
        os.close(fd)
    return None if record is None else Gone(record, _cleared(Path(record.evidence)))


def _cleared(evidence: Path) -> tuple[str, ...]:
    """Wait until the guard of a killed keeper has ended all; what it has not, in words."""
    if not evidence.name:
        return ()
    deadline = clock.Deadline(_GUARD_S)
    wait_until(
        lambda: deadline.passed or not processes_of(evidence),
        f"the end of all processes of {evidence}",
        timeout=2 * _GUARD_S,
    )
    with contextlib.suppress(OSError):  # a run that was never begun has none
        (evidence / "disks").rmdir()
    (evidence / ".open").unlink(missing_ok=True)
    return tuple(processes_of(evidence))


def processes_of(evidence: Path) -> list[str]:
    """Processes of this user's that have a run's file systems mounted: id and name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f" {evidence}/" in (entry / "mountinfo").read_text():
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def _tidy(folder: Path) -> None:
    """An empty directory in /tmp goes; that in XDG_RUNTIME_DIR goes with the user's session."""
    if not os.environ.get("XDG_RUNTIME_DIR"):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _names() -> Iterator[str]:
    for path in sorted(directory().glob("*.json")):
        if _NAME.fullmatch(path.stem):
            yield path.stem


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    """Whether a keeper has the record locked; looking takes a shared lock for an instant."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _is_there(path: Path, fd: int) -> bool:
    """Whether that file is still the one of that name: another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> Record | None:
    """The record in a file; None if there is none, or it was never finished."""

    def once() -> Record | None:
        try:
            return Record(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    return once() or once()
