"""What runs in a VM, as its kernel sees it: /proc of the VM's process namespace (proc(5))."""

from __future__ import annotations

import os

STOPPED = "T"
_GONE = ("Z", "X")  # dead, and nobody has asked how yet
_STATE, _STARTED = 0, 19  # fields after the name, from field 3 of /proc/PID/stat on


def _fields(pid: str) -> list[str]:
    with open(f"/proc/{pid}/stat") as handle:
        return handle.read().rpartition(")")[2].split()  # the name may hold anything


def states() -> dict[str, str]:
    """Process id to state, ``R``, ``S``, ``D`` or ``T`` (stopped), of all but the first process."""
    found = {}
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid != "1":
            try:
                state = _fields(pid)[_STATE]
            except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
                continue
            if state not in _GONE:
                found[pid] = state
    return found


def started() -> str:
    """When the first process was started: another value after every boot."""
    ticks = int(_fields("1")[_STARTED])
    return f"started {ticks / os.sysconf('SC_CLK_TCK'):.2f} s after the host"
