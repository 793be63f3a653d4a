"""Which process this is, in words that another one can check later, also after its end.

A process id is given again, in this boot or the next, and means another process in another pid
namespace; so the machine's boot, the namespace and the start time are told with it.
"""

from __future__ import annotations

import os
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STARTED = 19  # field 22 of /proc/PID/stat, counted after the name; man 5 proc


def own() -> str:
    """This process: ``boot:pid namespace:pid:start``."""
    return f"{_here()}:{os.getpid()}:{_started(os.getpid())}"


def alive(text: str) -> bool | None:
    """Whether that process still runs; None: it is another machine's or container's."""
    place, _, process = text.rpartition(":")[0].rpartition(":")
    if place != _here() or not process.isdigit():
        return None
    return _started(int(process)) == text.rpartition(":")[2]


def _here() -> str:
    return f"{_BOOT.read_text().strip()}:{os.stat('/proc/self/ns/pid').st_ino}"


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(") ")[2].split()
    return "" if fields[0] in "ZX" else fields[_STARTED]
