"""Children of an init process: forking them cleanly, and what is known about each."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_RESET = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Process:
    """A child that runs; ``on_exit`` gets its status (negative for a signal) when it is reaped."""

    pid: int
    name: str
    on_exit: Callable[[int], None]


def status_of(raw: int) -> int:
    """waitpid's status as an exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(raw)


def open_log(path: str) -> int:
    """A descriptor that appends to ``path``; its directory is made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def write_log(fd: int, text: str) -> None:
    """A line in an init's log; PID 1 must outlive a full disk."""
    with contextlib.suppress(OSError):
        os.write(fd, f"{text}\n".encode())


def fork(body: Callable[[], int], *, stdout: int, stderr: int, close: Iterable[int] = ()) -> int:
    """Fork a child that runs ``body`` and exits with what it returns.

    The child has a session of its own, default signals, no input, and none of the parent's
    descriptors named in ``close``; it never returns into the parent's code. As in every Python
    process SIGPIPE is ignored: whom the other side leaves gets an error, and lives.

    :return: the child's process id
    """
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        os.setsid()
        for fd in close:
            os.close(fd)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        gc.enable()
        status = body()
    except BaseException:  # noqa: BLE001 - a child must never unwind into its parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
