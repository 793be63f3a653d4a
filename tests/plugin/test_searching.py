"""Searches in a suite: schedules for ``@given``, state machines, and both with pytest-xdist."""

from __future__ import annotations

import re

import pytest

from drharness.schedule.schedule import Schedule
from tests.plugin.conftest import Run

SUITE = """
from hypothesis import given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from drharness.faults import RegionsCut
from drharness.schedule import Finish, Inject, ProcedureUse, Schedule, Slip
from drharness.search.drills import SETTINGS
from drharness.search.machine import DrMachine
from drharness.search.strategies import schedules
import hypothesis.strategies as st

UNFENCED = ProcedureUse(slips=(Slip("without", "fence"),))
BAD = Schedule((Inject(RegionsCut()), Finish()), UNFENCED)
"""
GOOD = """
@seed(1)
@settings(SETTINGS, max_examples=1, database=None)
@given(schedule=schedules(most=3))
def test_drawn(dr_lab, schedule):
    trial = dr_lab.attempt(schedule)
    assert trial.ok, trial
"""
PLANTED = """
tried = []

@settings(SETTINGS, database=DirectoryBasedExampleDatabase("examples"))
@given(schedule=st.just(BAD))
def test_given(dr_lab, schedule):
    trial = dr_lab.attempt(schedule)
    tried.append(trial.run)
    assert trial.ok, trial

def test_it_was_printed_without_being_tried_once_more():
    assert len(tried) == 2
    assert len(set(tried)) == 1
"""
MACHINE = """
class Unfenced(DrMachine):
    procedure = UNFENCED
    faults = (RegionsCut(),)

    def disasters(self):
        return [RegionsCut()]

def test_machine(dr_lab):
    dr_lab.run(Unfenced, settings(SETTINGS, max_examples=3, derandomize=True, database=None))
"""


@pytest.mark.slow
def test_a_planted_slip_is_found_by_given_and_by_a_machine_in_two_workers(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(
        test_good=SUITE + GOOD, test_planted=SUITE + PLANTED, test_machine=SUITE + MACHINE
    )
    result = run("-n", "2", "--dist", "loadfile", "-v")
    result.assert_outcomes(passed=2, failed=2)
    text = result.stdout.str()
    assert text.count("FAIL S1 ") >= 2
    assert "Flaky" not in text
    assert "FailedHealthCheck" not in text
    assert "schedule=Schedule(" in text  # the falsifying example
    assert "state.inject(" in text or "state.disaster(fault=RegionsCut(" in text
    files = set(re.findall(r"again: drharness replay (\S+?schedule\.json)", text))
    assert len(files) == 2
    for file in files:
        schedule = Schedule.load(suite.path / file)
        assert schedule.procedure.slips
        assert (suite.path / file).with_name("history.jsonl").exists()
    assert any((suite.path / "examples").iterdir())
