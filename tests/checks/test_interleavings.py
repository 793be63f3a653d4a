"""Mistakes that only an order of events reveals: their schedules, and some of them found."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks.registry import CHECKS
from drharness.deployment.pool import Pool
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import attempt
from drharness.selftest.interleavings import BY_ID, INTERLEAVINGS, Interleaving


def test_each_names_invariants_and_takes_several_events() -> None:
    known = {check.id for check in CHECKS}
    assert len(INTERLEAVINGS) == len(BY_ID) >= 6
    for one in INTERLEAVINGS:
        assert one.invariants
        assert set(one.invariants) <= known, one.id
        assert len(one.actions) >= 3, one.id


@pytest.mark.parametrize("one", INTERLEAVINGS, ids=lambda one: one.id)
def test_its_schedule_is_data_and_names_the_mistaken_component(one: Interleaving) -> None:
    assert Schedule.from_json(one.schedule.to_json()) == one.schedule
    assert one.schedule.topology.replaced == (
        (one.component, f"drharness.selftest.sequences:{one.id}"),
    )
    assert not one.control.topology.replaced
    assert one.control.actions == one.schedule.actions


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retrying", "skipping"])
def test_its_schedule_reveals_it(name: str, tmp_path: Path) -> None:
    one = BY_ID[name]
    with Pool(one.topology, evidence_dir=tmp_path, staged=0) as pool:
        trial = attempt(one.schedule, pool)
    assert set(trial.failed) & set(one.invariants), trial
