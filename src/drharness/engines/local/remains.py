"""What this controller's deployments hold of the host, and what those that have ended left there.

Seen from the controller's side only: processes below it, its descriptors and threads, its mounts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drharness.engines.protocol import Holds
from drharness.history import store
from drharness.kernel import proc

DISPATCH = "drharness-dispatch"
WRITTEN = (store.RECORD, "engine.log")  # by the controller, in a run's directory


@dataclass(frozen=True)
class Process:
    """A process of this host."""

    parent: int
    name: str


def processes() -> dict[int, Process]:
    """Every process of this host that has not ended; 5 ms for 300 of them."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", errors="replace") as handle:
                head, _, tail = handle.read().rpartition(") ")
        except OSError:  # it has just ended
            continue
        state, parent = tail.split(" ", 2)[:2]
        if state not in "ZX":  # dead; reaping it is its parent's business
            found[int(pid)] = Process(int(parent), head.partition("(")[2])
    return found


def below(root: int, running: Mapping[int, Process], but: Iterable[int] = ()) -> dict[int, str]:
    """Process id to name of all that descends from ``root``, without the trees below ``but``."""
    children: dict[int, list[int]] = {}
    for pid, process in running.items():
        children.setdefault(process.parent, []).append(pid)
    found, left_out, waiting = {}, set(but), [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in left_out:
                found[pid] = running[pid].name
                waiting.append(pid)
    return found


def left(
    run: Path, launcher: int | None, held: Holds, *, given: bool = False
) -> dict[str, list[str]]:
    """What is left of a deployment that was taken down; kind to names, empty if nothing is.

    :param run: the directory of its run
    :param launcher: process id of the launcher, if one runs
    :param held: what deployments that are not down hold
    :param given: another process goes on with it, so its files are there
    """
    own = [t for t in threading.enumerate() if t.name == DISPATCH and t.ident not in held.threads]
    written = _written()
    found = {
        "processes": _strangers(launcher, held) if launcher is not None else [],
        "mounts": mounted_below(run),
        "files": [n for n in ("disks", ".open") if (run / n).exists() and not given],
        "descriptors": [str(run / name) for name in WRITTEN if run / name in written],
        "threads": [f"{thread.name} ({thread.native_id})" for thread in own],
    }
    return {kind: names for kind, names in found.items() if names}


def _strangers(launcher: int, held: Holds) -> list[str]:
    """What runs below the launcher and belongs to no deployment that is not down."""
    running = processes()
    guards = {pid for pid, process in running.items() if process.parent == launcher}
    if len(guards - held.trees) <= held.coming:  # theirs, as far as can be known
        return []
    found = below(launcher, running, held.trees)
    return [f"{name} ({pid})" for pid, name in sorted(found.items())]


def _written() -> set[Path]:
    """Files that this process holds open to write."""
    found = set()
    for number, text in proc.descriptors().items():
        try:
            with open(f"/proc/self/fdinfo/{number}") as handle:
                flags = int(handle.read().partition("flags:")[2].split()[0], 8)
        except OSError:  # just closed by another thread
            continue
        if flags & os.O_ACCMODE:
            found.add(Path(text))
    return found


def mounted_below(path: Path) -> list[str]:
    """Mount points below a directory in this process's namespace."""
    with open("/proc/self/mountinfo", errors="replace") as handle:
        points = [line.split()[4].replace("\\040", " ") for line in handle]
    return [point for point in points if point.startswith(f"{path}/")]
