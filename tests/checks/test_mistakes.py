"""A real mistake on a real deployment trips the check that is for it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks.verdict import Judgement
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology

pytestmark = pytest.mark.slow
HERE = "tests.checks.mistakes"


def failed(verdict: Judgement) -> set[str]:
    """Ids of the invariants that failed."""
    return {f.invariant for f in verdict.findings if str(f.verdict) == "FAIL"}


def write_one_by_one(d: Deployment, region: str, count: int) -> None:
    """Changes of one object, each in the proxy before the next."""
    proxy = f"{region}-application-p.csproxy"
    for n in range(1, count + 1):
        d.operations.canary(region, f"v{n}", deadline=1.0)
        d.wait_until(
            lambda n=n: d.operations.component_status(proxy)["seq"] >= n,  # type: ignore[misc]
            f"change {n} in {proxy}",
        )


def test_a_standby_promoted_beside_a_living_master_is_a_role_mismatch(tmp_path: Path) -> None:
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.operations.database("region2", "promotion:promote", token="beside", plan=1)
            traffic.wait_writes(60, timeout=20.0)
        verdict = d.judge()
    assert failed(verdict) == {"S2"}, str(verdict)
    assert "though epoch beside was opened on region2 before" in str(verdict)


def test_a_proxy_that_writes_behind_breaks_the_ack_chain(tmp_path: Path) -> None:
    topology = Topology.guide().replace("csproxy", f"{HERE}:eager_proxy")
    with deploy(topology, evidence_dir=tmp_path) as d:
        write_one_by_one(d, "region1", 3)
        verdict = d.judge()
    assert failed(verdict) == {"S8"}, str(verdict)
    assert "were told ok before a master acknowledged them" in str(verdict)
