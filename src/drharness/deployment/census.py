"""A census of the deployment: what every VM reaches, is connected to, and takes the names for.

Taken when a deployment has come up (phase ``start``, briefly), when a procedure has ended
(``procedure``) and when the run is judged (``end``): one process per VM, all VMs at once. It only
looks: nothing is seen of it but a few connections that are opened and closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drharness.deployment.operations import Operations
from drharness.engines.client import result
from drharness.errors import DrHarnessError
from drharness.kernel import clock
from drharness.topology import Vm, addresses

_LOOK = "drharness.deployment.look:look"
_LISTENING = "drharness.deployment.look:wait_listening"
_PROBE_S = 2.0  # a connection that is neither taken nor refused by then is dropped on its way
_AUDIT_S = 0.3
_LOOK_S = 15.0  # half a second where the machine has time for it
_BOOT_S = 2.0  # a server listens long before it is ready
_PORT = addresses.POSTGRES_PORT


def take(operations: Operations, phase: str, *, held: bool = False, briefly: bool = False) -> None:
    """Look around in every VM that is on, and record what is seen with its phase.

    :param briefly: only who reaches the databases and what the names mean
    :param held: also probe the databases from the Framework of a region where it is off: its
        primary VM is powered on for that with its services held, and off again
    """
    topology = operations.topology
    guests = _held(operations) if held else []
    operations.power_on(*guests, hold=True, cause="probe")
    try:
        roles = {vm.role for vm in topology.vms} - ({"dbms"} if briefly else set())
        on = [vm for vm in topology.vms if operations.is_on(vm.id) and vm.role in roles]
        asked = {vm.id: _question(operations, vm, guest=vm.id in guests) for vm in on}
        for vm in on if not briefly else ():
            asked[vm.id]["edges"] = vm.role != "dns"
        processes = {} if briefly else _processes(operations, asked)
        mark = {"phase": phase, "since": clock.now_ns()}
        seen = operations.each(_LOOK, asked, timeout=_LOOK_S)
    finally:
        operations.power_off(*guests, cause="probe")
    for vm in on:
        answer = seen[vm.id]
        if isinstance(answer, DrHarnessError):
            operations.recorder.record("note", text=f"census of {vm.id}: {answer}")
        else:
            _record(operations, vm, asked[vm.id], answer, mark, processes.get(vm.id, {}))


def fence(operations: Operations, vms: Sequence[str]) -> None:
    """After DBMS VMs have booted: who can reach their databases? Recorded with phase ``reboot``.

    It waits until each server listens, so that what refuses a connection is a rule.
    """
    topology = operations.topology
    booted = [vm for vm in map(topology.vm, vms) if vm.role == "dbms"]
    if not booted:
        return
    waits = {vm.id: {"port": _PORT, "timeout": _BOOT_S} for vm in booted}
    up = operations.each(_LISTENING, waits, timeout=_BOOT_S + 2.0)
    targets = [(vm.address, _PORT) for vm in booted if up[vm.id] is True]
    sources = [vm for vm in _frameworks(operations) if operations.is_on(vm.id)]
    probes = {vm.id: _uncut(operations, vm, targets) for vm in sources}
    if targets and probes:
        operations.reach_all(probes, _PROBE_S, phase="reboot")


def replica(operations: Operations, phase: str) -> None:
    """Is what the active database has readable on each standby? Recorded if there is one."""
    for region in operations.topology.others(operations.active):
        _replica(operations, region, phase)


def _replica(operations: Operations, other: str, phase: str) -> None:
    topology, active = operations.topology, operations.active
    profile = topology.profile
    if not all(operations.is_on(topology.dbms(r).id) for r in (active, other)):
        return
    try:
        if not operations.database_status(other, timeout=1.0)["in_recovery"]:
            return
        first = operations.database(active, "audit:canary", timeout=profile.op_deadline)
        limit, since = 3 * profile.d_rep, clock.now_ns()
        second = operations.database(other, "audit:readable", xid=first["xid"], timeout=limit)
    except DrHarnessError as error:
        operations.recorder.record("note", text=f"no canary on {other}'s database: {error}")
        return
    operations.recorder.record(
        "replica",
        phase=phase,
        db=other,
        of=active,
        claimed=any(row[0] == other and row[2] == "streaming" for row in first["senders"]),
        readable=second["waited_s"] is not None,
        waited_s=second["waited_s"],
        since=since,
        active=first["digest"],
        standby=second["digest"],
    )


def _frameworks(operations: Operations) -> list[Vm]:
    return [vm for vm in operations.topology.vms if vm.role == "framework"]


def _held(operations: Operations) -> list[str]:
    """One Framework VM of each region that has none on and whose management answers."""
    topology = operations.topology
    return [
        topology.vms_of(region, "framework")[0].id
        for region in topology.regions
        if region not in operations.unmanaged
        and not any(operations.is_on(vm.id) for vm in topology.vms_of(region, "framework"))
    ]


def _uncut(
    operations: Operations, vm: Vm, targets: Sequence[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Without those that lie behind a cut: they are silent for another reason than a rule."""
    topology = operations.topology
    region = {topology.dbms(r).address: r for r in topology.regions}
    return [t for t in targets if not operations.are_cut(vm.region, region[t[0]])]


def _question(operations: Operations, vm: Vm, *, guest: bool) -> dict[str, Any]:
    """What a VM is asked (see ``look``): by its role, and only for what can answer."""
    topology = operations.topology
    names = list(addresses.FRAMEWORK_NAMES)
    if vm.role == "dbms":
        return {"database": True, "timeout": _AUDIT_S}
    if vm.role == "dns":
        return {"names": names, "source": "authority", "server": addresses.DNS_SERVER}
    if vm.role == "application":
        return {"names": names, "source": "cache", "server": "127.0.0.1"}
    found = [topology.dbms(r) for r in topology.regions]
    targets = [(d.address, _PORT) for d in found if operations.is_on(d.id)]
    question: dict[str, Any] = {"targets": _uncut(operations, vm, targets), "timeout": _PROBE_S}
    return question if guest else {**question, "names": names, "source": "hosts"}


def _processes(operations: Operations, vms: Iterable[str]) -> dict[str, dict[str, str]]:
    """Names of the processes that each VM's PID 1 has started, by process id."""
    asked = [(vm, operations.machine(vm).submit("processes", timeout=_LOOK_S)) for vm in vms]
    return {vm: result(future, f"{vm}: processes", _LOOK_S) for vm, future in asked}


def _record(
    operations: Operations,
    vm: Vm,
    asked: Mapping[str, Any],
    seen: Mapping[str, Any],
    mark: Mapping[str, Any],
    processes: Mapping[str, str],
) -> None:
    record = operations.recorder.record
    for (address, port), res in zip(asked.get("targets", ()), seen["reach"], strict=True):
        dst = f"{address}:{port}"
        record("reach", src=vm.id, dst=dst, conn="new", res=res, **mark)
    for name, answer in seen["dns"].items():
        ans, ttl = answer["addresses"], answer["ttl"]
        source = asked["source"]
        record("dns", host=vm.id, fqdn=name, ans=ans, source=source, ttl=ttl, **mark)
    for local, remote, pid, title in seen["edges"]:
        _record_edge(operations, vm, (local, remote), title or processes.get(str(pid), ""), mark)
    if seen["audit"] is not None:
        record("audit", db=vm.region, **mark, **seen["audit"])


def _record_edge(
    operations: Operations, vm: Vm, ends: tuple[str, str], by: str, mark: Mapping[str, Any]
) -> None:
    """Who is connected to whom; the harness's own functions (``module:function``) are nobody.

    Of a connection that a database took, the other end tells, if it is a VM's: with that VM cut off
    or without power this end is all that is left of it. Only strangers are told by the database.
    """
    if ":" in by and not by.startswith("postgres:"):
        return
    local, remote = ends
    src, dst = vm.id, remote
    if vm.role == "dbms" and local.endswith(f":{_PORT}"):
        src, dst = remote.partition(":")[0], local
        if src in {known.address for known in operations.topology.vms}:
            return
    operations.recorder.record("edge", src=src, dst=dst, by=by, **mark)
