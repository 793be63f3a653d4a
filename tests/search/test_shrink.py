"""Shrinking finds known minima within known replays, and is not fooled by luck."""

from __future__ import annotations

import pytest

from drharness.errors import EngineLost, UsageError
from drharness.faults import RegionsCut, VmDown
from drharness.schedule.actions import Crash, Finish, Heal, Inject, Next, Wait
from drharness.schedule.procedure import Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial
from drharness.search.shrink import Rule, Shrunk, Tried, by_replay, shrink
from tests.search.oracles import (
    CUT,
    DOWN,
    HOST,
    KILLED,
    NOISE,
    Holds,
    Oracle,
    dies_late,
    healed_while_cut,
    in_order,
    schedule_of,
    steps_taken,
)
from tests.search.trials import trial

NO_FENCE = (Slip("without", "fence"), Slip("repeated", "flush"))


def _unfenced(schedule: Schedule) -> bool:
    slips = schedule.procedure.slips
    return CUT in schedule.actions and NO_FENCE[0] in slips and steps_taken(schedule) >= 2


def _waits(schedule: Schedule) -> bool:
    waited = sum(a.seconds for a in schedule.actions if isinstance(a, Wait))
    return DOWN in schedule.actions and waited >= 0.3


def _one_proxy_down(schedule: Schedule) -> bool:
    down = [
        a.fault.target
        for a in schedule.actions
        if isinstance(a, Inject) and isinstance(a.fault, VmDown)
    ]
    return any(t.startswith("dormant.application") for t in down) and Finish() in schedule.actions


# What the schedule is, what fails, what is left of it, and the replays that may take.
CASES: tuple[tuple[Schedule, Holds, Schedule, int], ...] = (
    (schedule_of(CUT), in_order(CUT), schedule_of(CUT), 4),
    (schedule_of(*NOISE, CUT, *NOISE), in_order(CUT), schedule_of(CUT), 14),
    (
        schedule_of(CUT, *NOISE, DOWN, *NOISE, Finish()),
        in_order(CUT, DOWN, Finish()),
        schedule_of(CUT, DOWN, Finish()),
        25,
    ),
    (
        schedule_of(CUT, Next(3), Wait(1.0), Next(), Finish(), slips=NO_FENCE, force=True),
        _unfenced,
        schedule_of(CUT, Next(2), slips=NO_FENCE[:1]),
        20,
    ),
    (
        schedule_of(HOST, DOWN, *NOISE[3:4], CUT, Heal(1), KILLED, Heal(2), Wait(0.3)),
        healed_while_cut,
        schedule_of(DOWN, CUT, Heal(1)),
        25,
    ),
    (
        schedule_of(*NOISE, CUT, Next(2), KILLED, Next(2), Crash(5, sent=False), Finish()),
        dies_late,
        schedule_of(CUT, Next(3), Crash(2)),
        32,
    ),
    (schedule_of(DOWN, Wait(0.1), HOST, Wait(2.0)), _waits, schedule_of(DOWN, Wait(0.3)), 15),
    (
        schedule_of(Next(), HOST, KILLED, Next(4), Finish()),
        _one_proxy_down,
        schedule_of(Inject(VmDown("dormant.application-p")), Finish()),
        20,
    ),
)  # fmt: skip


@pytest.mark.parametrize(("whole", "holds", "least", "most"), CASES)
def test_a_known_case_shrinks_to_its_known_minimum(
    whole: Schedule, holds: Holds, least: Schedule, most: int
) -> None:
    oracle = Oracle(holds)
    found = shrink(whole, oracle, reason="S1")
    assert found.schedule == least
    assert (found.failed, found.of, found.confirmed) == (2, 2, True)
    assert found.replays == len(oracle.asked) <= most
    assert found.why == "nothing simpler fails"


@pytest.mark.parametrize(("whole", "holds", "least", "most"), CASES)
def test_a_flaky_case_shrinks_to_nearly_its_minimum(
    whole: Schedule, holds: Holds, least: Schedule, most: int
) -> None:
    found = [
        shrink(whole, Oracle(holds, rate=0.7, seed=seed), reason="S1", replays=8 * most)
        for seed in range(10)
    ]
    assert all(holds(f.schedule) and f.confirmed for f in found)
    extra = sum(len(f.schedule.actions) - len(least.actions) for f in found)
    assert extra <= len(found)
    assert sum(f.replays for f in found) <= 3 * len(found) * most


def test_what_fails_by_chance_hardly_ever_comes_out() -> None:
    whole = schedule_of(CUT, *NOISE, DOWN, Finish())
    holds = in_order(CUT, DOWN, Finish())
    found = [
        shrink(whole, Oracle(holds, chance=0.05, seed=seed), reason="S1", replays=200)
        for seed in range(40)
    ]
    assert sum(holds(f.schedule) for f in found) >= 39
    assert all(len(f.schedule.actions) <= 4 for f in found if holds(f.schedule))


def test_what_was_kept_by_luck_is_given_back_and_not_tried_again() -> None:
    lucky, asked = schedule_of(CUT), list[Schedule]()

    def fails(schedule: Schedule) -> list[str]:
        asked.append(schedule)
        once = schedule == lucky and asked.count(lucky) == 1
        return ["S1"] if once or in_order(CUT, DOWN)(schedule) else []

    found = shrink(schedule_of(CUT, DOWN), fails, reason="S1")
    assert found.schedule == schedule_of(CUT, DOWN)
    assert found.confirmed
    assert asked.count(lucky) == 3  # once to keep it, twice to see that it does not fail


def test_the_same_answers_give_the_same_result() -> None:
    whole = schedule_of(*NOISE, CUT, *NOISE, DOWN)
    one, other = (Oracle(in_order(CUT, DOWN), rate=0.6, seed=3) for _ in range(2))
    assert shrink(whole, one, reason="S1") == shrink(whole, other, reason="S1")
    assert one.asked == other.asked


def test_nothing_is_played_again_that_was_decided_on() -> None:
    whole = schedule_of(*NOISE, CUT, *NOISE, DOWN, Finish())
    oracle = Oracle(in_order(CUT, DOWN))
    found = shrink(whole, oracle, reason="S1")
    texts = [s.to_json() for s in oracle.asked if s not in (whole, found.schedule)]
    assert len(texts) == len(set(texts))


def test_what_fails_for_another_reason_is_noted_and_not_kept() -> None:
    whole = schedule_of(Finish(), CUT, DOWN)
    oracle = Oracle(in_order(CUT, DOWN), other=in_order(Finish()))
    found = shrink(whole, oracle, reason="S1")
    assert found.schedule == schedule_of(CUT, DOWN)
    assert found.others == {"L1": schedule_of(Finish(), DOWN)}


def test_actions_that_were_passed_over_go_first() -> None:
    whole = schedule_of(CUT, *NOISE, DOWN)
    oracle = Oracle(in_order(CUT, DOWN))
    found = shrink(whole, oracle, reason="S1", skipped=range(2, 2 + len(NOISE)))
    assert oracle.asked[1] == found.schedule == schedule_of(CUT, DOWN)


def test_one_that_does_not_fail_again_is_left_as_it_is() -> None:
    oracle = Oracle(lambda schedule: False)
    found = shrink(schedule_of(*NOISE), oracle, reason="S1")
    assert found == Shrunk(
        schedule_of(*NOISE), 0, 5, False, 5, "it did not fail again in 5 replays"
    )


def test_the_budget_of_replays_is_kept_and_leaves_enough_to_confirm() -> None:
    whole = schedule_of(*NOISE, CUT, *NOISE, DOWN, *NOISE)
    for budget in range(1, 40):
        oracle = Oracle(in_order(CUT, DOWN))
        found = shrink(whole, oracle, reason="S1", replays=budget)
        assert len(oracle.asked) == found.replays <= budget
        assert in_order(CUT, DOWN)(found.schedule)
        assert found.confirmed or len(found.schedule.actions) == len(whole.actions)
        assert f"{budget} replays" in found.why or found.schedule == schedule_of(CUT, DOWN)


def test_without_time_nothing_is_tried() -> None:
    oracle = Oracle(in_order(CUT))
    found = shrink(schedule_of(CUT, *NOISE), oracle, reason="S1", seconds=0.0)
    assert found.schedule == schedule_of(CUT, *NOISE)
    assert oracle.asked == []
    assert str(found) == "8 actions, not played again; 0 replays, then the budget of 0 s was over"


def test_a_replay_without_a_result_is_made_again() -> None:
    oracle = Oracle(in_order(CUT), lost=lambda number: number % 3 == 0)
    found = shrink(schedule_of(*NOISE, CUT), oracle, reason="S1")
    assert found.schedule == schedule_of(CUT)


def test_broken_machinery_ends_it_with_what_there_is() -> None:
    oracle = Oracle(in_order(CUT), lost=lambda number: number > 6)
    found = shrink(schedule_of(*NOISE, CUT, *NOISE), oracle, reason="S1")
    assert found.why == "3 replays in a row had no result"
    assert not found.confirmed
    assert in_order(CUT)(found.schedule)
    assert len(oracle.asked) <= 10


def test_every_candidate_is_told_of() -> None:
    told: list[Tried] = []
    whole = schedule_of(*NOISE, CUT)
    found = shrink(whole, Oracle(in_order(CUT)), reason="S1", on_try=told.append)
    assert [t.schedule for t in told if t.kept and not t.again][-1] == found.schedule
    assert (told[-1].again, told[-1].kept, told[-1].failed, told[-1].of) == (True, True, 2, 2)
    assert [t.replays for t in told] == sorted(t.replays for t in told)


def test_a_rule_ends_as_soon_as_it_is_decided() -> None:
    rule = Rule(2, 3)
    assert [rule.decided(0, 0), rule.decided(1, 1), rule.decided(1, 2)] == [None, None, None]
    assert [rule.decided(2, 2), rule.decided(0, 2), rule.decided(1, 3)] == [True, False, False]


@pytest.mark.parametrize(("k", "n"), [(0, 1), (2, 1)])
def test_a_rule_that_cannot_be_met_is_refused(k: int, n: int) -> None:
    with pytest.raises(UsageError, match=f"got {k} of {n}"):
        Rule(k, n)


def test_a_strict_rule_for_exploring_is_heeded() -> None:
    oracle = Oracle(in_order(CUT))
    shrink(schedule_of(CUT, DOWN), oracle, reason="S1", explore=Rule(2, 3))
    assert oracle.asked.count(schedule_of(CUT)) >= 4  # twice to keep it, twice to confirm it
    assert RegionsCut() == CUT.fault


def test_what_is_played_for_the_last_word_may_be_played_otherwise() -> None:
    quick, whole = Oracle(in_order(CUT)), Oracle(in_order(CUT, DOWN))
    found = shrink(schedule_of(CUT, DOWN, HOST), quick, reason="S1", confirms=whole, replays=60)
    assert schedule_of(CUT) in whole.asked
    assert (found.schedule, found.confirmed) == (schedule_of(CUT, DOWN), True)
    assert all(schedule in quick.asked for schedule in whole.asked)


def test_a_trial_says_what_failed_and_lost_machinery_is_no_result() -> None:
    def attempt(schedule: Schedule) -> Trial:
        if schedule == schedule_of(DOWN):
            raise EngineLost("gone")
        if schedule == schedule_of(HOST):
            raise UsageError("no such VM")
        return trial(schedule, "bad_s1_two_databases")

    fails = by_replay(attempt)
    assert "S1" in (fails(schedule_of(CUT)) or ())
    assert fails(schedule_of(DOWN)) is None
    with pytest.raises(UsageError, match="no such VM"):
        fails(schedule_of(HOST))
