"""Removes what a run has in a Docker daemon once its controller has gone, however that happened.

Started by the controller as ``python -m drharness.engines.docker.reaper RUN [CONTEXT...]`` before
anything else is made; its standard input ends with the controller. It outlives signals meant for
that one's group, needs no image, and ends when nothing of the run was left for a while: what a
controller asked for just before it was killed, a busy daemon carries out seconds later. One that
says :data:`DONE` first has had an answer to everything.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Any

DONE = b"done"
_EVERY_S = 0.3
_QUIET_S = {DONE: 0.6, b"": 6.0}
_TIMEOUT_S = 120.0
_LATER_S = 8.0


def main() -> int:
    """Wait for the end of input, then remove; 1: something is left, named on standard error."""
    run, *contexts = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What it needs to remove anything takes the time of two containers to import: not while the
    # deployment is coming up.
    select.select([0], [], [], _LATER_S)
    return _remove_after(run, contexts or [""])


def _remove_after(run: str, contexts: list[str]) -> int:
    from docker.errors import DockerException

    from drharness.engines.docker import daemon
    from drharness.errors import Unsupported, WaitTimeout
    from drharness.kernel import clock
    from drharness.kernel.waiting import wait_until

    quiet_s = _QUIET_S[b"".join(iter(lambda: os.read(0, 4096), b""))]
    clients = list[Any]()
    quiet, said = clock.Deadline(quiet_s), ""

    def gone() -> bool:
        nonlocal quiet, said
        try:
            clients.extend(daemon.reach(context) for context in contexts[len(clients) :])
            done = all([daemon.remove(client, run) for client in clients])
        except (DockerException, OSError, Unsupported) as error:  # the next look may be luckier
            done, said = False, str(error)
        if not done:
            quiet = clock.Deadline(quiet_s)
        return quiet.passed

    what = f"nothing left of {run}"
    try:
        wait_until(gone, what, timeout=_TIMEOUT_S, interval=_EVERY_S, describe=lambda: said)
    except WaitTimeout as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for client in clients:
        for network in daemon.found(client, run)["networks"]:
            sys.stderr.write(f"network {network.name} stays until the daemon is started again\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
