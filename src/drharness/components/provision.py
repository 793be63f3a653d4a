"""What is on the disks of freshly deployed VMs: configuration files and service lists. Pure.

The files of Framework VMs differ only in the DBMS address (by region) and in which of the two names
is the peer's (by side), as those of a clone should.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from drharness.components.messages import Mode
from drharness.components.options import CONF_DIR
from drharness.errors import UsageError
from drharness.topology import Topology, Vm, addresses

Sections = Mapping[str, Mapping[str, object]]
FACTORIES: Mapping[str, str] = {
    "configserver": "drharness.components.configserver:main",
    "csproxy": "drharness.components.csproxy:main",
    "application": "drharness.components.application:main",
    "lca": "drharness.components.lca:main",
}


@dataclass(frozen=True)
class Service:
    """A component to be started: ``factory`` is ``"module:callable"``, ``mode`` its first mode."""

    name: str
    factory: str
    argv: tuple[str, ...]
    mode: Mode = "backup"


def services_from_text(text: str, path: str) -> list[Service]:
    """The service list that :func:`files` wrote.

    :raises UsageError: it is none
    """
    try:
        return msgspec.json.decode(text, type=list[Service])
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path}: expected a list of services: {error}.") from error


def services(topology: Topology, vm_id: str) -> list[Service]:
    """What the VM's Local Control Agent starts; empty on VMs without one."""
    return [s for s in _all(topology, vm_id) if s.name != "lca"]


def agent(topology: Topology, vm_id: str) -> Service | None:
    """The VM's Local Control Agent itself, which the VM starts at boot; None if it has none."""
    found = [s for s in _all(topology, vm_id) if s.name == "lca"]
    return found[0] if found else None


def _all(topology: Topology, vm_id: str) -> list[Service]:
    vm = topology.vm(vm_id)
    out = []
    for component in topology.components:
        if component.vm == vm_id:
            default = FACTORIES[component.kind]
            factory = topology.factory_of(component, default)
            argv = _argv(topology, vm, component.kind)
            out.append(Service(component.kind, factory, argv, _first_mode(vm, component.kind)))
    return out


def _first_mode(vm: Vm, kind: str) -> Mode:
    """Masters start as backup until told; without a controlling server, P serves its region."""
    if kind == "configserver" or (kind == "csproxy" and vm.side == "b"):
        return "backup"
    return "primary"


def _argv(topology: Topology, vm: Vm, kind: str) -> tuple[str, ...]:
    app = ("-app", f"{vm.id}.{kind}")
    port = str(addresses.CONFIGSERVER_PORT)
    match kind:
        case "configserver":
            return ("-s", "confserv", "-c", f"{CONF_DIR}/confserv.conf", *app)
        case "csproxy":
            host = addresses.FRAMEWORK_NAMES[0]
            return ("-host", host, "-port", port, *app, "-f", f"{CONF_DIR}/csproxy.conf")
        case "application":
            host, _ = _proxies(topology, vm)
            proxy = str(addresses.PROXY_PORT)
            return ("-host", host, "-port", proxy, *app, "-f", f"{CONF_DIR}/application.conf")
        case _:
            return ("-port", str(addresses.LCA_PORT), "-f", f"{CONF_DIR}/services.json")


def files(topology: Topology, vm_id: str) -> dict[str, str]:
    """A freshly deployed VM's files: absolute path to text.

    :raises UsageError: no such VM
    """
    vm = topology.vm(vm_id)
    out: dict[str, str] = {}
    if vm.role == "framework":
        out[f"{CONF_DIR}/confserv.conf"] = _ini(_confserv(topology, vm))
    if vm.role == "application":
        out[f"{CONF_DIR}/csproxy.conf"] = _ini(_csproxy())
        out[f"{CONF_DIR}/application.conf"] = _ini(_application(topology, vm))
    listed = services(topology, vm_id)
    if listed:
        text = msgspec.json.format(msgspec.json.encode(listed), indent=1).decode()
        out[f"{CONF_DIR}/services.json"] = text + "\n"
    return out


def _confserv(topology: Topology, vm: Vm) -> Sections:
    own, other = addresses.FRAMEWORK_NAMES
    profile = topology.profile
    through = [one for one in topology.parts_on(vm) if one.serves == "dbms"]
    way = {"through": f"127.0.0.1:{through[-1].ready}"} if through else {}
    return {
        "confserv": {
            "port": addresses.CONFIGSERVER_PORT,
            "management-port": addresses.MANAGEMENT_PORT,
            "server": "dbserver",
            "peer": other if vm.side == "p" else own,
            "peer-port": addresses.CONFIGSERVER_PORT,
        },
        "dbserver": {
            "dbengine": "postgre",
            "dbserver": topology.dbms(vm.region).address,
            "dbport": addresses.POSTGRES_PORT,
            "dbname": "config",
            "username": "configserver",
            "password": "configserver",
            "reconnect-timeout": f"{profile.addp_timeout:g}",
            "response-timeout": f"{profile.op_deadline:g}",
            **way,
        },
        "history-log": {"max-records": 1000},
        "regions": {region: topology.dbms(region).address for region in topology.regions},
    }


def _csproxy() -> Sections:
    own, other = addresses.FRAMEWORK_NAMES
    return {
        "csproxy": {
            "port": addresses.PROXY_PORT,
            "management-port": addresses.MANAGEMENT_PORT,
            "proxy-writable": "true",
            "delay-reload": 0,
            "delay-reload-backup": 0,
        },
        "master": {"host": own, "backup-host": other, "port": addresses.CONFIGSERVER_PORT},
    }


def _application(topology: Topology, vm: Vm) -> Sections:
    host, backup = _proxies(topology, vm)
    return {
        "application": {"port": addresses.APPLICATION_PORT},
        "proxy": {"host": host, "backup-host": backup, "port": addresses.PROXY_PORT},
    }


def _proxies(topology: Topology, vm: Vm) -> list[str]:
    """Addresses of the proxies of an application: those of its own pair, P first."""
    pair = [v for v in topology.vms_of(vm.region, "application") if v.pair == vm.pair]
    return [v.address for v in sorted(pair, key=lambda v: v.side != "p")]


def _ini(sections: Sections) -> str:
    lines: list[str] = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{k}={v}" for k, v in options.items()), ""]
    return "\n".join(lines)
