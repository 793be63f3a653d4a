"""A schedule that is played for one failure only ends once that is certain, and is judged alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.deployment import Pool
from drharness.faults import RegionDown
from drharness.schedule.actions import Finish, Inject
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import attempt
from drharness.topology import Topology

LOST = (Inject(RegionDown("active")), Finish())
# How long a step waits for its effect, so how long each run of a procedure takes that never ends.
HASTY = Topology.guide().tuned(rto_bound=3.0)


@pytest.mark.slow
def test_a_procedure_that_has_failed_for_good_is_not_run_on_and_on(tmp_path: Path) -> None:
    shut_out = ProcedureUse(slips=(Slip("without", "unblock"),))
    with Pool(HASTY, evidence_dir=tmp_path, staged=0) as pool:
        trial = attempt(Schedule(LOST, shut_out, HASTY), pool, enough="L1")
    assert "L1" in trial.failed
    assert [run.status for run in trial.play.runs] == ["fail", "fail"]
    assert trial.play.settled.text.startswith("L1 failed")
