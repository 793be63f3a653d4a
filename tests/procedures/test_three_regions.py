"""Three regions: either of the others takes over, and the third one follows it from then on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.errors import UsageError
from drharness.procedures import Outcome
from drharness.procedures.lag import received
from drharness.topology import Topology

REGIONS = ("east", "west", "north")
TO_WEST = procedures.full_failover(to="west", regions=3)


def seen_by(outcome: Outcome, step: str) -> Mapping[str, Any]:
    """What proved that a step was done."""
    assert outcome.ok, outcome
    return next(s.seen for s in outcome.steps if s.id == step)


def failed_over(d: Deployment, to: str) -> Outcome:
    """The active region is lost and another takes over; it works there."""
    with d.traffic() as traffic:
        d.inject(faults.RegionDown("active"))
        outcome = d.run(procedures.full_failover(to=to))
        assert outcome.ok, outcome
        traffic.wait_writes(20, timeout=20)
    assert d.active == to
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("replication", ["sync", "async"])
def test_two_regions_are_lost_one_after_the_other(tmp_path: Path, replication: str) -> None:
    """Nothing that counts is lost; neither of the two is taken for a replica when it is back."""
    topology = Topology.guide(replication=replication, regions=REGIONS)
    with deploy(topology, evidence_dir=tmp_path) as d:
        first = failed_over(d, "north")
        assert seen_by(first, "follow")["following"].keys() == {"west"}
        waits = 'FIRST 1 ("west")' if replication == "sync" else ""
        assert d.operations.database_status("north")["sync_names"] == waits
        acknowledged = [w for w in d.history.writes if w.type == "ok"]
        assert d.operations.database_status("west")["epoch"] == acknowledged[-1].epoch
        second = failed_over(d, "west")
        assert seen_by(second, "follow")["left"].keys() == {"east"}
        assert replication == "async" or not (first.lost or second.lost)
        verdict = d.judge()
        assert verdict.ok, verdict
        d.heal()
        for region in ("east", "north"):
            d.operations.database(region, "server:wait_accepting", timeout=10.0)
            back = d.run(procedures.full_failover(to=region))
            assert (back.status, back.step) == ("refused", "preflight")
            assert f"{region} is no replica" in back.text
        assert d.operations.canary("west", "still", deadline=5.0)["ok"]


@pytest.mark.slow
def test_the_promoted_region_gets_what_another_has_before(tmp_path: Path) -> None:
    """It was cut off before its active region was: the third has more, and follows all the same."""
    with deploy(Topology.guide(regions=REGIONS), evidence_dir=tmp_path) as d:

        def is_ahead() -> bool:
            west, north = (d.operations.database_status(r) for r in ("west", "north"))
            return received(north) > received(west)

        with d.traffic() as traffic:
            d.inject(faults.RegionsCut("east", "west"))
            d.wait_until(is_ahead, "a change in north that west lacks")
            outcome = d.run(TO_WEST)
            assert seen_by(outcome, "promote")["caught_up"] == {"north": "all of it"}
            assert seen_by(outcome, "follow")["following"].keys() == {"north"}
            traffic.wait_writes(20, timeout=20)
            d.heal()
        verdict = d.judge()
    assert verdict.ok, verdict
    assert not outcome.lost


@pytest.mark.slow
def test_an_old_primary_that_comes_back_early_gets_no_standby(tmp_path: Path) -> None:
    """The third region has turned to the new one by then: else it would have what that lacks."""
    with deploy(Topology.guide(regions=REGIONS), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            guard = d.inject(faults.RegionDown("active"))
            run = d.begin(TO_WEST)
            while run.following != "unblock":
                run.next()
            guard.heal()
            d.operations.database("east", "server:wait_accepting", timeout=10.0)
            assert d.operations.database_status("east")["senders"] == []
            while not run.done:
                run.next()
            assert seen_by(run.outcome(), "follow")["following"].keys() == {"north"}
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
    assert verdict.ok, verdict


@pytest.mark.slow
def test_a_standby_that_was_left_behind_is_not_promoted(tmp_path: Path) -> None:
    """It would lose all since; the procedure, run again, lets it follow."""
    with deploy(Topology.guide(regions=REGIONS), evidence_dir=tmp_path) as d:
        with pytest.raises(UsageError, match="to: east is the active region already; expected one"):
            d.run(procedures.full_failover(to="east"))
        with d.traffic() as traffic:
            d.inject(faults.RegionDown("active"))
            assert d.run(TO_WEST.without("follow")).ok
            refused = d.run(procedures.full_failover(to="north"))
            assert (refused.status, refused.step) == ("refused", "preflight")
            assert "it is not waited for by its commits. The step follow is due." in refused.text
            assert seen_by(d.run(TO_WEST), "follow")["following"].keys() == {"north"}
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
    assert set(verdict.failed) == {"P1"}, verdict
    assert "full_failover does step follow" in str(verdict)


@pytest.mark.slow
def test_a_framework_moves_to_a_third_region_and_its_database_to_another(tmp_path: Path) -> None:
    """The database stays in east, the Framework moves to west; then both move to north."""
    with deploy(Topology.guide(regions=REGIONS), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(faults.VmDown("active.framework"))
            moved = d.run(procedures.framework_failover(to="west", database="stay"))
            assert moved.ok, moved
            outcome = d.run(procedures.full_failover(to="north"))
            assert {"east-dbms", "west-framework-p"} <= set(seen_by(outcome, "fence")["off"])
            traffic.wait_writes(20, timeout=20)
        verdict = d.judge()
    assert verdict.ok, verdict


def test_the_step_is_one_of_a_procedure_for_three_regions() -> None:
    for name, procedure in procedures.BY_NAME.items():
        two, three = procedure(to="west"), procedure(to="west", regions=3)
        assert [s.id for s in three.steps] == [*(s.id for s in two.steps), "follow"], name
        assert eval(repr(three), {"procedures": procedures}) == three
    stays = procedures.framework_failover(to="west", database="stay", regions=3)
    assert "follow" not in [s.id for s in stays.steps]
    with pytest.raises(UsageError, match=r"regions: expected a whole number from 2 to 5, got 6"):
        procedures.full_failover(to="west", regions=6)
