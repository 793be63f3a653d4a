"""What the Configuration Servers say of themselves, asked out of band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drharness.deployment.operations import NOT_YET
from drharness.kernel.waiting import wait_until
from drharness.procedures import lag
from drharness.procedures.step import Context

_ASK_S = 1.0


def statuses(context: Context, vms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Component id to status of the Configuration Servers of these VMs, of those that answer."""
    found = {}
    for vm in vms:
        if lag.is_frozen(context, vm):
            continue
        server = f"{vm}.configserver"
        try:
            found[server] = context.operations.component_status(server, timeout=_ASK_S)
        except NOT_YET:
            continue
    return found


def masters(context: Context, vms: Sequence[str], region: str) -> dict[str, dict[str, Any]]:
    """Those of them that are primary on a region's database."""
    found = statuses(context, vms)
    return {s: v for s, v in found.items() if (v["role"], v["db"]) == ("primary", region)}


def wait_for_none(context: Context, region: str) -> None:
    """Until no living Configuration Server believes any more in its lock on a region's database.

    It does so until its keep-alive ends, whatever has become of the database.

    :raises WaitTimeout: names those that do
    """
    vms = context.vms(context.framework, "framework")
    last: list[str] = []

    def none_left() -> bool:
        last[:] = masters(context, vms, region)
        return not last

    wait_until(
        none_left,
        f"no Configuration Server primary on {region}'s database",
        timeout=context.topology.profile.rto_bound,
        interval=0.02,
        describe=lambda: ", ".join(last),
    )
