"""What faults look at and for: whom a target stands for, who can see it, what shows the effect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from drharness.deployment import targets
from drharness.deployment.operations import Operations
from drharness.engines.client import result
from drharness.errors import UsageError, WaitTimeout
from drharness.faults.model import Look, Seen, Target
from drharness.kernel.waiting import wait_until
from drharness.topology import Component, Vm, addresses

_PORTS = {
    "dbms": addresses.POSTGRES_PORT,
    "framework": addresses.LCA_PORT,
    "application": addresses.LCA_PORT,
    "dns": 53,
}
_SHOWS_S = 2.0  # what takes effect shows within milliseconds; a busy machine may need longer
_ASK_S = 5.0


def powered(operations: Operations, target: str) -> list[Vm]:
    """The VMs that a target stands for.

    :raises UsageError: nothing is called so, or one of them is off
    """
    vms = targets.vms(
        operations.topology, operations.active, target, framework=operations.framework
    )
    off = [vm.id for vm in vms if not operations.is_on(vm.id)]
    if off:
        raise UsageError(f"target: expected VMs that are on, got {target!r}; {_list(off)} is off.")
    return list(vms)


def running(operations: Operations, target: str) -> dict[str, int]:
    """Component id to process id of the components that a target stands for.

    :raises UsageError: nothing is called so, it is no component, or one of them does not run
    """
    found = targets.components(
        operations.topology, operations.active, target, framework=operations.framework
    )
    pids = {c.id: pid_of(operations, c) for c in found}
    idle = [name for name, pid in pids.items() if pid is None]
    if idle:
        raise UsageError(
            f"target: expected components that run, got {target!r}; {_list(idle)} does not."
        )
    return {name: pid for name, pid in pids.items() if pid is not None}


def pid_of(operations: Operations, component: Component) -> int | None:
    """Its process id in its VM; None if it does not run."""
    if not operations.is_on(component.vm):
        return None
    pid: int | None = ask(operations, component.vm, "kept").get(component.kind)
    return pid


def ask(operations: Operations, vm: str, op: str, **fields: object) -> Any:
    """Ask a VM's agent, which no fault stops."""
    machine = operations.machine(vm)
    return result(machine.submit(op, timeout=_ASK_S, **fields), f"{vm}: {op}", _ASK_S)


def witness(operations: Operations, of: Sequence[Vm]) -> str:
    """A VM, none of these and not cut off from them, that can see what happens to them.

    An Application VM of another region if there is one, for only Framework VMs are kept out by the
    guide's rules; else one of the same region, else the DNS server.

    :raises UsageError: there is none
    """
    regions = {vm.region for vm in of}
    able = [
        vm
        for vm in operations.topology.vms
        if vm.role in ("application", "dns")
        and vm not in of
        and operations.is_on(vm.id)
        and not any(operations.are_cut(vm.region, region) for region in regions)
    ]
    if not able:
        names = _list(vm.id for vm in of)
        raise UsageError(f"target: nobody is left who could see what happens to {names}.")
    return min(able, key=lambda vm: (vm.role == "dns", vm.region in regions)).id


def services_of(vms: Sequence[Vm]) -> list[Target]:
    """A port of each VM that answers when all is well."""
    return [(vm.address, _PORTS[vm.role]) for vm in vms]


def until_changed(see: Callable[[], Seen]) -> Look:
    """A look at what shows the effect a moment later: it waits until every result is another.

    What does not change in time is left to the comparison, which names it.
    """
    before: dict[str, str] = {}
    last: dict[str, str] = {}

    def differs() -> bool:
        last.clear()
        last.update(see())
        return all(last.get(name) != seen for name, seen in before.items())

    def look(patient: bool) -> Seen:
        if patient:
            before.clear()
            before.update(see())
            return dict(before)
        with contextlib.suppress(WaitTimeout):
            wait_until(differs, "the effect", timeout=_SHOWS_S, interval=0.001)
        return dict(last)

    return look


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
