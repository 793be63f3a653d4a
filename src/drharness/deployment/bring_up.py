"""From a topology to a system that clients can use: machines, databases, roles, proxies."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from drharness.deployment import provision
from drharness.deployment.engines import database, require, require_parts, require_resolver
from drharness.deployment.operations import Operations
from drharness.engines.client import result
from drharness.engines.protocol import Engine, Machines, Site
from drharness.errors import DrHarnessError
from drharness.history.recorder import Recorder
from drharness.kernel import rng
from drharness.kernel.waiting import scaled
from drharness.topology import Topology

_CLIENT = "drharness.components.client"
_READY_S = 20.0
_PART_S = 30.0  # nobody here knows what it does when it starts


def start(
    topology: Topology, engine: Engine, run: Path, active: str, recorder: Recorder
) -> Machines:
    """Lay out every VM's disk and start the machines; what depends on others stays off at first.

    :raises Unsupported: this host cannot run the engine; says why and the way out
    :raises StartupFailed: and nothing is left
    """
    require_resolver(engine, topology.resolver)
    require_parts(engine, topology)
    place, postgres = database(engine)
    seed = rng.token(8)
    recorder.record(
        "run",
        run=run.name,
        topology=topology.as_dict(),
        active=active,
        engine=engine.name,
        seed=seed,
    )
    dormant = topology.others(active)
    soon = [
        vm.id
        for vm in topology.vms
        if vm.role == "application" or (vm.region in dormant and vm.role == "dbms")
    ]
    later = [vm.id for region in dormant for vm in topology.vms_of(region, "framework")]
    site = Site(
        topology=topology,
        evidence=run,
        files=provision.site_files(topology, active, place, postgres),
        keep=[str(place), str(Path(postgres).parent.parent)],
        seed=seed,
        hold=[*soon, *later],
        soon=soon,
    )
    try:
        return engine.start(site)
    except DrHarnessError:
        require(engine)  # says which power the host lacks, if that is the reason
        raise


def open_for_clients(operations: Operations) -> None:
    """Open the active database, wait until every region can write, and record what is in it."""
    topology, active = operations.topology, operations.active
    dormant = topology.others(active)
    standbys = [topology.dbms(region).id for region in dormant]
    applications = [vm.id for vm in topology.vms if vm.role == "application"]
    # While the active server starts: make these, but start none of their services.
    operations.power_on(*standbys, *applications, hold=True, cause="deployment")
    for name in dormant:
        operations.database(active, "server:ready_for_standby", name=name, timeout=_READY_S)
    # Only now: a standby that finds no slot waits a second before it tries again.
    operations.power_on(*standbys, cause="deployment")
    database, stream = topology.dbms(active).id, "drharness.dbms.server:wait_streaming"
    streaming = [_submit(operations, database, stream, {"name": name}) for name in dormant]
    _set_first_rules(operations, active)
    for name, asked in zip(dormant, streaming, strict=True):
        result(asked, f"standby {name} streaming", _READY_S)
    ready = _READY_S + 3 * topology.profile.retry
    _wait_for_parts(operations, "framework", "dbms")
    operations.set_roles(active, timeout=ready)
    # Only now, and then each after the other: who starts before its server is there pauses before
    # it tries again. (The agents have been told not to start the applications.)
    operations.power_on(*applications, cause="deployment")
    _wait_for_parts(operations, "application")
    size = _submit(operations, database, "drharness.dbms.contents:size", {})
    for function in ("wait_proxy", "open_application"):
        answers = [
            (vm, _submit(operations, vm, f"{_CLIENT}:{function}", {"vm": vm}, timeout=ready))
            for vm in applications
        ]
        for vm, answer in answers:
            result(answer, f"{vm}: {function}", ready)
    held = result(size, f"{database}: size", _READY_S)
    operations.recorder.record(
        "start", seq=held["seq"], objects=held["objects"], unsure=operations.unsure_ns
    )


def _wait_for_parts(operations: Operations, *roles: str) -> None:
    """Until every part on running VMs of these roles takes connections.

    :raises RemoteError: one does not; ends with what it logged
    """
    topology = operations.topology
    asked = [
        (vm.id, part)
        for vm in topology.vms
        for part in topology.parts_on(vm)
        if vm.role in roles and part.ready and not part.waits and operations.is_on(vm.id)
    ]
    answers = [
        (
            f"{vm}: {part.name}",
            _submit(
                operations,
                vm,
                "drharness.deployment.boot:part_answers",
                {"name": part.name, "port": part.ready},
                timeout=_PART_S,
            ),
        )
        for vm, part in asked
    ]
    for what, answer in answers:
        result(answer, what, _PART_S)


def _submit(
    operations: Operations,
    vm: str,
    function: str,
    arguments: Mapping[str, object],
    timeout: float = _READY_S,
) -> Future[Any]:
    """Call a function that keeps its deadline itself and says what it saw; the agent's is later."""
    kwargs = {**arguments, "timeout": scaled(timeout)}
    machine = operations.machine(vm)
    return machine.submit("call", timeout=timeout + 2.0, function=function, kwargs=kwargs)


def _set_first_rules(operations: Operations, active: str) -> None:
    """The guide's rules of normal operation: the active database open to its own Framework only."""
    topology = operations.topology
    subnets = provision.framework_subnets(topology)
    own = subnets[topology.number(active) - 1]
    others = [s for s in subnets if s != own]
    rules = {topology.dbms(region).id: {"block": subnets} for region in topology.others(active)}
    rules = {topology.dbms(active).id: {"block": others, "unblock": [own]}, **rules}
    for done in operations.each("drharness.firewall.iptables:apply", rules).values():
        if isinstance(done, DrHarnessError):
            raise done
