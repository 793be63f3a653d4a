"""A real mistake on a real deployment trips the check that is for it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.engines.protocol import VmCut
from drharness.topology import Topology

pytestmark = pytest.mark.slow
MISTAKEN = "drharness.selftest.components"


def write_one_by_one(d: Deployment, region: str, count: int) -> None:
    """Changes of one object, each in the proxy before the next."""
    proxy = f"{region}-application-p.csproxy"
    for n in range(1, count + 1):
        d.operations.canary(region, f"v{n}", deadline=1.0)
        d.wait_until(
            lambda n=n: d.operations.component_status(proxy)["seq"] >= n,  # type: ignore[misc]
            f"change {n} in {proxy}",
        )


def compared_with_a_value_gone(d: Deployment) -> bool:
    """Whether a cas succeeded although what it expected had been replaced before it began."""
    clients = [f"{vm.id}.application" for vm in d.topology.vms if vm.role == "application"]
    events = [e for c in clients for e in d.operations.written.events_of(c) if e["kind"] == "op"]
    begun = {e["opid"]: e["t"] for e in events if e["type"] == "invoke"}
    changes = [e for e in events if e["type"] == "ok" and e["f"] in ("write", "cas")]
    written = {(e["key"], e["val"]): e for e in changes}
    return any(
        begun[other["opid"]] > written[c["key"], c["expected"]]["t"]
        and other["t"] < begun[c["opid"]]
        for c in changes
        if c["f"] == "cas" and (c["key"], c["expected"]) in written
        for other in changes
        if other["key"] == c["key"]
    )


def test_a_standby_promoted_beside_a_living_master_is_a_role_mismatch(tmp_path: Path) -> None:
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.operations.database("region2", "promotion:promote", token="beside", plan=1)
            traffic.wait_writes(60, timeout=20.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"S2"}, str(verdict)
    assert "though epoch beside was opened on region2 before" in str(verdict)


def test_a_proxy_that_writes_behind_breaks_the_ack_chain(tmp_path: Path) -> None:
    topology = Topology.guide().replace("csproxy", f"{MISTAKEN}:eager")
    with deploy(topology, evidence_dir=tmp_path) as d:
        write_one_by_one(d, "region1", 3)
        verdict = d.judge()
    assert set(verdict.failed) == {"S8"}, str(verdict)
    assert "were told ok before a master acknowledged them" in str(verdict)


def test_a_proxy_that_shows_changes_late_serves_no_prefix(tmp_path: Path) -> None:
    topology = Topology.guide().replace("csproxy", f"{MISTAKEN}:late")
    with deploy(topology, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            traffic.wait_writes(40, timeout=20.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"S10"}, str(verdict)


def test_a_proxy_that_answers_from_two_copies_steps_back(tmp_path: Path) -> None:
    topology = Topology.guide().replace("csproxy", f"{MISTAKEN}:wavering")
    with deploy(topology, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            traffic.wait_writes(40, timeout=20.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"S11"}, str(verdict)


def test_a_proxy_that_keeps_what_was_lost_resurrects_it(tmp_path: Path) -> None:
    """The proxies have what the standby's cable kept from it; S13 sees the same at rest."""
    topology = Topology.guide(replication="async").replace("csproxy", f"{MISTAKEN}:merging")
    with deploy(topology, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.operations.cut(VmCut("region2-dbms"))
            traffic.wait_writes(20, timeout=20.0)
            d.inject(faults.RegionDown("region1"))
            d.operations.heal(VmCut("region2-dbms"))
            d.run(procedures.full_failover(to="region2"))
            traffic.wait_writes(40, timeout=20.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"S7", "S13"}, str(verdict)


def test_an_id_counter_set_back_gives_a_number_twice(tmp_path: Path) -> None:
    """As by a counter that did not come along with the data; the objects have other ids by now."""
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            traffic.wait_writes(20, timeout=20.0)
        set_back = "WITH moved AS (UPDATE cfg_object SET dbid = dbid + 1000) "
        set_back += "UPDATE cfg_max_dbid SET value = 100"
        d.operations.database("region1", "server:execute", sql=set_back)
        with d.traffic() as traffic:
            traffic.wait_writes(5, timeout=20.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"S12"}, str(verdict)


def test_a_compare_and_set_that_compares_nothing_has_no_order(tmp_path: Path) -> None:
    """The database's own function, with the comparison taken out."""
    sql = """DO $x$ DECLARE text text; BEGIN
        SELECT pg_get_functiondef(oid) INTO text FROM pg_proc WHERE proname = 'cfg_apply';
        EXECUTE replace(text, 'old.value <> in_expected', 'false'); END $x$"""
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        d.operations.database("region1", "server:execute", sql=sql)
        with d.traffic():
            d.wait_until(lambda: compared_with_a_value_gone(d), "a mistaken cas", timeout=60.0)
        verdict = d.judge()
    assert set(verdict.failed) == {"W1"}, str(verdict)
