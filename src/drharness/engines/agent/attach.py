"""``attach``: a command in a VM whose input and output are somebody else's, a terminal perhaps.

The asker sends four descriptors: standard input, output and error, and one whose other end it holds
for as long as anybody waits for the command. When that closes, the command's session is killed.
"""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import Callable, Mapping

from drharness.engines.agent import work
from drharness.engines.agent.init import Init, Request


def attach_command(
    init: Init, request: Request, environment: Mapping[str, str], become: Callable[[str], None]
) -> None:
    """``attach``: argv, env, user, tty -> its exit status, negative for a signal."""
    stdin, stdout, stderr, waiting = request["fds"]
    argv, tty = list(request["argv"]), bool(request.get("tty"))
    env = {**environment, **(request.get("env") or {})}

    def body() -> int:
        os.dup2(stdin, 0)
        if tty:  # the child leads a session already; from now on this terminal is its own
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        return work.execute(argv, env, request.get("user"), become)

    watched = [waiting]

    def unwatch() -> None:
        while watched:
            fd = watched.pop()
            init.unwatch(fd)
            os.close(fd)

    def finished(status: int) -> None:
        unwatch()
        request.reply(status)

    def abandoned() -> None:
        unwatch()
        init.kill_session(child)

    try:
        child = init.fork(argv[0], body, finished, stdout=stdout, stderr=stderr)
    finally:
        for fd in (stdin, stdout, stderr):  # the child's now: whoever reads sees their end
            os.close(fd)
    init.watch(waiting, abandoned)
