"""What happens to a deployment in a self-test: short stories with traffic, made of operations."""

from __future__ import annotations

from collections.abc import Callable

from drharness.deployment import Deployment
from drharness.engines.protocol import VmCut
from drharness.errors import UsageError
from drharness.faults import RegionDown, RegionsCut
from drharness.faults.model import Fault
from drharness.procedures import Procedure, full_failover
from drharness.selftest.mistake import Play

DOWN = RegionDown("region1")
CUT = RegionsCut("region1", "region2")
FAILOVER = full_failover(to="region2")
_PATIENCE_S = 15.0
Act = Callable[[Deployment], object]


def drill(*events: Fault | Act, procedure: Procedure = FAILOVER, after: Act | None = None) -> Play:
    """Traffic; faults and other events in turn; a procedure; something after it."""

    def play(deployment: Deployment) -> None:
        with deployment.traffic():
            for event in events:
                if isinstance(event, Fault):
                    deployment.inject(event)
                else:
                    event(deployment)
            deployment.run(procedure)
            if after is not None:
                after(deployment)

    return play


def calm(before: Act) -> Play:
    """Something is changed, then there is nothing but traffic."""

    def play(deployment: Deployment) -> None:
        with deployment.traffic():
            before(deployment)
            use(10)(deployment)

    return play


def command(vm: str, *argv: str) -> Act:
    """A command in a VM, as an operator types it."""
    return lambda deployment: deployment.vm(vm).run(list(argv))


def sql(region: str, *statements: str) -> Act:
    """Statements that a database administrator types, one after the other."""

    def act(deployment: Deployment) -> None:
        for statement in statements:
            deployment.operations.database(region, "server:execute", sql=statement)

    return act


def in_turn(*acts: Act) -> Act:
    """One after the other."""

    def act(deployment: Deployment) -> None:
        for one in acts:
            one(deployment)

    return act


def use(writes: int) -> Act:
    """Until clients had that many more writes acknowledged."""

    def act(deployment: Deployment) -> None:
        traffic = deployment.current_traffic
        if traffic is None:
            raise UsageError("use: clients work only while there is traffic.")
        traffic.wait_writes(writes, timeout=_PATIENCE_S)

    return act


def unplug(vm: str) -> Act:
    """A VM's cable is pulled; nobody tells."""
    return lambda deployment: deployment.operations.cut(VmCut(vm))


def plug(vm: str) -> Act:
    """The cable is put back."""
    return lambda deployment: deployment.operations.heal(VmCut(vm))


def region_returns(region: str) -> Act:
    """A region's power is back: everything boots by itself; then clients go on for a while."""

    def act(deployment: Deployment) -> None:
        names = [vm.id for vm in deployment.region(region)]
        deployment.operations.power_on(*names, cause="region returns")
        use(60)(deployment)

    return act
