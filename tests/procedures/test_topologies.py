"""Drills of other topologies than the guide's smallest: further pairs, and regions by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology

TWO_PAIRS = Topology.guide(application_pairs=2)
NAMED = Topology.guide(application_pairs=2, regions=("emea", "us-east-1"))


def writers(d: Deployment, since: int = 0) -> set[str]:
    """VMs whose clients had a write acknowledged that was begun after an instant (ns)."""
    found = [w for w in d.history.writes if w.type == "ok" and w.invoked > since]
    return {w.events[0]["src"].partition(".")[0] for w in found}


@pytest.mark.slow
def test_every_pair_writes_and_follows_the_failover(tmp_path: Path) -> None:
    with deploy(TWO_PAIRS, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            assert writers(d) == {vm.id for vm in d.topology.vms if vm.role == "application"}
            d.inject(faults.RegionDown("active"))
            outcome = d.run(procedures.full_failover(to="region2"))
            assert outcome.ok, outcome
            survivors = {vm.id for vm in d.topology.vms_of("region2", "application")}
            ended = d.history.plans[-1].ended or 0
            d.wait_until(lambda: writers(d, ended) == survivors, "writes of every survivor")
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
        assert verdict.ok, verdict
        assert {h.host for h in verdict.recoveries[0].hosts} == survivors
        assert {f.source for f in d.history.finals if not f.is_database} == {
            f"{vm}.csproxy" for vm in survivors
        }


@pytest.mark.slow
def test_the_clients_of_a_pair_use_its_own_proxies(tmp_path: Path) -> None:
    with deploy(TWO_PAIRS, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(faults.VmDown("active.application-p"))
            d.inject(faults.VmDown("active.application-b"))
            traffic.wait_writes(20, timeout=20)
            d.heal()
        verdict = d.judge()
        assert verdict.ok, verdict
        used = {(w.events[0]["src"].partition(".")[0], w.via.partition(".")[0])
                for w in d.history.writes if w.type == "ok"}  # fmt: skip
        assert {client[-1] == "2" for client, proxy in used if proxy[-1] == "2"} == {True}
        assert {client[-1] == "2" for client, proxy in used if proxy[-1] != "2"} == {False}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [faults.RegionsCut(), faults.VmDown("active.framework")], ids=repr
)
def test_regions_of_any_name_take_over_from_each_other(tmp_path: Path, fault: faults.Fault) -> None:
    there, back = procedures.full_failover, procedures.framework_failover
    with deploy(NAMED, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(fault)
            outcome = d.run((there if fault == faults.RegionsCut() else back)(to="us-east-1"))
            assert outcome.ok, outcome
            d.heal()
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
        assert verdict.ok, verdict
        assert (d.active, d.dormant) == ("us-east-1", "emea")
        assert set(verdict.recoveries[0].regions) <= {"emea", "us-east-1"}
