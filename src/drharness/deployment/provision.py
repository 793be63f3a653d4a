"""What is on every VM's disk before its first boot: boot list, hosts, rules, zone. Pure."""

from __future__ import annotations

import json
from pathlib import Path

from drharness.components import provision as components
from drharness.components.lca import STATE
from drharness.dbms.place import HOME
from drharness.dns import products
from drharness.engines.agent.services import BOOT_FILE, Service, write_boot_list
from drharness.firewall.iptables import SAVED
from drharness.firewall.rules import Block, saved
from drharness.topology import Topology, Vm, addresses, parts

_RESTART_S = 0.25
ZONE_FILE = "/etc/drharness/zone.json"


def site_files(
    topology: Topology, active: str, template: Path, postgres: str
) -> dict[str, dict[str, str]]:
    """VM id to absolute path to text.

    :param active: region whose database is the primary and whose addresses the names have
    :param template: the database template's directory; ``postgres`` the server program
    """
    out: dict[str, dict[str, str]] = {}
    for vm in topology.vms:
        files = dict(components.files(topology, vm.id))
        files[BOOT_FILE] = write_boot_list(_boot_list(topology, vm, active, template, postgres))
        if vm.role == "dns":
            files[ZONE_FILE] = json.dumps(zone(topology, active), indent=1)
        if vm.role == "application":  # started by the deployment, once the region's proxies serve
            files[STATE] = json.dumps({"application": {"stopped": True}})
            if topology.resolver != products.OURS:
                files |= products.PRODUCTS[topology.resolver].files(addresses.DNS_SERVER)
        for part in topology.parts_on(vm):
            dbms = topology.dbms(vm.region).address
            where = {"address": vm.address, "region": vm.region, "dbms": dbms}
            files |= {path: parts.filled(text, **where) for path, text in part.files}
        if vm.role == "framework":
            files["/etc/hosts"] = hosts_file(topology, vm)
        if vm.role == "dbms":
            files[SAVED] = saved(boot_blocks(topology))
        out[vm.id] = files
    return out


def framework_records(topology: Topology, region: str) -> dict[str, list[str]]:
    """Both Framework names with one region's addresses: what DNS answers while it is active."""
    number = topology.number(region)
    pair = zip(addresses.FRAMEWORK_NAMES, ("p", "b"), strict=True)
    return {name: [addresses.address(number, "framework", side)] for name, side in pair}


def zone(topology: Topology, active: str) -> dict[str, object]:
    """The zone's records file at deployment."""
    return {
        "zone": addresses.DOMAIN,
        "serial": 1,
        "ttl": topology.ttl,
        "negative_ttl": topology.ttl,
        "records": framework_records(topology, active),
    }


def hosts_file(topology: Topology, vm: Vm) -> str:
    """A Framework VM's hosts file: both names are its own region's, whatever DNS says."""
    lines = ["127.0.0.1 localhost", f"{vm.address} {vm.id}"]
    for name, found in framework_records(topology, vm.region).items():
        lines += [f"{address} {name}" for address in found]
    return "\n".join(lines) + "\n"


def framework_subnets(topology: Topology) -> list[str]:
    """The Framework slice of every region."""
    return [addresses.subnet(topology.number(r), "framework") for r in topology.regions]


def boot_blocks(topology: Topology) -> list[Block]:
    """Rules a DBMS VM boots with: all Framework subnets with ``boot-deny``, else none."""
    if topology.return_fence == "none":
        return []
    return [Block(subnet, addresses.POSTGRES_PORT) for subnet in framework_subnets(topology)]


def _boot_list(
    topology: Topology, vm: Vm, active: str, template: Path, postgres: str
) -> list[Service]:
    if vm.role == "dns":
        argv = ["-address", vm.address, "-zone", addresses.DOMAIN, "-records", ZONE_FILE]
        return [_component("dns", "drharness.dns.server:main", argv)]
    if vm.role == "dbms":
        own = _database(topology, vm, active, template, postgres)
        return [*own, *(_part(part) for part in topology.parts_on(vm))]
    services = [_part(part) for part in topology.parts_on(vm)]
    if vm.role == "application":
        services.append(_resolver(topology))
    agent = components.agent(topology, vm.id)
    if agent is not None:
        services.append(_component("lca", agent.factory, list(agent.argv)))
    return services


def _part(part: parts.Part) -> Service:
    return Service(
        name=part.name,
        program=list(part.command),
        image=part.image,
        files=[path for path, _ in part.files],
        user=part.user or None,
        restart_s=_RESTART_S,
        waits=part.waits,
    )


def _resolver(topology: Topology) -> Service:
    if topology.resolver == products.OURS:
        argv = ["-upstream", addresses.DNS_SERVER]
        return _component("resolver", "drharness.dns.resolver:main", argv)
    program = list(products.PRODUCTS[topology.resolver].program)
    return Service(name="resolver", program=program, restart_s=_RESTART_S)


def _component(name: str, factory: str, argv: list[str]) -> Service:
    return Service(name=name, component=factory, argv=argv, restart_s=_RESTART_S)


def _database(
    topology: Topology, vm: Vm, active: str, template: Path, postgres: str
) -> list[Service]:
    """The firewall comes before the database, so that no moment is open."""
    layout = {
        "template_directory": str(template),
        "role": "primary" if vm.region == active else "standby",
        "topology": topology.as_dict(),
        "region": vm.region,
    }
    return [
        Service(name="firewall", run=["iptables-restore", SAVED]),
        Service(name="database", call="drharness.deployment.boot:database", kwargs=layout),
        Service(name="postgres", program=[postgres, "-D", f"{HOME}/data"], user="postgres"),
        _component("observer", "drharness.dbms.observer:main", []),
    ]
