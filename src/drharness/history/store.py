"""Histories on disk: append, read, merge, write. Nothing else in this folder touches a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from drharness.errors import DrHarnessError, HistoryError
from drharness.history.event import VERSION, Data, check_event
from drharness.history.recorder import Listener, Recorder
from drharness.history.view import History

# In a run's directory: what the controller records, and all that was recorded, merged.
RECORD, HISTORY = "controller.jsonl", "history.jsonl"
_DECODE = msgspec.json.Decoder().decode
_ENCODE = msgspec.json.Encoder().encode
_LINE_START = b'{"v":'


class AppendFile:
    """A file that takes whole lines, each in one unbuffered write, so that a kill tears none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)

    def __call__(self, line: bytes) -> None:
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file; nothing can be appended any more, least of all to who got its number."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def _unwritable(path: Path, error: OSError) -> DrHarnessError:
    return DrHarnessError(
        f"{path}: cannot be written: {error.strerror}. What was recorded so far is incomplete: "
        "make room, or let runs be kept in another directory."
    )


def open_recorder(path: Path, *listeners: Listener) -> Recorder:
    """A recorder that appends to ``path``, making its directories."""
    return Recorder(AppendFile(path), *listeners)


def read(path: Path, *, may_be_torn: bool = False) -> list[Data]:
    """The events of one file, in its order.

    :param may_be_torn: a VM may have been powered off in the middle of a write: leave such a
        fragment out and say so in a note event
    :raises HistoryError: unreadable file or line; names file, line, field, value, expectation
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise HistoryError(f"{path}: expected a readable history file: {error.strerror}") from error
    out: list[Data] = []
    torn: list[int] = []
    last = max((n for n, line in enumerate(lines, 1) if line.strip()), default=0)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = _DECODE(line)
        except msgspec.DecodeError as error:
            value = _after_the_tear(line) if may_be_torn else None
            if value is None and not (may_be_torn and number == last):
                raise HistoryError(
                    f"{path} line {number}: expected a JSON object, got {line[:60]!r}: {error}"
                ) from error
            torn.append(number)
            if value is None:
                continue
        out.append(check_event(value, f"{path} line {number}"))
    for number in torn:
        text = f"{path.name} line {number} was torn in mid-write and is left out"
        t = out[-1]["t"] if out else 0
        out.append({"v": VERSION, "t": t, "kind": "note", "text": text})
    return out


def _after_the_tear(line: bytes) -> object | None:
    """The whole event that a restarted writer appended right behind a fragment, or None."""
    at = line.rfind(_LINE_START)
    if at <= 0:
        return None
    try:
        return _DECODE(line[at:])  # type: ignore[no-any-return]
    except msgspec.DecodeError:
        return None


def merge(
    controller: Path, components: Iterable[tuple[str, Path]], out: Path | None = None
) -> list[Data]:
    """One history of several files: ordered by (t, order of the files), numbered, ``run`` first.

    :param controller: the controller's file, which begins with the ``run`` event
    :param components: (component or VM id, its file); the id becomes the events' field ``src``
    :param out: where to write the result, atomically
    :raises HistoryError: a file is not a history, or the controller's does not begin with ``run``
    """
    own = read(controller)
    _need_run_first(own, controller)
    run, rest = own[0], own[1:]
    for src, path in components:
        for data in read(path, may_be_torn=True):
            data.setdefault("src", src)
            rest.append(data)
    rest.sort(key=_instant)  # stable: events of one instant stay in the order of the files
    events = [run, *rest]
    for i, data in enumerate(events):
        data["i"] = i
    if out is not None:
        write(out, events)
    return events


def _instant(data: Data) -> int:
    t: int = data["t"]
    return t


def _need_run_first(events: Sequence[Data], path: Path) -> None:
    found = events[0]["kind"] if events else "no event"
    if found != "run":
        raise HistoryError(f"{path} line 1: field 'kind': expected 'run', got {found!r}")


def write(path: Path, events: Iterable[Data]) -> None:
    """Replace ``path`` by these events, atomically: readers see the old file or the new one.

    :raises DrHarnessError: it cannot be written: the disk is full, say
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.writelines(_ENCODE(data) + b"\n" for data in events)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise _unwritable(path, error) from error


def load(path: Path | str) -> History:
    """The history in a file.

    :raises HistoryError: names file, line, field, value and what was expected
    """
    path = Path(path)
    events = read(path)
    _need_run_first(events, path)
    return History(events)
