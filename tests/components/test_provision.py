"""What freshly deployed VMs have on their disks."""

from __future__ import annotations

import importlib

import pytest

from drharness.components import provision
from drharness.components.options import Conf, parse
from drharness.errors import UsageError
from drharness.topology import Topology

TOPOLOGY = Topology.guide()


def conf(vm: str, name: str) -> Conf:
    """A provisioned configuration file."""
    path = f"/etc/drharness/{name}"
    return Conf(path, provision.files(TOPOLOGY, vm)[path])


@pytest.mark.parametrize("vm", [v.id for v in TOPOLOGY.vms])
def test_every_component_of_a_vm_is_started_once(vm: str) -> None:
    expected = [c.kind for c in TOPOLOGY.components if c.vm == vm and c.kind != "lca"]
    assert [s.name for s in provision.services(TOPOLOGY, vm)] == expected
    agent = provision.agent(TOPOLOGY, vm)
    assert (agent is not None) == bool(expected)


@pytest.mark.parametrize("component", TOPOLOGY.components, ids=lambda c: c.id)
def test_every_default_factory_and_command_line_is_valid(component: object) -> None:
    for vm in TOPOLOGY.vms:
        agent = provision.agent(TOPOLOGY, vm.id)
        for service in [*provision.services(TOPOLOGY, vm.id), *([agent] if agent else [])]:
            module, _, function = service.factory.partition(":")
            assert callable(getattr(importlib.import_module(module), function))
            options = parse(service.argv)
            assert options.file in provision.files(TOPOLOGY, vm.id)


def test_the_agent_reads_back_the_service_list() -> None:
    vm = "region2-application-b"
    path = "/etc/drharness/services.json"
    text = provision.files(TOPOLOGY, vm)[path]
    assert provision.services_from_text(text, path) == provision.services(TOPOLOGY, vm)


@pytest.mark.parametrize("text", ["", "{}", '[{"name": 1}]', "[1]"])
def test_a_bad_service_list_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"/s\.json: expected a list of services"):
        provision.services_from_text(text, "/s.json")


def test_a_replacement_is_what_the_agent_starts() -> None:
    topology = TOPOLOGY.replace("csproxy", "vendor.proxy:main")
    topology = topology.replace("region1-application-b.csproxy", "vendor.other:main")
    factories = {
        vm: provision.services(topology, vm)[0].factory
        for vm in ("region1-application-p", "region1-application-b", "region1-framework-p")
    }
    assert factories == {
        "region1-application-p": "vendor.proxy:main",
        "region1-application-b": "vendor.other:main",
        "region1-framework-p": "drharness.components.configserver:main",
    }


def test_clones_differ_only_in_the_database_address() -> None:
    path = "/etc/drharness/confserv.conf"
    for side in "pb":
        one, two = (
            provision.files(TOPOLOGY, f"{r}-framework-{side}")[path].splitlines()
            for r in TOPOLOGY.regions
        )
        different = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
        assert different == [("dbserver=10.81.3.10", "dbserver=10.82.3.10")]


def test_first_modes_give_each_region_one_proxy_and_no_master() -> None:
    modes = {
        f"{vm.id}.{s.name}": s.mode
        for vm in TOPOLOGY.vms
        for s in provision.services(TOPOLOGY, vm.id)
    }
    assert [i for i, m in modes.items() if m == "primary" and not i.endswith(".application")] == [
        "region1-application-p.csproxy",
        "region2-application-p.csproxy",
    ]


def test_proxies_know_names_and_applications_their_own_region() -> None:
    for region, net in (("region1", "10.81"), ("region2", "10.82")):
        for side in "pb":
            proxy = conf(f"{region}-application-{side}", "csproxy.conf")
            assert proxy.text("master", "host") == "cfgmaster-p.dr.internal"
            assert proxy.text("master", "backup-host") == "cfgmaster-b.dr.internal"
            application = conf(f"{region}-application-{side}", "application.conf")
            assert application.text("proxy", "host") == f"{net}.2.11"
            assert application.text("proxy", "backup-host") == f"{net}.2.12"


def test_the_timing_profile_reaches_the_database_settings() -> None:
    text = provision.files(Topology.guide(timing="guide"), "region1-framework-p")
    settings = Conf("/c", text["/etc/drharness/confserv.conf"]).section("dbserver")
    assert (settings["reconnect-timeout"], settings["response-timeout"]) == ("9", "20")
