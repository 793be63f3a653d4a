"""Symbolic targets become ids by what is active when they are asked for."""

from __future__ import annotations

import pytest

from drharness.deployment import targets
from drharness.errors import UsageError
from drharness.topology import Topology

GUIDE = Topology.guide()


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("active.dbms", ["region2-dbms"]),
        ("dormant.framework", ["region1-framework-p", "region1-framework-b"]),
        ("active.application-b", ["region2-application-b"]),
        ("region1.framework-p.lca", ["region1-framework-p"]),
        ("proxies.backup", ["region1-application-b", "region2-application-b"]),
        ("dns", ["dns"]),
    ],
)
def test_vms_by_what_they_are(target: str, ids: list[str]) -> None:
    assert [vm.id for vm in targets.vms(GUIDE, "region2", target)] == ids


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("active.framework-p.configserver", ["region1-framework-p.configserver"]),
        ("proxies.primary", ["region1-application-p.csproxy", "region2-application-p.csproxy"]),
        ("region2-application-b.lca", ["region2-application-b.lca"]),
    ],
)
def test_components_by_what_they_are(target: str, ids: list[str]) -> None:
    assert [c.id for c in targets.components(GUIDE, "region1", target)] == ids


def test_the_vms_of_further_pairs_have_their_own_names() -> None:
    topology = Topology.guide(application_pairs=2, regions=("emea", "us"))

    def ids(target: str) -> list[str]:
        return [vm.id for vm in targets.vms(topology, "us", target)]

    pair = ["us-application-p", "us-application-b"]
    assert ids("active.application") == [*pair, *(f"{vm}2" for vm in pair)]
    assert ids("active.application-p") == pair[:1]
    assert ids("dormant.application-b2.csproxy") == ["emea-application-b2"]
    assert ids("proxies.backup") == [
        "emea-application-b", "emea-application-b2", "us-application-b", "us-application-b2"
    ]  # fmt: skip


def test_of_several_dormant_regions_the_next_one_is_meant() -> None:
    topology = Topology.guide(regions=("east", "west", "north"))
    found = [targets.vms(topology, active, "dormant.dbms")[0].id for active in topology.regions]
    assert found == ["west-dbms", "north-dbms", "east-dbms"]
    assert targets.region(topology, "north", "dormant") == "east"


def test_regions_by_what_they_are() -> None:
    assert targets.region(GUIDE, "region2", "active") == "region2"
    assert targets.region(GUIDE, "region2", "dormant") == "region1"
    assert targets.region(GUIDE, "region2", "region2") == "region2"
    with pytest.raises(UsageError, match=r"one: expected one of active, dormant, region1, region2"):
        targets.region(GUIDE, "region2", "region3", name="one")


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"got 'active.dmbs'.*'active.dbms'"):
        targets.vms(GUIDE, "region1", "active.dmbs")
    with pytest.raises(UsageError, match="expected a component"):
        targets.components(GUIDE, "region1", "active.dbms")
