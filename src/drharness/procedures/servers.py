"""What the Configuration Servers say of themselves, asked out of band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drharness.deployment.operations import NOT_YET
from drharness.engines.client import result
from drharness.kernel.waiting import wait_until
from drharness.procedures.step import Context

_ASK_S = 1.0


def statuses(context: Context, vms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Component id to status of the Configuration Servers of these VMs, of those that answer."""
    found = {}
    for vm in vms:
        if context.operations.is_frozen(vm):
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


def unheard(context: Context, vms: Sequence[str], answered: Mapping[str, object]) -> list[str]:
    """Those of these VMs' Configuration Servers that run and have not answered.

    Nobody knows what such a one believes: stopped where it is, it goes on some day as what it was.
    """
    found = []
    for vm in vms:
        server = f"{vm}.configserver"
        if server not in answered:
            asked = context.operations.machine(vm).submit("kept", timeout=_ASK_S)
            if "configserver" in result(asked, f"{vm}: kept", _ASK_S):
                found.append(server)
    return found


def wait_for_none(context: Context, region: str) -> None:
    """Until every living Configuration Server says that it has no lock on a region's database.

    It believes in it until its keep-alive ends, whatever has become of the database.

    :raises WaitTimeout: names those that do, or do not answer
    """
    vms = context.vms(context.framework, "framework")
    last: list[str] = []

    def none_left() -> bool:
        seen = statuses(context, vms)
        last[:] = [s for s, v in seen.items() if (v["role"], v["db"]) == ("primary", region)]
        last.extend(f"{server} does not answer" for server in unheard(context, vms, seen))
        return not last

    wait_until(
        none_left,
        f"no Configuration Server primary on {region}'s database",
        timeout=context.topology.profile.rto_bound,
        interval=0.02,
        describe=lambda: ", ".join(last),
    )
