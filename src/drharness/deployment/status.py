"""What a deployment is like now, as plain values: asked of every VM at once; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from drharness.deployment.deployment import Deployment
from drharness.engines.client import result
from drharness.errors import DrHarnessError
from drharness.topology import Component, Vm, addresses

VERSION = 1
_COMPONENT_S = 1.0
_DATABASE_S = 2.0
_ASK_S = 5.0
_STATUS = "drharness.components.client:component_status"
_LCA = "drharness.components.client:lca_status"
_DNS = "drharness.dns.control"
_PORTS = {
    "configserver": addresses.MANAGEMENT_PORT,
    "csproxy": addresses.MANAGEMENT_PORT,
    "application": addresses.APPLICATION_PORT,
}
_OF_COMPONENT = (
    "role",
    "mode",
    "status",
    "master",
    "db",
    "via",
    "reason",
    "traffic",
    "epoch",
    "seq",
)
_OF_DATABASE = ("accepting", "writable", "in_recovery", "tli", "cur", "recv", "replay")
_MORE_OF_DATABASE = ("sync_names", "epoch", "seq", "error")

Asked = dict[tuple[str, str], Future[Any]]


def look(deployment: Deployment) -> dict[str, Any]:
    """Everything at one glance; what does not answer says so in its place.

    ``v``; ``active``, ``framework``: regions; ``evidence``; ``traffic``: whether clients run;
    ``faults``: those in force, as code; ``lost``: what ended by itself, and how; ``vms``: each with
    ``power`` (``on``, ``off``, ``frozen``, ``lost``) and ``components`` (``role``, ``mode`` …, or
    ``error``); ``databases`` by region (``senders`` as [name, address, sync state]); ``firewall``
    by region, the rules of its DBMS VM; ``dns`` by name: what is ``served``, with ``ttl`` (s), and
    what every VM's resolver has ``cached`` (nobody is made to ask, which would change that).
    """
    topology = deployment.topology
    asked = _ask(deployment)
    answers = {key: _answer(key, future) for key, future in asked.items()}
    return {
        "v": VERSION,
        "active": deployment.active,
        "framework": deployment.operations.framework,
        "evidence": str(deployment.evidence),
        "traffic": deployment.current_traffic is not None,
        "faults": [*deployment.earlier, *map(repr, deployment.in_force)],
        "lost": dict(deployment.operations.lost()),
        "vms": [_vm(deployment, vm, answers) for vm in topology.vms],
        "databases": {r: _database(answers.get((topology.dbms(r).id, "database")))
                      for r in topology.regions},
        "firewall": {r: _rules(answers.get((topology.dbms(r).id, "rules")))
                     for r in topology.regions},
        "dns": {name: _name(topology.vms, name, answers) for name in addresses.FRAMEWORK_NAMES},
    }  # fmt: skip


def _ask(deployment: Deployment) -> Asked:
    asked: Asked = {}

    def call(vm: str, what: str, function: str, **kwargs: Any) -> None:
        fields = {"function": function, "kwargs": kwargs}
        asked[vm, what] = deployment.vm(vm).submit("call", timeout=_ASK_S, **fields)

    on = [vm for vm in deployment.topology.vms if deployment.vm(vm.id).is_on]
    powered = {vm.id for vm in on}
    for component in deployment.topology.components:
        if component.vm in powered:
            _ask_component(component, call)
    for vm in on:
        if vm.role == "dbms":
            call(vm.id, "database", "drharness.dbms.server:status", timeout=_DATABASE_S)
            rules = {"argv": ["iptables", "-S", "INPUT"]}
            asked[vm.id, "rules"] = deployment.vm(vm.id).submit("run", timeout=_ASK_S, **rules)
        elif vm.role == "dns":
            call(vm.id, "zone", f"{_DNS}:zone")
        elif vm.role == "application":
            call(vm.id, "cache", f"{_DNS}:cache")
    return asked


def _ask_component(component: Component, call: Any) -> None:
    if component.kind == "lca":
        call(component.vm, "lca", _LCA, timeout=_COMPONENT_S)
    else:
        port = _PORTS[component.kind]
        call(component.vm, component.kind, _STATUS, port=port, timeout=_COMPONENT_S)


def _answer(key: tuple[str, str], future: Future[Any]) -> Any:
    """What was answered, or the error that was met."""
    try:
        return result(future, " ".join(key), _ASK_S)
    except DrHarnessError as error:
        return error


def _vm(deployment: Deployment, vm: Vm, answers: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    return {
        "id": vm.id,
        "region": vm.region,
        "role": vm.role,
        "side": vm.side,
        "address": vm.address,
        "power": _power(deployment, vm.id),
        "components": [
            {"id": c.id, "kind": c.kind, **_component(answers.get((vm.id, c.kind)))}
            for c in deployment.topology.components
            if c.vm == vm.id
        ],
    }


def _power(deployment: Deployment, vm: str) -> str:
    if vm in deployment.operations.lost():
        return "lost"
    if not deployment.vm(vm).is_on:
        return "off"
    return "frozen" if deployment.operations.is_frozen(vm) else "on"


def _component(answer: Any) -> dict[str, Any]:
    """Of an answer what people ask for; of none why."""
    if answer is None:
        return {"error": "no power"}
    if isinstance(answer, DrHarnessError):
        return {"error": f"no answer: {answer}"}
    if "apps" in answer:  # of a Local Control Agent
        return {"apps": {name: it["status"] for name, it in answer["apps"].items()}}
    return {key: answer[key] for key in _OF_COMPONENT if key in answer}


def _database(answer: Any) -> dict[str, Any]:
    if answer is None:
        return {"accepting": False, "senders": [], "error": "its VM has no power"}
    if isinstance(answer, DrHarnessError):
        return {"accepting": False, "senders": [], "error": str(answer)}
    return {key: answer[key] for key in (*_OF_DATABASE, "senders", *_MORE_OF_DATABASE)}


def _rules(answer: Any) -> list[str] | None:
    """The rules that are set beside the policy; None: nobody can say."""
    if answer is None or isinstance(answer, DrHarnessError) or answer["status"] != 0:
        return None
    return [line for line in answer["stdout"].splitlines() if not line.startswith("-P")]


def _name(vms: tuple[Vm, ...], name: str, answers: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    zone = next((answers.get((vm.id, "zone")) for vm in vms if vm.role == "dns"), None)
    known = zone["records"].get(name) if isinstance(zone, dict) else None
    caches = {vm.id: answers[vm.id, "cache"] for vm in vms if (vm.id, "cache") in answers}
    return {
        "served": None if not isinstance(zone, dict) else (known or {}).get("A", []),
        "ttl": None if known is None else known["ttl"],
        "cached": {vm: _cached(name, cache) for vm, cache in caches.items()},
    }


def _cached(name: str, cache: Any) -> dict[str, Any] | None:
    """What a resolver remembers of a name, None: nothing; or why it does not say."""
    if isinstance(cache, DrHarnessError):
        return {"error": str(cache)}
    held = (entry for entry in cache if entry["name"].rstrip(".") == name)
    return next(held, None)
