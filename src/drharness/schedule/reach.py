"""Whether an action finds what it acts on: asked before it is begun, so that nothing waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drharness.deployment import targets
from drharness.deployment.operations import NOT_YET, Operations
from drharness.faults import (
    DnsAnswers,
    DnsDown,
    LongReader,
    RegionDown,
    SlotLost,
    StandbyCut,
    StandbyLagging,
    StrayWalReceiver,
    VmDown,
    VmRebooted,
)
from drharness.faults.model import Fault
from drharness.schedule.actions import Operate
from drharness.topology import addresses

_ASK = "drharness.components.client:ask"
_PAIR = (LongReader, SlotLost, StandbyCut, StandbyLagging, StrayWalReceiver)
_POWER = (RegionDown, VmDown, VmRebooted)  # these do not ask what is frozen


def in_the_way(fault: Fault, operations: Operations) -> str:
    """Why a fault cannot be injected, as far as that is known without asking; else empty."""
    if isinstance(fault, _POWER):
        return ""
    for vm in _asked(fault, operations):
        if operations.is_frozen(vm):
            return f"{vm} is frozen: it cannot be asked what becomes of it"
    return ""


def _asked(fault: Fault, operations: Operations) -> Sequence[str]:
    """Ids of the VMs that are asked for the proof."""
    topology = operations.topology
    if isinstance(fault, _PAIR):
        return [topology.dbms(region).id for region in topology.regions]
    if isinstance(fault, DnsDown | DnsAnswers):
        return ["dns"]
    named = [str(v) for k, v in vars(fault).items() if k in ("target", "source")]
    found = []
    for name in named:
        if name not in topology.regions:
            vms = targets.vms(topology, operations.active, name, framework=operations.framework)
            found += [vm.id for vm in vms]
    return found


def operate(action: Operate, operations: Operations, *, value: str) -> dict[str, Any] | None:
    """Have a client do one operation; how it ended, None if there is no client to ask.

    :param value: what a write gives
    """
    message = {"t": "Op", "f": action.f, "key": action.key}
    if action.f != "read":
        message["val"] = value
    region = targets.region(operations.topology, operations.active, action.via, name="via")
    for vm in operations.topology.vms_of(region, "application"):
        if operations.is_on(vm.id) and not operations.is_frozen(vm.id):
            limit = 2 * operations.topology.profile.op_deadline
            asked = {"port": addresses.APPLICATION_PORT, "message": message, "timeout": limit}
            try:
                seen: dict[str, Any] = operations.machine(vm.id).call(
                    _ASK, asked, timeout=limit + 1
                )
            except NOT_YET:  # its application is starting, or stopped
                continue
            return seen
    return None
