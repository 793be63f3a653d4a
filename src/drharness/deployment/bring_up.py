"""From a topology to a system that clients can use: machines, databases, roles, proxies."""

from __future__ import annotations

from pathlib import Path

from drharness.dbms import binaries, template
from drharness.deployment import provision
from drharness.deployment.engines import require
from drharness.deployment.operations import NOT_YET, Operations
from drharness.engines.protocol import Engine, Machines, Site
from drharness.errors import DrHarnessError
from drharness.history.recorder import Recorder
from drharness.kernel import rng
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology

_READY_S = 20.0


def start(
    topology: Topology, engine: Engine, run: Path, active: str, recorder: Recorder
) -> Machines:
    """Lay out every VM's disk and start the machines; what depends on others stays off at first.

    :raises Unsupported: this host cannot run the engine; says why and the way out
    :raises StartupFailed: and nothing is left
    """
    place = template.ensure(binaries.find())
    postgres = f"{template.programs_of(place)}/postgres"
    seed = rng.token(8)
    recorder.record(
        "run",
        run=run.name,
        topology=topology.as_dict(),
        active=active,
        engine=engine.name,
        seed=seed,
    )
    dormant = topology.other(active)
    later = [
        vm.id
        for vm in topology.vms
        if vm.role == "application" or (vm.region == dormant and vm.role in ("framework", "dbms"))
    ]
    site = Site(
        topology=topology,
        evidence=run,
        files=provision.site_files(topology, active, place, postgres),
        keep=[str(place), str(Path(postgres).parent.parent)],
        seed=seed,
        hold=later,
    )
    try:
        return engine.start(site)
    except DrHarnessError:
        require(engine)  # says which power the host lacks, if that is the reason
        raise


def open_for_clients(operations: Operations) -> None:
    """Open the active database, and wait until every region can write."""
    topology, active = operations.topology, operations.active
    dormant = topology.other(active)
    ready = _READY_S + 3 * topology.profile.retry
    operations.database(active, "server:wait_accepting", timeout=_READY_S)
    operations.database(active, "server:create_slot", name=dormant)
    # Only now: a standby that finds no slot waits a second before it tries again.
    operations.power_on(topology.dbms(dormant).id, cause="deployment")
    _set_first_rules(operations, active)
    operations.database(active, "server:wait_streaming", name=dormant, timeout=_READY_S)
    operations.set_roles(active, timeout=ready)
    # Only now: whoever starts before its server is there pauses before it tries again.
    applications = [vm.id for vm in topology.vms if vm.role == "application"]
    operations.power_on(*applications, cause="deployment")
    for vm in applications:
        operations.wait_component(
            f"{vm}.csproxy", "is in normal mode", {"mode": "normal"}, timeout=ready
        )
    for vm in applications:
        _wait_connected(operations, f"{vm}.application", ready)


def _wait_connected(operations: Operations, application: str, timeout: float) -> None:
    wait_until(
        lambda: bool(operations.component_status(application)["via"]),
        f"{application} connected to its proxy",
        timeout=timeout,
        retry_on=NOT_YET,
    )


def _set_first_rules(operations: Operations, active: str) -> None:
    """The guide's rules of normal operation: the active database open to its own Framework only."""
    topology = operations.topology
    subnets = provision.framework_subnets(topology)
    own = subnets[topology.number(active) - 1]
    others = [s for s in subnets if s != own]
    operations.set_firewall(active, block=others, unblock=[own])
    operations.set_firewall(topology.other(active), block=subnets)


def record_start(operations: Operations) -> None:
    """The world is clean at the start: how much is in it."""
    dump = operations.database(operations.active, "contents:dump")
    operations.recorder.record("start", seq=dump["seq"], objects=len(dump["objects"]))
