"""A run taken step by step, with every step done twice and one of them late."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import deploy
from drharness.errors import UsageError

FAILOVER = procedures.full_failover(to="region2")
STEPS = [s.id for s in FAILOVER.steps]


@pytest.mark.slow
def test_steps_done_twice_and_a_late_one_do_no_harm(tmp_path: Path) -> None:
    slow = FAILOVER.delayed("flush", 0.5)
    for step in STEPS:
        slow = slow.repeated(step)
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(faults.RegionDown("region1"))
            run = d.begin(slow)
            taken = [run.following]
            while not run.done:
                run.next()
                taken.append(run.following)
            outcome = run.outcome()
            traffic.wait_writes(10, timeout=20.0)
        verdict = d.judge()
    assert outcome.ok, outcome.text
    assert taken == [*(s for step in STEPS for s in (step, step)), ""]
    with pytest.raises(UsageError, match="this run is over"):
        run.next()
    assert verdict.ok, str(verdict)
