"""Failovers of a part, the Framework or the database: as shipped, and with what they must not do.

Every test has a deployment of its own: a failover cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.procedures import Procedure
from drharness.topology import Topology

FRAMEWORK = faults.VmDown("active.framework")
DBMS = faults.VmDown("active.dbms")
MOVE = procedures.framework_failover(to="region2")
STAY = procedures.framework_failover(to="region2", database="stay")
ONLY_DBMS = procedures.dbms_failover(to="region2")


def master(d: Deployment, region: str) -> tuple[str, str]:
    """Role and database of a region's first Configuration Server."""
    status = d.operations.component_status(f"{region}-framework-p.configserver")
    return status["role"], status["db"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "procedure", "replication", "place"),
    [
        (FRAMEWORK, MOVE, "async", ("region2", "region2")),
        (FRAMEWORK, STAY, "sync", ("region2", "region1")),
        (DBMS, ONLY_DBMS, "sync", ("region1", "region2")),
        (DBMS, ONLY_DBMS, "async", ("region1", "region2")),
    ],
    ids=["move async", "stay sync", "dbms sync", "dbms async"],
)
def test_as_shipped_it_passes_and_once_more_changes_nothing(
    tmp_path: Path, fault: Fault, procedure: Procedure, replication: str, place: tuple[str, str]
) -> None:
    framework, database = place
    with deploy(Topology.guide(replication=replication), evidence_dir=tmp_path) as d:
        with d.traffic():
            d.inject(fault)
            first = d.run(procedure)
            epoch = d.operations.database_status(database)["epoch"]
            second = d.run(procedure)
        assert (first.status, second.status) == ("ok", "ok"), first.text or second.text
        assert d.operations.database_status(database)["epoch"] == epoch
        assert master(d, framework) == ("primary", database)
        assert (d.active, d.operations.framework) == (database, framework)
        verdict = d.judge()
    assert verdict.ok, str(verdict)
    assert not first.lost
    assert first.rto is not None
    assert 0.0 < first.rto < 8.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "procedure", "invariants"),
    [
        (FRAMEWORK, STAY.without("repoint"), {"P1", "L1"}),
        (FRAMEWORK, STAY.without("fence"), {"P1"}),
        (DBMS, ONLY_DBMS.without("repoint"), {"P1", "L1"}),
        (DBMS, ONLY_DBMS.without("unblock"), {"P1", "L1"}),
        (FRAMEWORK, MOVE.without("fence"), {"P1"}),
    ],
    ids=["stay no repoint", "stay no fence", "dbms no repoint", "dbms no unblock", "move no fence"],
)
def test_a_slip_fails_and_is_named(
    tmp_path: Path, fault: Fault, procedure: Procedure, invariants: set[str]
) -> None:
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic():
            d.inject(fault)
            d.run(procedure)
        verdict = d.judge()
    assert set(verdict.failed) >= invariants, str(verdict)


@pytest.mark.slow
def test_each_refuses_what_is_not_its_own_and_changes_nothing(tmp_path: Path) -> None:
    def refusal(procedure: Procedure) -> str:
        outcome = d.run(procedure)
        assert (outcome.status, outcome.step) == ("refused", "preflight")
        return outcome.text

    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        for procedure in (MOVE, STAY):
            assert "region1-framework-p.configserver is primary and serves" in refusal(procedure)
        assert "works on region1's database: it is not down" in refusal(ONLY_DBMS)
        guards = [d.inject(FRAMEWORK)]
        assert "the Framework of region1 is down, too" in refusal(ONLY_DBMS)
        guards.append(d.inject(DBMS))
        assert "the database of region1 cannot be asked" in refusal(STAY)
        assert d.active == d.operations.framework == "region1"
        assert all(not g.healed for g in guards)


@pytest.mark.slow
def test_a_database_that_the_framework_could_not_reach_is_refused(tmp_path: Path) -> None:
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        d.inject(FRAMEWORK)
        d.inject(faults.RegionsCut("region1", "region2"))
        stay = d.run(STAY)
        assert (stay.status, stay.step) == ("refused", "preflight")
        assert "region2's Framework is cut off from the database of region1." in stay.text
        d.operations.power_on("region1-framework-p", cause="test")
        dbms = d.run(ONLY_DBMS)
        assert (dbms.status, dbms.step) == ("refused", "preflight")
        assert "region1's Framework is cut off from the database of region2." in dbms.text
        assert d.active == d.operations.framework == "region1"


@pytest.mark.slow
def test_a_database_is_not_replaced_while_a_master_cannot_say_what_it_believes(
    tmp_path: Path,
) -> None:
    """Stopped where it was, it would go on as the master of a database that is no longer active."""
    frozen = faults.ComponentFrozen("active.framework-p.configserver")
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic():
            d.inject(DBMS)
            with d.inject(frozen):
                refused = d.run(ONLY_DBMS)
            done = d.run(ONLY_DBMS)
        verdict = d.judge()
    assert (refused.status, refused.step) == ("refused", "preflight")
    assert "region1-framework-p.configserver runs and does not answer" in refused.text
    assert done.ok, done.text
    assert verdict.ok, str(verdict)


@pytest.mark.slow
def test_the_whole_region_may_follow_its_database(tmp_path: Path) -> None:
    """With the database gone over and the Framework behind, a full failover moves the rest."""
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic():
            d.inject(DBMS)
            assert d.run(ONLY_DBMS).ok
            d.inject(faults.VmDown("active.framework"))
            outcome = d.run(MOVE)
        assert outcome.ok, outcome.text
        assert master(d, "region2") == ("primary", "region2")
        verdict = d.judge()
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize(
    "make", [procedures.framework_failover, procedures.dbms_failover], ids=["framework", "dbms"]
)
def test_they_print_as_code(make: Callable[..., Procedure]) -> None:
    varied = make(to="region2", max_lag_s=3.0).without("unblock")
    assert eval(repr(varied)) == varied
    assert eval(repr(STAY)) == STAY
    assert "database='stay'" in repr(STAY)


def test_what_cannot_matter_is_refused() -> None:
    with pytest.raises(UsageError, match="database: expected 'move' with fence, force"):
        procedures.framework_failover(database="stay", force=True)
    with pytest.raises(UsageError, match="database: expected one of move, stay, got 'go'"):
        procedures.framework_failover(database="go")
