"""Faults of disks: no room."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from drharness.deployment.operations import Operations
from drharness.errors import WaitTimeout
from drharness.faults import servers
from drharness.faults.model import Breakage, Fault, Seen
from drharness.faults.probes import powered
from drharness.kernel import validate
from drharness.kernel.waiting import wait_until

_DIRECTORY = "/var/lib"
_MORE = 256 << 10  # bytes that must not find room; what is removed meanwhile leaves some
_HEAL_S = 5.0
_FULL_S = 3.0


@dataclass(frozen=True)
class DiskFull(Fault):
    """A VM's disk has no room for anything new: writing there fails with ENOSPC.

    What is on it stays, and can be overwritten in place: a database goes on until it needs a new
    page or WAL segment. Healing gives all room back, and starts a database that ended of it.

    :ivar target: VMs, as ``active.dbms``; their programs' logs are kept elsewhere
    :ivar leave_bytes: room that is left, 0 to 500,000,000
    """

    target: str = "dormant.dbms"
    leave_bytes: int = 0

    def breakage(self, operations: Operations) -> Breakage:
        """Write a file on that disk; shrink the disk to what is on it; write a file again."""
        left = int(validate.number("leave_bytes", self.leave_bytes, low=0, high=500_000_000))
        vms = powered(operations, self.target)
        names = [vm.id for vm in vms]
        databases = [vm.region for vm in vms if vm.role == "dbms"]
        active = operations.active
        ran = [region for region in databases if servers.runs(operations, region)]

        def undo() -> None:
            for name in names:
                operations.limit_disk(name, None)
            living = [name for name in names if operations.is_on(name)]
            wait_until(
                lambda: set(_write(operations, living, left).values()) <= {"ok"},
                f"room on the disk of {', '.join(living)}",
                timeout=_HEAL_S,
            )
            if operations.active == active:  # else they are the procedure's to start, or to leave
                for region in ran:
                    servers.start_again(operations, region)

        return Breakage(
            look=lambda patient: (_write if patient else _filled)(operations, names, left),
            apply=lambda: _fill(operations, names, left),
            undo=undo,
            targets=names,
        )


def _write(operations: Operations, vms: Sequence[str], left: int) -> Seen:
    return {
        f"{vm} -> {_DIRECTORY}": str(
            operations.measure(vm, "write_file", directory=_DIRECTORY, size=left + _MORE)
        )
        for vm in vms
    }


def _filled(operations: Operations, vms: Sequence[str], left: int) -> Seen:
    """What is seen once it is full: a database that ends for want of room leaves some."""
    seen: dict[str, str] = {}

    def full() -> bool:
        seen.update(_write(operations, vms, left))
        if "ok" in seen.values():
            _fill(operations, vms, left)
        return "ok" not in seen.values()

    with contextlib.suppress(WaitTimeout):  # then the proof is missing, and says where
        wait_until(full, "no room left", timeout=_FULL_S)
    return seen


def _fill(operations: Operations, vms: Sequence[str], left: int) -> None:
    for vm in vms:
        operations.limit_disk(vm, left)
