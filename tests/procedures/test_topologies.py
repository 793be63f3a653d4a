"""Drills of other topologies than the smallest: further pairs, and regions by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.faults.model import Fault
from drharness.procedures import Procedure
from drharness.topology import Topology

TWO_PAIRS = Topology.guide(application_pairs=2)
NAMED = Topology.guide(regions=("emea", "us-east-1"))


def writers(d: Deployment, since: int = 0) -> dict[str, set[str]]:
    """VMs whose clients had a write acknowledged that was begun since (ns), each with by whom."""
    found: dict[str, set[str]] = {}
    for write in d.history.writes:
        if write.type == "ok" and write.invoked > since:
            client = write.events[0]["src"].partition(".")[0]
            found.setdefault(client, set()).add(write.via.partition(".")[0])
    return found


@pytest.mark.slow
def test_every_pair_writes_and_follows_the_failover(tmp_path: Path) -> None:
    with deploy(TWO_PAIRS, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            assert writers(d).keys() == {v.id for v in d.topology.vms if v.role == "application"}
            d.inject(faults.RegionDown("active"))
            outcome = d.run(procedures.full_failover(to="region2"))
            assert outcome.ok, outcome
            survivors = {vm.id for vm in d.topology.vms_of("region2", "application")}
            ended = d.history.plans[-1].ended or 0
            d.wait_until(lambda: writers(d, ended).keys() == survivors, "writes of each survivor")
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
        assert verdict.ok, verdict
        assert {h.host for h in verdict.recoveries[0].hosts} == survivors
        read_back = {f.source for f in d.history.finals}
        assert read_back == {"db:region2", *(f"{vm}.csproxy" for vm in survivors)}


@pytest.mark.slow
def test_the_clients_of_a_pair_use_its_own_proxies(tmp_path: Path) -> None:
    with deploy(TWO_PAIRS, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            pair = [d.inject(faults.VmDown(f"active.application-{side}")) for side in "pb"]
            traffic.wait_writes(20, timeout=20)
            for guard in pair:
                guard.heal()
            traffic.wait_writes(60, timeout=20)
        verdict = d.judge()
        assert verdict.ok, verdict
        for client, proxies in writers(d).items():
            assert {proxy.endswith("2") for proxy in proxies} == {client.endswith("2")}, client


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "procedure"),
    [
        (faults.RegionsCut(), procedures.full_failover(to="us-east-1")),
        (faults.VmDown("active.framework"), procedures.framework_failover(to="us-east-1")),
    ],
    ids=["cut", "framework"],
)
def test_regions_of_any_name_take_over(tmp_path: Path, fault: Fault, procedure: Procedure) -> None:
    with deploy(NAMED, evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(fault)
            outcome = d.run(procedure)
            assert outcome.ok, outcome
            d.heal()
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
        assert verdict.ok, verdict
        assert (d.active, d.dormant) == ("us-east-1", "emea")
