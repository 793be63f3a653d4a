"""What a VM's own boot does beyond starting services; called by name from its boot list."""

from __future__ import annotations

import os
from collections.abc import Mapping

from drharness.dbms import server
from drharness.dbms.place import HOME


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
