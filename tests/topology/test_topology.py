"""The reference architecture as values."""

from __future__ import annotations

import json
from typing import Any

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
    application_pairs=st.integers(1, 8),
    resolver=st.sampled_from(["ours", "dnsmasq", "unbound", "nscd"]),
    regions=st.sampled_from([2, 3, ("region1", "us-east-1"), ["region1", "emea", "us", "eu"]]),
)
TUNING: st.SearchStrategy[dict[str, float]] = st.fixed_dictionaries(
    {}, optional={"d": st.floats(0.05, 3600), "eps": st.just(1), "min_acked": st.integers(0, 99)}
)
REPLACED = st.sampled_from(
    [("application", "mine:App"), ("lca", "a.b:c"), ("region1-application-p.csproxy", "x:y")]
)
PARTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["pgbouncer", "side-car2"]),
        "on": st.just("framework"),
        "image": st.sampled_from(["edoburu/pgbouncer:1.23", "x"]),
    },
    optional={
        "command": st.lists(st.text(max_size=5), max_size=3),
        "files": st.dictionaries(st.sampled_from(["/etc/a.ini", "/var/b c"]), st.text(max_size=9)),
        "user": st.just("postgres"),
        "ready": st.integers(1, 65535),
        "waits": st.booleans(),
    },
)


def with_parts(topology: Topology, parts: list[dict[str, Any]]) -> Topology:
    """The topology with these parts, too."""
    for part in parts:
        topology = topology.with_part(**part)
    return topology


@given(TOPOLOGIES, TUNING, st.lists(REPLACED, max_size=3), st.lists(PARTS, max_size=2))
def test_a_topology_prints_as_code_and_survives_json(
    topology: Topology,
    tuning: dict[str, float],
    replaced: list[tuple[str, str]],
    parts: list[dict[str, Any]],
) -> None:
    topology = with_parts(topology.tuned(**tuning), parts)
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


@given(TOPOLOGIES)
def test_ids_and_addresses_are_each_ones_own(topology: Topology) -> None:
    vms = topology.vms
    assert len(vms) == 1 + len(topology.regions) * (3 + 2 * topology.application_pairs)
    assert len({vm.id for vm in vms}) == len({vm.address for vm in vms}) == len(vms)
    assert all(len(vm.id) <= 63 for vm in vms)


def test_pairs_are_numbered_from_the_second_on() -> None:
    topology = Topology.guide(application_pairs=3, regions=("emea", "us-east-1"))
    found = {vm.place: (vm.pair, vm.address) for vm in topology.vms_of("us-east-1", "application")}
    assert found == {
        "application-p": (1, "10.82.2.11"),
        "application-b": (1, "10.82.2.12"),
        "application-p2": (2, "10.82.2.13"),
        "application-b2": (2, "10.82.2.14"),
        "application-p3": (3, "10.82.2.15"),
        "application-b3": (3, "10.82.2.16"),
    }
    assert topology.vm("us-east-1-dbms").place == "dbms"


def test_the_other_region_is_the_next_one() -> None:
    two, three = Topology.guide(), Topology.guide(regions=("east", "west", "north"))
    assert [two.other(r) for r in two.regions] == ["region2", "region1"]
    assert [three.other(r) for r in three.regions] == ["west", "north", "east"]
    assert three.others("west") == ("east", "north")
    assert Topology.guide(regions=3).regions == ("region1", "region2", "region3")
    with pytest.raises(UsageError, match=r"region: expected one of .*got 'south'"):
        three.others("south")


def test_other_arguments_leave_the_rest_as_it_was() -> None:
    topology = Topology.guide(regions=("emea", "us")).tuned(d=5).replace("lca", "a:b")
    changed = topology.changed(timing="guide", application_pairs=2)
    expected = Topology.guide(timing="guide", application_pairs=2, regions=("emea", "us"))
    assert changed == expected.tuned(d=5).replace("lca", "a:b")
    assert (changed.ttl, changed.profile.d) == (30, 5.0)
    assert Topology.guide(ttl=7).changed(timing="guide").ttl == 7
    with pytest.raises(UsageError, match=r"argument: expected one of .*got 'pairs'"):
        topology.changed(pairs=2)
    with pytest.raises(UsageError, match=r"component: .*got 'us-dbms'"):
        topology.replace("us-dbms", "a:b")


def test_own_constants_are_checked() -> None:
    assert Topology.guide().tuned(d=5, min_acked=3).tuned(d=6).profile.d == 6.0
    with pytest.raises(UsageError, match=r"constant: expected one of .*got 'ttl'"):
        Topology.guide().tuned(ttl=1)
    with pytest.raises(UsageError, match=r"min_acked: expected a whole number from 0 to 10000"):
        Topology.guide().tuned(min_acked=0.5)


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
        ({"application_pairs": 0}, "application_pairs: expected a whole number from 1 to 8, got 0"),
        ({"regions": 1}, r"regions: expected 2 to 5, or their names, got 1 \(int\). One is active"),
        ({"regions": 6}, r"regions: expected 2 to 5, or their names, got 6 \(int\)"),
        ({"regions": True}, r"regions: expected 2 to 5, or their names, .*, got True \(bool\)"),
        ({"regions": "emea"}, r"regions: expected 2 to 5, or their names, .*, got 'emea' \(str\)"),
        ({"regions": tuple("abcdef")}, "regions: expected 2 to 5, .*, got 6: a, b, c, d, e, f"),
        ({"regions": ("us",)}, "regions: expected 2 to 5, or their names, got 1: us"),
        ({"regions": ("a", "b", "b")}, "regions: expected names whose VMs cannot be mistaken"),
        ({"regions": ("us", "us")}, "regions: expected names whose VMs cannot be mistaken"),
        ({"regions": ("us-east", "us")}, "regions: expected names whose VMs cannot be mistaken"),
        ({"regions": ("Emea", "us")}, "regions: expected names of 1 to 20 lower-case .*got 'Emea'"),
        ({"regions": ("emea", 2)}, "regions: expected names of 1 to 20 lower-case .*got 2"),
        ({"regions": ("emea", "x" * 21)}, "regions: expected names of 1 to 20 lower-case"),
        ({"regions": ("emea", "active")}, "regions: 'active' means something else in targets"),
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
