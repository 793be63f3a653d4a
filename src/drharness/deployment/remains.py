"""The audit after a deployment was taken down: is anything of it left, has anything grown?

Two kinds of answer. *Left* is what certainly belonged to the deployment; that is an error. *Grown*
is whatever else this controller has more than when the audit began, or the host beside it: it may
as well be the work of the test that used the deployment, so it is named and nothing more.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drharness.deployment import evidence
from drharness.deployment.job import running_threads
from drharness.engines.protocol import Engine, Holds
from drharness.errors import WaitTimeout
from drharness.kernel import clock, proc
from drharness.kernel.waiting import scaled, wait_until

_SHARED = ("PostgreSQL.", "drharness", "drh-")
# What is on its way (a process that ends, a socket between two owners) takes less, unless the host
# stalls; so what is an error gets more.
_GROWN_S, _LEFT_S = 1.0, 5.0

Names = dict[str, list[str]]
"""Kind (``processes``, ``descriptors``, ...) to what there is of it."""


@dataclass(frozen=True)
class Remains:
    """What an audit found; ``str`` names it.

    :ivar left: of the deployment that was taken down
    :ivar grown: of this controller and its host since the last audit, whoever it belongs to
    """

    left: Mapping[str, list[str]] = field(default_factory=dict)
    grown: Mapping[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [
            f"{kind}: {', '.join(names)}"
            for found in (self.left, self.grown)
            for kind, names in found.items()
        ]
        return "; ".join(parts) or "nothing"


class Audit:
    """Compares what there is with what there was; costs a few milliseconds if nothing is left."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known = _everything(engine.holds())

    def after(self, run: Path) -> Remains:
        """What is left of the deployment with that directory, and what has grown."""
        found, patience = Remains(), clock.Deadline(scaled(_GROWN_S))

        def settled() -> bool:
            nonlocal found
            found = self._look(run)
            return not found.left and (not found.grown or patience.passed)

        with contextlib.suppress(WaitTimeout):  # so it stays
            wait_until(settled, f"nothing of {run} left", timeout=_LEFT_S, interval=0.05)
        for kind, names in found.grown.items():
            self._known[kind] |= set(names)  # told once
        return found

    def _look(self, run: Path) -> Remains:
        held = self._engine.holds()
        now = _everything(held)
        grown = {kind: sorted(names - self._known[kind]) for kind, names in now.items()}
        return Remains(self._engine.left(run), {k: names for k, names in grown.items() if names})


def _everything(held: Holds) -> dict[str, set[str]]:
    """All there is but what live deployments hold; each as a name that is nobody else's."""
    return {
        "processes": _children(held),
        "descriptors": _descriptors(held),
        "threads": {
            f"{thread.name} ({thread.native_id})"
            for thread in threading.enumerate()
            if thread.ident not in held.threads | running_threads()
        },
        "interfaces": {name for _, name in socket.if_nameindex()},
        "shared memory": _shared_memory(),
        "temporary files": {n for n in os.listdir(tempfile.gettempdir()) if "drharness" in n},
    }


def _children(held: Holds) -> set[str]:
    """This process's children, by the tables of its threads."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as handle:
                children = handle.read().split()
        except OSError:  # the thread has just ended
            continue
        for child in children:
            if int(child) not in held.processes:
                found.add(f"{_name(child)} ({child})")
    return found


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as handle:
            return handle.read().strip()
    except OSError:  # it has just ended
        return ""


def _descriptors(held: Holds) -> set[str]:
    return {
        f"{number} {what}"
        for number, what in proc.descriptors().items()
        if number not in held.descriptors and not evidence.is_record_of_open_run(what)
    }


def _shared_memory() -> set[str]:
    """What databases leave: PostgreSQL's named memory, and segments nobody is attached to."""
    found = {f"/dev/shm/{n}" for n in os.listdir("/dev/shm") if n.startswith(_SHARED)}
    with open("/proc/sysvipc/shm") as handle:
        rows = [line.split() for line in handle.readlines()[1:]]
    mine = str(os.getuid())
    return found | {f"segment {row[1]}" for row in rows if (row[6], row[7]) == ("0", mine)}
