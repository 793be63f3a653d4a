"""Real mistakes, made with an operator's own tools: each trips the one check it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.checks.verdict import Judgement
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology, addresses

pytestmark = pytest.mark.slow


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A fresh deployment, synchronous and fast."""
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        yield d


def failed(verdict: Judgement) -> set[str]:
    """Ids of the invariants that failed."""
    return {f.invariant for f in verdict.findings if str(f.verdict) == "FAIL"}


def test_a_standby_whose_rule_was_deleted_breaks_the_fence_matrix(deployment: Deployment) -> None:
    rule = ["-p", "tcp", "--dport", "5432", "--src", addresses.subnet(1, "framework")]
    deployment.vm("region2-dbms").run(["iptables", "-D", "INPUT", *rule, "-j", "REJECT"])
    verdict = deployment.judge()
    assert failed(verdict) == {"S5"}, str(verdict)
    assert "no way from the Framework of region1 to the database of region2" in str(verdict)


def test_a_rebooted_standby_without_return_fence_is_open(tmp_path: Path) -> None:
    with deploy(Topology.guide(return_fence="none"), evidence_dir=tmp_path) as d:
        d.operations.reboot("region2-dbms", cause="test")
        seen = {e["phase"]: e["res"] for e in d.history.of_kind("reach") if e.get("phase")}
        verdict = d.judge()
    assert seen["reboot"] == "ok"
    assert failed(verdict) == {"S5"}, str(verdict)
