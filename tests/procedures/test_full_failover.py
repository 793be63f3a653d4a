"""The full failover on a real deployment: as shipped, and with every slip it must not forgive."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.checks.verdict import Judgement
from drharness.deployment import Deployment, deploy
from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.kernel.waiting import hold
from drharness.procedures import Outcome, Procedure
from drharness.topology import Topology

DOWN = faults.RegionDown("region1")
CUT = faults.RegionsCut("region1", "region2")


def drill(d: Deployment, fault: Fault, procedure: Procedure) -> tuple[Outcome, Judgement]:
    """Traffic, fault, procedure, verdict.

    Where the procedure failed clients go on until a proxy's time to reconnect (L3) is over.
    """
    with d.traffic():
        d.inject(fault)
        outcome = d.run(procedure)
        if not outcome.ok:
            hold(3.0 * d.topology.profile.retry + d.topology.ttl + 2.0)
    return outcome, d.judge()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DOWN, CUT], ids=repr)
@pytest.mark.parametrize("replication", ["sync", "async"])
def test_the_shipped_procedure_passes(tmp_path: Path, fault: Fault, replication: str) -> None:
    with deploy(Topology.guide(replication=replication), evidence_dir=tmp_path) as d:
        outcome, verdict = drill(d, fault, procedures.full_failover(to="region2"))
    assert verdict.ok, str(verdict)
    assert outcome.ok
    assert [s.id for s in outcome.steps] == [s.id for s in procedures.full_failover().steps]
    assert outcome.rto is not None
    assert 0.0 < outcome.rto < 8.0
    assert replication == "async" or not outcome.lost


@pytest.mark.slow
def test_failing_over_to_the_first_region_works_the_same_way_back(deployment: Deployment) -> None:
    """A second failover, to a region that is no replica, is refused and changes nothing."""
    outcome, _ = drill(deployment, DOWN, procedures.full_failover(to="region2"))
    assert outcome.ok
    back = deployment.run(procedures.full_failover(to="region1"))
    assert (back.status, back.step) == ("refused", "preflight")
    assert "region1" in back.text
    assert deployment.active == "region2"
    assert deployment.operations.canary("region2", "still", deadline=15.0)["ok"]


@pytest.mark.slow
def test_a_procedure_run_again_changes_nothing(deployment: Deployment) -> None:
    procedure = procedures.full_failover(to="region2")
    with deployment.traffic():
        deployment.inject(DOWN)
        first = deployment.run(procedure)
        epoch = deployment.operations.database_status("region2")["epoch"]
        second = deployment.run(procedure)
    assert (first.status, second.status) == ("ok", "ok"), second.text
    assert deployment.operations.database_status("region2")["epoch"] == epoch
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "variation", "invariants", "step"),
    [
        (DOWN, lambda p: p.without("promote"), {"P1", "L1", "S5"}, "start-framework"),
        (DOWN, lambda p: p.without("unblock"), {"P1", "L1"}, "start-framework"),
        (DOWN, lambda p: p.swapped("start-framework", "switch-names"), {"P1"}, ""),
        (DOWN, lambda p: p.without("switch-names"), {"P1", "L1", "L3"}, "flush"),
        (DOWN, lambda p: p.without("start-framework"), {"P1", "L1", "L3"}, "reconnect"),
        (DOWN, lambda p: p.without("flush"), {"P1"}, ""),
    ],
    ids=["no promote", "no unblock", "early names", "no names", "no start", "no flush"],
)
def test_a_slip_fails_and_names_the_invariant(
    deployment: Deployment,
    fault: Fault,
    variation: object,
    invariants: set[str],
    step: str,
) -> None:
    assert callable(variation)
    procedure = variation(procedures.full_failover(to="region2"))
    outcome, verdict = drill(deployment, fault, procedure)
    assert set(verdict.failed) == invariants, str(verdict)
    assert outcome.step == step, outcome.text


@pytest.mark.slow
def test_without_the_fence_two_masters_write_to_two_databases(tmp_path: Path) -> None:
    """The old one stays on a database whose epoch is over (S2), which it reaches (S5).

    Asynchronous: with synchronous replication its commits hang, and it may give up before the new
    one is there.
    """
    procedure = procedures.full_failover(to="region2", max_lag_s=60).without("fence")
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        outcome, verdict = drill(d, CUT, procedure)
    assert outcome.ok, outcome.text
    assert set(verdict.failed) == {"S1", "S2", "S3", "S5", "P1"}, str(verdict)


@pytest.mark.slow
def test_the_procedure_refuses_when_there_is_nothing_to_promote(deployment: Deployment) -> None:
    deployment.operations.power_off("region2-dbms", cause="test")
    outcome = deployment.run(procedures.full_failover(to="region2"))
    assert (outcome.status, outcome.step) == ("refused", "preflight")
    assert "region2" in outcome.text
    assert deployment.operations.is_on("region1-dbms")
    assert deployment.operations.canary("region1", "alive", deadline=0.5)["write"]["type"] != "fail"


def test_variations_are_values_that_print_as_code() -> None:
    shipped = procedures.full_failover(to="region2")
    varied = shipped.without("flush").swapped("fence", "promote")
    assert eval(repr(varied)) == varied
    assert [s.id for s in shipped.steps][1:3] == ["fence", "promote"]
    assert [s.id for s in varied.steps][1:3] == ["promote", "fence"]


def test_an_unknown_step_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"step: expected one of .*got 'promot'.*'promote'"):
        procedures.full_failover().without("promot")
