"""The database server as a service of its VM: what faults have to stop and start."""

from __future__ import annotations

from collections.abc import Mapping

from drharness.deployment.operations import Operations
from drharness.faults.probes import ask

SERVICE, USER = "postgres", "postgres"
_START_S, _STOP_S = 20.0, 20.0


def runs(operations: Operations, region: str) -> bool:
    """Whether a region's server process is there, whatever it answers."""
    vm = operations.topology.dbms(region).id
    return operations.is_on(vm) and SERVICE in ask(operations, vm, "kept")


def start_again(operations: Operations, region: str) -> None:
    """Start a region's server if it has ended though its VM is on, and see it accept sessions.

    :raises RemoteError: it does not accept sessions in time
    """
    if operations.is_on(operations.topology.dbms(region).id) and not runs(operations, region):
        start(operations, region, {})


def start(operations: Operations, region: str, env: Mapping[str, str]) -> None:
    """Start the server with these variables in its environment, and see it accept sessions."""
    vm = operations.topology.dbms(region).id
    argv = operations.machine(vm).call("drharness.dbms.server:command")
    operations.machine(vm).call("drharness.dbms.server:clean_stale_locks")
    operations.start_service(vm, SERVICE, argv, user=USER, env=env)
    operations.database(region, "server:wait_accepting", timeout=_START_S)


def restart(operations: Operations, region: str, env: Mapping[str, str]) -> None:
    """Shut the server down in order and start it with these variables in its environment."""
    operations.database(region, "server:stop", timeout=_STOP_S)
    start(operations, region, env)
