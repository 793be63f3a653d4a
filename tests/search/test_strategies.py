"""What is drawn: schedules that can be played, varied, simplest first, and the same for a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from drharness.errors import UsageError
from drharness.faults import BY_NAME, RegionsCut, StandbyCut
from drharness.faults.model import Fault
from drharness.schedule.actions import Finish, Heal, Inject, Next, Wait
from drharness.schedule.procedure import ProcedureUse
from drharness.schedule.schedule import Schedule
from drharness.search.alphabet import DISASTERS, FAULTS, OUTAGES, STARTS
from drharness.search.hunt import Hunt, drawn, generated
from drharness.search.strategies import MOST_FAULTS, actions, schedules, slips, tidy
from drharness.topology import Topology

QUICK = settings(
    database=None, deadline=None, max_examples=2000, phases=[Phase.generate, Phase.shrink]
)
DRAWN = list(generated(Hunt(seed=1, examples=120)))


def test_the_same_seed_draws_the_same_schedules() -> None:
    again = list(generated(Hunt(seed=1, examples=20)))
    assert again == DRAWN[:20]
    assert list(generated(Hunt(seed=2, examples=20))) != again


def test_no_schedule_is_drawn_twice() -> None:
    assert len({s.to_json() for s in DRAWN}) == len(DRAWN)


def test_most_schedules_fail_over_on_a_day_it_is_for() -> None:
    usual = {fault.kebab for fault in DISASTERS["full-failover"]}
    broken = [s for s in DRAWN if any(isinstance(a, Inject) for a in s.actions)]
    moved = [s for s in DRAWN if any(isinstance(a, Next | Finish) for a in s.actions)]
    days = Counter(a.fault.kebab for s in DRAWN for a in s.actions if isinstance(a, Inject))
    assert len(broken) > 0.6 * len(DRAWN)
    assert len(moved) > 0.6 * len(DRAWN)
    assert usual <= set(days)
    assert len(days) > 10, days


def test_schedules_are_short_enough_for_seconds() -> None:
    for schedule in DRAWN:
        assert 1 <= len(schedule.actions) <= 8, schedule
        assert sum(isinstance(a, Inject) for a in schedule.actions) <= MOST_FAULTS
        assert sum(a.seconds for a in schedule.actions if isinstance(a, Wait)) <= 4.0


def test_every_fault_of_the_alphabet_is_a_known_one() -> None:
    known = set(BY_NAME.values())
    everything = [*FAULTS, *(fault for some in DISASTERS.values() for fault in some)]
    assert {type(fault) for fault in everything} <= known
    assert {*OUTAGES, *STARTS} <= set(FAULTS)
    assert len(set(FAULTS)) == len(FAULTS)


def in_force(schedule: Schedule) -> Iterator[tuple[Inject, list[Fault]]]:
    """Each injection with the faults in force at it."""
    injected: list[Fault] = []
    broken: set[int] = set()
    for action in schedule.actions:
        if isinstance(action, Inject):
            yield action, [injected[n - 1] for n in sorted(broken)]
            injected.append(action.fault)
            broken.add(len(injected))
        elif isinstance(action, Heal):
            broken -= broken if action.which is None else {action.which}


def test_faults_come_back_and_somebody_starts_while_something_is_out() -> None:
    back = [s for s in DRAWN if len(set(all_injected(s))) < len(all_injected(s))]
    amid = [
        s
        for s in DRAWN
        if any(a.fault in STARTS and set(out) & set(OUTAGES) for a, out in in_force(s))
    ]
    assert len(back) > 0.2 * len(DRAWN)
    assert len(amid) > 0.2 * len(DRAWN)
    assert len({f.kebab for s in back for f in all_injected(s)}) > 10


def all_injected(schedule: Schedule) -> list[Fault]:
    return [a.fault for a in schedule.actions if isinstance(a, Inject)]


def test_no_fault_is_injected_that_is_in_force() -> None:
    assert all(action.fault not in out for s in DRAWN for action, out in in_force(s))


def test_a_plot_needs_faults_for_it() -> None:
    only = [RegionsCut(), StandbyCut()]
    found = [drawn(schedules(faults=only), seed=n) for n in range(60)]
    days = {*only, *DISASTERS["full-failover"]}
    assert {f for s in found for f in all_injected(s)} == days
    assert any(len(set(all_injected(s))) < len(all_injected(s)) for s in found)


def test_a_schedule_shrinks_to_what_matters() -> None:
    def matters(schedule: Schedule) -> bool:
        return any(isinstance(a, Heal) for a in schedule.actions)

    smallest = find(schedules(most=6), matters, settings=QUICK)
    # One that heals must have broken something: the simplest that is broken, and nothing else.
    assert smallest.actions == (Inject(DISASTERS["full-failover"][0]), Heal())


def test_without_slips_the_procedure_is_the_shipped_one() -> None:
    assert all(not s.procedure.slips for s in DRAWN)
    slipped = list(generated(Hunt(seed=1, examples=40, slips=True)))
    assert all(s.procedure.slips for s in slipped)
    assert {x.kind for s in slipped for x in s.procedure.slips} == {
        "without",
        "repeated",
        "swapped",
        "delayed",
    }


@pytest.mark.parametrize("procedure", DISASTERS)
def test_slips_of_any_procedure_can_be_made(procedure: str) -> None:
    for number in range(25):
        schedule = drawn(schedules(procedure, slips=True), seed=number)
        assert schedule.procedure.procedure.variations
        assert drawn(slips(procedure), seed=number)


def test_a_topology_is_handed_on() -> None:
    slow = Topology.guide(replication="async", timing="guide")
    assert drawn(schedules(topology=slow), seed=1).topology == slow


def test_with_three_regions_the_standby_that_follows_is_a_step() -> None:
    three = Topology.guide(regions=("east", "west", "north"))
    found = [drawn(schedules(topology=three, slips=True), seed=n).procedure for n in range(60)]
    assert {use.to for use in found} == {"west"}
    assert "follow" in {slip.step for use in found for slip in use.slips}
    assert ProcedureUse.on(Topology.guide(), "full-failover") == ProcedureUse()


def test_names_that_are_none_are_told() -> None:
    with pytest.raises(UsageError, match="kinds: expected one of"):
        actions(kinds=["nxt"])
    with pytest.raises(UsageError, match="Did you mean 'full-failover'"):
        schedules("full-failovr")


def test_what_says_nothing_is_left_out() -> None:
    down, cut = Inject(FAULTS[0]), Inject(FAULTS[1])
    assert tidy([Heal(1), down, down, Heal(2), Heal(1), Heal(1), Heal()]) == (down, Heal(1))
    assert tidy([down, cut, Heal(), Heal(2), Finish(), Finish()]) == (down, cut, Heal(), Finish())
    assert tidy([Heal()]) == (Next(),)


def test_a_draw_is_not_the_simplest_one_only() -> None:
    seen = Counter(drawn(st.sampled_from("abcd"), seed=n) for n in range(80))
    assert set(seen) == set("abcd")
    assert min(seen.values()) > 5, seen
