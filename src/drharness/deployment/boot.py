"""What a VM's own boot does beyond starting services, and waits for; called by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from drharness.dbms import server
from drharness.dbms.place import HOME
from drharness.engines.agent.services import LOG_DIR
from drharness.errors import StartupFailed, WaitTimeout
from drharness.kernel.waiting import wait_until

_CONNECT_S = 1.0
_LAST_WORDS = 800  # characters


def database(
    *, template_directory: str, role: str, topology: Mapping[str, object], region: str
) -> None:
    """First boot: lay out the database. Every boot: clear what a power-off left behind.

    :param role: ``primary`` or ``standby``, for the first boot only; later its own disk knows
    """
    if not os.path.exists(f"{HOME}/data"):
        server.provision(
            template_directory=template_directory,
            role=role,
            topology=dict(topology),
            region=region,
        )
    server.clean_stale_locks()


def part_answers(*, name: str, port: int, timeout: float) -> bool:
    """Whether a part of this VM takes connections at ``port``.

    :raises StartupFailed: not in time; ends with what it logged
    """

    def connected() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S):
            return True

    what = f"part {name} takes connections at port {port}"
    try:
        return wait_until(connected, what, timeout=timeout, retry_on=(OSError,))
    except WaitTimeout as error:
        log = Path(LOG_DIR, f"{name}.log")
        text = log.read_text(errors="replace")[-_LAST_WORDS:].strip() if log.exists() else ""
        raise StartupFailed(f"{error}; it logged: {text or 'nothing'}") from error
