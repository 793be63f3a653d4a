"""Removes what a run has in a Docker daemon once its controller has gone, however that happened.

Started by the controller as ``python -m drharness.engines.docker.reaper RUN [CONTEXT...]`` before
anything else is made; its standard input ends with the controller. It outlives signals meant for
that one's group, needs no image, and ends when nothing of the run was left for a while: a request
that the controller sent last may still be carried out.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Any

_QUIET_LOOKS = 3
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
    from drharness.kernel.waiting import wait_until

    while os.read(0, 4096):
        pass
    clients = list[Any]()
    quiet, said = 0, ""

    def gone() -> bool:
        nonlocal quiet, said
        try:
            clients.extend(daemon.reach(context) for context in contexts[len(clients) :])
            done = all([daemon.remove(client, run) for client in clients])
        except (DockerException, Unsupported) as error:  # the next look may be luckier
            done, said = False, str(error)
        quiet = quiet + 1 if done else 0
        return quiet == _QUIET_LOOKS

    what = f"nothing left of {run}"
    try:
        wait_until(gone, what, timeout=_TIMEOUT_S, interval=0.3, describe=lambda: said)
    except WaitTimeout as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for client in clients:
        for network in daemon.found(client, run)["networks"]:
            sys.stderr.write(f"network {network.name} stays until the daemon is started again\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
