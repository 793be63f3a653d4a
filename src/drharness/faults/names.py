"""Faults of names: the DNS server is gone or answers wrongly, resolvers keep answers too long."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from drharness.deployment.operations import NOT_YET, Operations
from drharness.engines.agent.services import BOOT_FILE
from drharness.engines.client import result
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, tcp
from drharness.kernel import validate
from drharness.kernel.waiting import wait_until
from drharness.topology import addresses

_VM = "dns"
_SERVICE = "dns"
_READY_S = 10.0
_DOWN = ("power", "process")


def _witnesses(operations: Operations) -> list[str]:
    """An Application VM of each region that has one that is on.

    :raises UsageError: none is on
    """
    topology = operations.topology
    found = [
        [vm.id for vm in topology.vms_of(r, "application") if operations.is_on(vm.id)][:1]
        for r in topology.regions
    ]
    seen = [vm for vms in found for vm in vms]
    if not seen:
        raise UsageError("no Application VM is on: nobody could ask the DNS server.")
    return seen


def _wait_answering(operations: Operations) -> None:
    """Until the server answers for its own names, asked from its own VM."""
    wait_until(
        lambda: operations.look_up(_VM, addresses.FRAMEWORK_NAMES[0], addresses.DNS_SERVER)["aa"],
        "the DNS server answers again",
        timeout=_READY_S,
        retry_on=NOT_YET,
    )


@dataclass(frozen=True)
class DnsDown(Fault):
    """Nobody answers questions for names.

    :ivar how: ``power``: its VM is off, questions meet silence; ``process``: the server has ended,
        its VM refuses them at once
    """

    how: str = "power"

    def breakage(self, operations: Operations) -> Breakage:
        """Application VMs connect to its port; then the VM or the process ends."""
        validate.choice("how", self.how, _DOWN)
        if not operations.is_on(_VM):
            raise UsageError(f"{_VM} is powered off already.")
        target = (addresses.DNS_SERVER, 53)
        by_power = self.how == "power"
        return Breakage(
            look=tcp(operations, {vm: [target] for vm in _witnesses(operations)}),
            apply=lambda: self._end(operations),
            undo=lambda: _power_again(operations, self.f) if by_power else _start_again(operations),
            targets=[_VM],
        )

    def _end(self, operations: Operations) -> None:
        if self.how == "power":
            operations.power_off(_VM, cause=self.f)
        else:
            _request(operations, "stop", name=_SERVICE)


def _request(operations: Operations, op: str, **fields: Any) -> Any:
    future = operations.machine(_VM).submit(op, timeout=_READY_S, **fields)
    return result(future, f"{_VM}: {op}", _READY_S)


def _power_again(operations: Operations, f: str) -> None:
    operations.power_on(_VM, cause=f"{f} healed")
    _wait_answering(operations)


def _start_again(operations: Operations) -> None:
    """As the boot list says, unless a boot did it meanwhile; a VM without power stays off."""
    if not operations.is_on(_VM):
        return
    if _SERVICE not in _request(operations, "processes").values():
        listed = json.loads(operations.machine(_VM).run(["cat", BOOT_FILE]).stdout)
        (service,) = [s for s in listed if s["name"] == _SERVICE]
        _request(operations, "start", **service)
    _wait_answering(operations)
