"""What is refused changes nothing; what is forced past a refusal is recorded as the cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology
from tests.procedures.drills import state_of, writes_since

DOWN = faults.RegionDown("region1")
CUT = faults.RegionsCut("region1", "region2")
FAILOVER = procedures.full_failover(to="region2")
BY_FIREWALL = procedures.full_failover(to="region2", fence="firewall")
LAG = r"region2's database lacks \d+ bytes, the oldest [\d.]+ s old .*; at most 1 s may be lost"

pytestmark = pytest.mark.slow


@pytest.fixture
def unsynchronized(tmp_path: Path) -> Iterator[Deployment]:
    """A fresh deployment whose commits do not wait for the standby."""
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        yield d


def falls_behind(d: Deployment, seconds: float) -> None:
    """Cut the standby off, and let writes be acknowledged that long without it."""
    since = d.inject(faults.StandbyCut()).receipt.proven

    def long_enough() -> bool:
        acked = writes_since(d, since, "ok")
        return bool(acked) and acked[-1].done - acked[0].done > seconds * 1e9

    d.wait_until(long_enough, f"{seconds} s of writes that the standby lacks", timeout=30.0)


def test_a_standby_too_far_behind_is_refused_and_can_be_forced(
    unsynchronized: Deployment,
) -> None:
    d = unsynchronized
    with d.traffic():
        falls_behind(d, 1.5)
        d.inject(DOWN)
        before = state_of(d)
        refused = d.run(FAILOVER)
        assert (refused.status, refused.step) == ("refused", "preflight"), refused.text
        assert re.search(LAG, refused.text), refused.text
        assert state_of(d) == before
        by_bytes = d.run(procedures.full_failover(max_lag_s=60, max_lag_bytes=100))
        assert "at most 100 may be lost" in by_bytes.text
        forced = d.run(procedures.full_failover(to="region2", force=True))
    assert forced.ok, forced.text
    assert forced.lost
    gate = forced.steps[0].seen
    assert gate["forced"]
    assert gate["lag_s"] > 1.0
    assert gate["lag_bytes"] > 0
    assert re.search(LAG, d.history.plans[-1].events[-1]["forced"]["preflight"])
    verdict = d.judge()
    assert verdict.ok, str(verdict)  # what a standby that was away lacks is told, and no bug


def test_with_synchrony_a_standby_that_was_cut_off_lacks_nothing(deployment: Deployment) -> None:
    with deployment.traffic():
        deployment.inject(faults.StandbyCut())
        since = deployment.history.events[-1].t
        deployment.wait_until(lambda: writes_since(deployment, since, "info"), "a write given up")
        deployment.inject(DOWN)
        outcome = deployment.run(FAILOVER)
    assert outcome.ok, outcome.text
    assert outcome.steps[0].seen["sync"]
    assert not outcome.lost
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_without_proof_of_the_fence_nothing_is_promoted(deployment: Deployment) -> None:
    """Both sides go on; the same run succeeds once the management answers."""
    with deployment.traffic():
        management = deployment.inject(faults.ManagementCut("region1"))
        deployment.inject(CUT)
        before = state_of(deployment)
        refused = deployment.run(FAILOVER)
        assert (refused.status, refused.step) == ("refused", "fence"), refused.text
        assert "no proof that region1-dbms is off" in refused.text
        assert "management of region1 does not answer" in refused.text
        assert state_of(deployment) == before
        deployment.heal()
        assert management.healed
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_a_forced_failover_without_a_fence_makes_two_primaries(
    unsynchronized: Deployment,
) -> None:
    """Without synchrony the old master has no standby to wait for, and goes on."""
    deployment = unsynchronized
    with deployment.traffic():
        deployment.inject(faults.ManagementCut("region1"))
        deployment.inject(CUT)
        outcome = deployment.run(procedures.full_failover(to="region2", force=True))
    assert outcome.ok, outcome.text
    assert outcome.steps[1].seen["forced"]
    end = deployment.history.plans[0].events[-1]
    assert "no proof that region1-dbms is off" in end["forced"]["fence"]
    verdict = deployment.judge()
    assert {"S1", "S3"} <= set(verdict.failed), str(verdict)


def test_a_fence_by_firewall_works_where_the_old_database_can_be_reached(
    deployment: Deployment,
) -> None:
    with deployment.traffic():
        deployment.inject(faults.VmDown("active.framework"))
        outcome = deployment.run(BY_FIREWALL)
    assert outcome.ok, outcome.text
    proof = outcome.steps[1].seen
    assert proof["commands"]
    assert proof["write"] != "ok"
    assert deployment.operations.is_on("region1-dbms")
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_a_fence_by_firewall_is_refused_where_it_cannot_be_set(deployment: Deployment) -> None:
    """The out-of-band one then does it."""
    with deployment.traffic():
        for fault, text in (
            (CUT, "region1-dbms is fenced: region2 is cut off from it"),
            (DOWN, "region1-dbms stays off: its firewall cannot be set"),
        ):
            deployment.heal()
            deployment.inject(fault)
            before = state_of(deployment)
            refused = deployment.run(BY_FIREWALL)
            assert (refused.status, refused.step) == ("refused", "fence"), refused.text
            assert text in refused.text
            assert state_of(deployment) == before
        assert deployment.run(FAILOVER).ok
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)
