"""The reference architecture as values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drharness.errors import UsageError
from drharness.topology import Topology, addresses

TOPOLOGIES = st.builds(
    Topology.guide,
    replication=st.sampled_from(["sync", "async"]),
    timing=st.sampled_from(["fast", "guide"]),
    ttl=st.none() | st.integers(0, 86400),
    return_fence=st.sampled_from(["boot-deny", "none"]),
)
REPLACED = st.sampled_from(
    [("application", "mine:App"), ("lca", "a.b:c"), ("region1-application-p.csproxy", "x:y")]
)


@given(TOPOLOGIES, st.lists(REPLACED, max_size=3))
def test_a_topology_prints_as_code_and_survives_json(
    topology: Topology, replaced: list[tuple[str, str]]
) -> None:
    for component, factory in replaced:
        topology = topology.replace(component, factory)
    assert eval(repr(topology)) == topology
    assert Topology.from_dict(json.loads(json.dumps(topology.as_dict()))) == topology


def test_addresses_and_ids_are_those_of_the_guides_plan() -> None:
    topology = Topology.guide()
    found = {vm.id: vm.address for vm in topology.vms}
    assert len(found) == 11
    assert found["region1-framework-p"] == "10.81.1.11"
    assert found["region2-application-b"] == "10.82.2.12"
    assert found["region2-dbms"] == "10.82.3.10"
    assert found["dns"] == "10.80.0.53"
    assert addresses.subnet(1, "framework") == "10.81.1.0/24"
    assert len({vm.address for vm in topology.vms}) == 11


def test_every_framework_and_application_vm_has_an_agent() -> None:
    topology = Topology.guide()
    agents = {c.vm for c in topology.components if c.kind == "lca"}
    assert agents == {v.id for v in topology.vms if v.role in ("framework", "application")}


def test_the_profile_carries_the_topologys_ttl() -> None:
    assert Topology.guide().profile.ttl == 1
    assert Topology.guide(timing="guide").profile.ttl == 30
    assert Topology.guide(ttl=7).profile.ttl == 7


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"replication": "sinc"}, "replication: expected one of async, sync, got 'sinc'. Did you"),
        ({"timing": "slow"}, "timing: expected one of fast, guide, got 'slow'"),
        ({"ttl": -1}, "ttl: expected a number from 0 to 86400, got -1"),
        ({"ttl": 1.5}, r"ttl: expected whole seconds, got 1\.5"),
        ({"ttl": "1"}, "ttl: expected whole seconds, got '1'"),
        ({"return_fence": "deny"}, "return_fence: expected one of boot-deny, none"),
    ],
)
def test_a_bad_argument_is_named_with_what_was_expected(
    arguments: dict[str, object], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        Topology.guide(**arguments)  # type: ignore[arg-type]


def test_a_replacement_must_name_a_component_and_a_factory() -> None:
    topology = Topology.guide()
    with pytest.raises(UsageError, match="component: expected one of"):
        topology.replace("region1-dbms", "a:b")
    with pytest.raises(UsageError, match="factory: expected 'module:callable', got 'nonsense'"):
        topology.replace("application", "nonsense")


def test_a_replacement_by_id_comes_before_one_by_kind() -> None:
    topology = Topology.guide().replace("lca", "kind:one")
    topology = topology.replace("region1-framework-p.lca", "id:one")
    by_id = topology.component("region1-framework-p.lca")
    assert topology.factory_of(by_id, "default:one") == "id:one"
    other = topology.component("region1-framework-b.lca")
    assert topology.factory_of(other, "default:one") == "kind:one"
    assert (
        topology.factory_of(topology.component("region1-framework-b.configserver"), "d:e") == "d:e"
    )


def test_an_unknown_key_of_a_recorded_topology_is_named() -> None:
    with pytest.raises(UsageError, match=r"topology key: expected one of .*got 'replicatoin'"):
        Topology.from_dict({"replicatoin": "sync"})
