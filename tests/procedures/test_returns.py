"""Region 1 comes back by itself, at any moment of the failover: fenced as it boots, or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.checks.verdict import Judgement
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology

DOWN = faults.RegionDown("region1")
FAILOVER = procedures.full_failover(to="region2")

pytestmark = pytest.mark.slow


def returning(d: Deployment, before: str) -> Judgement:
    """A failover during which region 1 is powered on before a step; "" is after the end."""
    with d.traffic() as traffic:
        guard = d.inject(DOWN)
        run = d.begin(FAILOVER)
        while not run.done:
            if run.following == before:
                guard.heal()
            run.next()
        guard.heal()
        outcome = run.outcome()
        assert outcome.ok, outcome.text
        traffic.wait_writes(20, timeout=d.topology.profile.rto_bound)
    return d.judge()


@pytest.mark.parametrize("before", ["fence", "promote", "start-framework", ""])
def test_a_region_that_returns_shut_out_does_no_harm(deployment: Deployment, before: str) -> None:
    verdict = returning(deployment, before)
    assert verdict.ok, str(verdict)


def test_a_region_that_returns_open_is_a_second_master(tmp_path: Path) -> None:
    with deploy(Topology.guide(return_fence="none"), evidence_dir=tmp_path) as d:
        verdict = returning(d, "")
    assert {"S1", "S3"} <= set(verdict.failed), str(verdict)


def test_a_former_primary_that_came_back_is_not_promoted_again(deployment: Deployment) -> None:
    """It is writable and answers, but it is behind: taking it would lose all since then."""
    with deployment.traffic():
        deployment.inject(DOWN)
        assert deployment.run(FAILOVER).ok
        deployment.heal()
        deployment.operations.database("region1", "server:wait_accepting", timeout=10.0)
        back = deployment.run(procedures.full_failover(to="region1"))
    assert (back.status, back.step) == ("refused", "preflight")
    assert "it was the primary on timeline 1" in back.text
    assert deployment.active == "region2"
    assert deployment.operations.canary("region2", "still", deadline=5.0)["ok"]
