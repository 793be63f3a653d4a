"""A system that overcomes what was healed passes; what a fault excuses is no more than it broke."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.deployment import Deployment, deploy
from drharness.faults import ComponentKilled, DiskFull, LinkCut, StandbyCut, VmFrozen, VmRebooted
from drharness.faults.model import Fault
from drharness.topology import Topology

_READS, _WRITES = 60, 20


def _wait_reads(d: Deployment) -> None:
    until = len(d.history.reads) + _READS
    d.wait_until(lambda: len(d.history.reads) >= until, f"{_READS} more reads")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        ComponentKilled("active.framework-p.configserver"),
        LinkCut("region2-application-p", "active.framework", how="reset"),
        LinkCut("active.framework-p", "active.dbms"),
        StandbyCut(),
        DiskFull("active.dbms"),  # no refusal for want of room says anything of the data
        VmFrozen("active.framework-p"),
    ],
    ids=repr,
)
def test_a_run_whose_fault_was_healed_passes(tmp_path: Path, fault: Fault) -> None:
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            with d.inject(fault):
                _wait_reads(d)
            traffic.wait_writes(_WRITES, timeout=15.0)
            _wait_reads(d)
        verdict = d.judge()
    assert verdict.ok, str(verdict)
    assert {r.id for r in verdict.results if r.exercised} >= {"L1", "L2"}


@pytest.mark.slow
def test_a_database_behind_its_boot_rules_is_not_blamed(tmp_path: Path) -> None:
    """With ``boot-deny`` it is the fence that keeps writes out, until a procedure lets them in."""
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic(), d.inject(VmRebooted("active.dbms")):
            d.wait_until(lambda: not d.operations.canary("region1", "no", deadline=0.3)["ok"])
        verdict = d.judge()
    assert "L1" not in {r.id for r in verdict.results if r.exercised}
    assert verdict.ok, str(verdict)
