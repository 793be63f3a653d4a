"""The plan of a criticality table, and what trials of a cell come to, judged from histories."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from drharness.checks.verdict import Verdict
from drharness.errors import EngineLost, Unsupported, UsageError
from drharness.faults import ControllerKilled, RegionDown, RegionsCut, VmDown
from drharness.procedures import BY_NAME
from drharness.schedule.actions import Crash, Finish, Inject, Next
from drharness.schedule.outcome import Acted
from drharness.schedule.procedure import Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial
from drharness.search.critical_table import INTACT, SLIPS, Judged, Outcome
from drharness.search.criticality import (
    Cell,
    Plan,
    Seen,
    examine,
    judged,
    majority,
    seen,
)
from drharness.search.shrink import Rule
from tests.search.trials import trial

FAULT = VmDown("dormant.dbms")
DOWN = Inject(RegionDown("active"))
ONCE, TWICE = Rule(1, 1), Rule(2, 3)
PASS, UNCLEAR = Seen(Verdict.PASS), Seen(Verdict.UNKNOWN, text="no rest")


def fail(*ids: str) -> Seen:
    return Seen(Verdict.FAIL, ids)


def cell(plan: Plan, step: str, slip: str, *, beside: bool = False) -> Cell:
    (found,) = (c for c in plan.cells if (c.step, c.slip, bool(c.fault)) == (step, slip, beside))
    return found


@pytest.mark.parametrize("name", BY_NAME)
def test_every_step_has_every_slip_alone_and_with_the_fault(name: str) -> None:
    plan = Plan(name, faults=(FAULT, FAULT))
    steps = [step.id for step in BY_NAME[name]().steps]
    wanted = itertools.product((None, FAULT), steps, (INTACT, *SLIPS))
    assert [(c.fault, c.step, c.slip) for c in plan.cells] == list(wanted)
    assert len({str(c) for c in plan.cells}) == len(plan.cells)
    assert {c.schedule.procedure.name for c in plan.cells} == {name}
    assert all(c.schedule.actions[0] == Inject(plan.breaks) for c in plan.cells)


def test_only_chosen_steps_and_slips_are_tried_in_the_procedures_order() -> None:
    plan = Plan(steps=("promote", "fence"), slips=("swapped", "skipped"))
    assert [(c.step, c.slip) for c in plan.cells] == [
        *(("fence", slip) for slip in (INTACT, "skipped", "swapped")),
        *(("promote", slip) for slip in (INTACT, "skipped", "swapped")),
    ]


@pytest.mark.parametrize(
    ("slip", "slips"),
    [
        (INTACT, ()),
        ("skipped", (Slip("without", "promote"),)),
        ("repeated", (Slip("repeated", "promote"),)),
        ("delayed", (Slip("delayed", "promote", seconds=4.0),)),
        ("swapped", (Slip("swapped", "promote", "unblock"),)),
    ],
)
def test_a_slip_is_the_procedures_own_variation(slip: str, slips: tuple[Slip, ...]) -> None:
    plan = Plan(faults=(FAULT,))
    alone = cell(plan, "promote", slip).schedule
    beside = cell(plan, "promote", slip, beside=True).schedule
    assert alone.procedure.slips == beside.procedure.slips == slips
    assert alone.actions == (DOWN, Finish())
    assert beside.actions == (DOWN, Next(2), Inject(FAULT), Finish())


def test_an_interrupted_step_is_begun_cut_off_and_run_again() -> None:
    plan = Plan(faults=(FAULT,), call=3)
    assert cell(plan, "preflight", "interrupted").schedule.actions == (DOWN, Crash(3), Finish())
    assert cell(plan, "promote", "interrupted", beside=True).schedule.actions == (
        *(DOWN, Next(2), Inject(FAULT), Crash(3), Finish()),
    )


def test_the_last_step_is_swapped_with_the_one_before_it() -> None:
    plan = Plan(faults=(FAULT,))
    for beside in (False, True):
        last, before = (
            cell(plan, step, "swapped", beside=beside).schedule for step in ("reconnect", "flush")
        )
        assert last == before
        assert last.procedure.slips == (Slip("swapped", "flush", "reconnect"),)


def test_a_late_step_outlasts_every_timer_unless_it_is_told() -> None:
    profile = Plan().topology.profile
    assert Plan().pause > max(profile.ttl, profile.alive_timeout)
    assert Plan(delay=0.5).pause == 0.5


def test_another_disaster_takes_the_place_of_the_usual_one() -> None:
    assert Plan(disaster=RegionsCut()).cells[0].schedule.actions[0] == Inject(RegionsCut())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"procedure": "ful-failover"}, "Did you mean 'full-failover'"),
        ({"steps": ("fance",)}, "Did you mean 'fence'"),
        ({"slips": ("skiped",)}, "Did you mean 'skipped'"),
        ({"call": 0}, "call: expected a whole number from 1"),
        ({"delay": -1.0}, "delay: expected a number from 0"),
        ({"faults": (ControllerKilled(),)}, "expected one that can be injected"),
    ],
)
def test_a_plan_that_cannot_be_tried_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Plan(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trials", "outcome", "broken", "rare"),
    [
        ([PASS], Outcome.SAFE, "", ""),
        ([fail("S1"), fail("S1", "L1")], Outcome.BROKEN, "S1", "L1"),
        ([fail("S1"), PASS, fail("S1")], Outcome.BROKEN, "S1", ""),
        ([fail("L1"), PASS, fail("S1")], Outcome.BROKEN, "L1 S1", ""),
        ([fail("L1"), PASS, PASS], Outcome.SAFE, "", "L1"),
        ([UNCLEAR, PASS, PASS], Outcome.SAFE, "", ""),
        ([fail("L1"), UNCLEAR, PASS], Outcome.UNKNOWN, "", "L1"),
        ([UNCLEAR, UNCLEAR, UNCLEAR], Outcome.UNKNOWN, "", ""),
    ],
)
def test_broken_is_what_fails_in_most_trials(
    trials: list[Seen], outcome: Outcome, broken: str, rare: str
) -> None:
    said = judged(Plan().cells[0], trials, TWICE)
    assert (said.outcome, " ".join(said.broken), " ".join(said.rare)) == (outcome, broken, rare)
    assert (said.failed, said.tried) == (
        sum(t.verdict is Verdict.FAIL for t in trials),
        len(trials),
    )


def test_more_than_half_of_the_trials_count() -> None:
    assert [majority(n) for n in (1, 2, 3, 5)] == [Rule(1, 1), Rule(2, 2), Rule(2, 3), Rule(3, 5)]
    with pytest.raises(UsageError, match="--repeats: expected a whole number from 1"):
        majority(0)


def test_what_was_not_tried_as_planned_says_nothing() -> None:
    one = cell(Plan(faults=(FAULT,)), "promote", "skipped", beside=True)
    said = seen(one, trial(one.schedule, "bad_p1_flush_skipped", skipped=3))
    assert (said.verdict, said.failed, said.final) == (Verdict.UNKNOWN, (), True)
    assert said.text == "action 3. vm-down dormant.dbms: skipped: why"


def test_a_controller_that_died_in_another_step_says_nothing() -> None:
    one = cell(Plan(), "promote", "interrupted")
    went = trial(one.schedule, "good_sync")
    crash = Acted(3, Crash(1), "ok", "", 0, 1, step="preflight")
    acts = (*went.play.acts[:2], crash, went.play.acts[3])
    assert seen(one, went).verdict is Verdict.PASS
    said = seen(one, replace(went, play=replace(went.play, acts=acts)))
    assert (said.verdict, said.final) == (Verdict.UNKNOWN, True)


def test_a_failed_end_of_a_slipped_procedure_is_no_reason_to_doubt() -> None:
    one = cell(Plan(), "promote", "skipped")
    went = trial(one.schedule, "bad_p1_flush_skipped")
    end = Acted(2, Finish(), "fail", "no database", 0, 1, step="unblock")
    acts = (went.play.acts[0], end)
    assert seen(one, replace(went, play=replace(went.play, acts=acts))).failed == ("P1",)


def test_cells_of_one_schedule_share_its_trials() -> None:
    tried: list[Schedule] = []

    def passes(schedule: Schedule) -> Trial:
        tried.append(schedule)
        return trial(schedule, "good_sync")

    plan = Plan(steps=("flush", "reconnect"), slips=("swapped",))
    rows = list(examine(plan, passes))
    assert len(tried) == 2
    assert {(r.step, r.slip): r.outcome for r in rows} == {
        (c.step, c.slip): Outcome.SAFE for c in plan.cells
    }
    assert plan.table(rows).complete


def test_a_failure_is_tried_again_and_a_pass_is_not() -> None:
    tried: list[Schedule] = []

    def skipped_fails(schedule: Schedule) -> Trial:
        tried.append(schedule)
        slipped = schedule.procedure.slips
        return trial(schedule, "bad_p1_flush_skipped" if slipped else "good_sync")

    rows = list(examine(Plan(steps=("flush",), slips=("skipped",)), skipped_fails))
    found = {r.slip: (r.broken, r.failed, r.tried) for r in rows}
    assert found == {INTACT: ((), 0, 1), "skipped": (("P1",), 2, 2)}
    assert len(tried) == 3


def test_a_lost_deployment_is_tried_again() -> None:
    turns = iter([True, False, False])

    def lost(schedule: Schedule) -> Trial:
        if next(turns):
            raise EngineLost("nobody ended it: region1-dbms")
        return trial(schedule, "good_sync")

    plan = Plan(steps=("flush",), slips=("skipped",))
    one = next(examine(replace(plan, slips=()), lost))
    assert (one.outcome, one.tried) == (Outcome.SAFE, 3)


@pytest.mark.parametrize("error", [UsageError("no"), Unsupported("namespaces", "no", "as root")])
def test_what_no_cell_could_overcome_ends_it_all(error: Exception) -> None:
    def refuses(_: Schedule) -> Trial:
        raise error

    with pytest.raises(type(error)):
        list(examine(Plan(), refuses))


def test_the_table_has_the_plans_order_whatever_ended_first() -> None:
    plan = Plan(steps=("fence", "flush"), slips=("skipped",), faults=(FAULT,))
    rows = [judged(c, [PASS], ONCE) for c in plan.cells]
    table = plan.table(rows[::-1])
    assert table.rows == tuple(rows)
    assert isinstance(table.rows[0], Judged)
    assert not plan.table(rows[1:]).complete
