"""What drills of procedures have in common."""

from __future__ import annotations

from drharness.deployment import Deployment
from drharness.history.records import Operation


def writes_since(d: Deployment, t: int, kind: str) -> list[Operation]:
    """Writes begun after an instant (ns) that ended in this way."""
    return [w for w in d.history.writes if w.invoked > t and w.type == kind]


def state_of(d: Deployment) -> dict[str, object]:
    """What a procedure may change: power, rules, the databases' states, and the names."""
    on = [vm.id for vm in d.topology.vms if d.operations.is_on(vm.id)]
    databases = [vm for vm in on if vm.endswith("-dbms")]
    return {
        "on": on,
        "active": d.active,
        "rules": {vm: d.vm(vm).run(["iptables", "-S"]).output for vm in databases},
        "databases": {vm: _database(d, d.topology.vm(vm).region) for vm in databases},
        "names": d.dns.zone()["records"],
    }


def _database(d: Deployment, region: str) -> dict[str, object]:
    status = d.operations.database_status(region)
    return {k: status[k] for k in ("writable", "tli", "sync_names", "epoch")}
