"""What is simpler: taking away, and changing without losing what an action means."""

from __future__ import annotations

import pytest

from drharness.faults import (
    ComponentKilled,
    Delay,
    LinkCut,
    RegionDown,
    RegionsCut,
    ResolverPolicy,
    StandbyLagging,
    VmDown,
)
from drharness.faults.model import Fault
from drharness.schedule.actions import Action, Crash, Finish, Heal, Inject, Next, Operate, Wait
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.search import simpler
from drharness.topology import Topology
from tests.search.oracles import CUT, DOWN, HOST, KILLED, schedule_of


def test_a_fault_that_goes_takes_its_heals_and_keeps_the_numbers_of_others_right() -> None:
    whole = schedule_of(CUT, DOWN, Heal(1), KILLED, Heal(2), Heal(3), Heal())
    assert simpler.without(whole, [0]).actions == (DOWN, KILLED, Heal(1), Heal(2), Heal())
    assert simpler.without(whole, [1, 3]).actions == (CUT, Heal(1), Heal())
    assert simpler.without(whole, [4]).actions == (CUT, DOWN, Heal(1), KILLED, Heal(3), Heal())


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        (Wait(1.0), [Wait(0.1), Wait(0.3)]),
        (Wait(0.1), []),
        (Heal(2), [Heal()]),
        (Heal(), []),
        (Next(6), [Next(), Next(3), Next(5)]),
        (Next(), []),
        (Finish(), []),
        (Crash(), []),
        (Crash(2, sent=False), [Crash(), Crash(1, sent=False), Crash(2)]),
        (Operate("write", "both/1", "dormant"), [Operate("write", "both/1"),
                                                   Operate("read", "both/1", "dormant")]),
        (DOWN, []),
    ],
)  # fmt: skip
def test_an_action_becomes_the_simplest_first(action: Action, wanted: list[Action]) -> None:
    assert list(simpler.actions(action)) == wanted


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (RegionsCut(both_ways=False), [RegionsCut()]),
        (RegionsCut("region2", "region1"), [RegionsCut()]),
        (Delay(seconds=0.2), [Delay()]),
        (StandbyLagging("receive", 1.0), [StandbyLagging(), StandbyLagging("replay", 1.0),
                                          StandbyLagging("receive")]),
        (VmDown("active.framework"), [VmDown("active.framework-p"), VmDown("active.framework-b")]),
        (VmDown("active.dbms"), []),
        (ComponentKilled("region1.framework.lca"), [ComponentKilled("region1.framework-p.lca"),
                                                    ComponentKilled("region1.framework-b.lca")]),
        (RegionDown("region1"), []),
    ],
)  # fmt: skip
def test_a_fault_gets_its_usual_arguments_and_a_narrower_target(
    fault: Fault, wanted: list[Fault]
) -> None:
    assert list(simpler.faults(fault)) == wanted


def test_a_link_is_narrowed_at_both_ends() -> None:
    found = list(simpler.faults(LinkCut("dormant.application", "active.framework")))
    assert LinkCut("dormant.application-p", "active.framework") in found
    assert LinkCut("dormant.application", "active.framework-b") in found


def test_arguments_that_do_not_go_together_are_left_out() -> None:
    swapped = RegionsCut("region2", "region1", both_ways=False)
    found = list(simpler.faults(swapped))
    assert RegionsCut() in found
    assert all(isinstance(f, RegionsCut) for f in found)


def test_neighbours_become_one_where_that_means_the_same() -> None:
    found = list(
        simpler.merged([Next(2), Next(), Finish(), Wait(0.1), Wait(1.0), Heal(1), Heal(2)])
    )
    assert (Next(3), Finish(), Wait(0.1), Wait(1.0), Heal(1), Heal(2)) in found
    assert (Next(2), Finish(), Wait(0.1), Wait(1.0), Heal(1), Heal(2)) in found
    assert (Next(2), Next(), Finish(), Wait(1.0), Heal(1), Heal(2)) in found
    assert found[0] == (Next(2), Next(), Finish(), Wait(0.1), Wait(1.0), Heal())
    assert list(simpler.merged([Finish(), Next(), CUT, DOWN])) == []


def test_a_procedure_loses_slips_then_options_and_gets_milder() -> None:
    slips = (Slip("without", "fence"), Slip("delayed", "promote", seconds=0.3))
    use = ProcedureUse("full-failover", "region2", {"force": True, "max_lag_s": 9.0}, slips)
    found = list(simpler.procedures(use))
    assert [len(u.slips) for u in found] == [0, 1, 1, 2, 2, 2, 2]
    assert [sorted(u.options) for u in found[3:6]] == [[], ["force"], ["max_lag_s"]]
    assert found[-1].slips == (slips[0], Slip("delayed", "promote", seconds=0.1))


def test_surroundings_become_the_usual_ones_but_for_what_was_replaced() -> None:
    odd = Topology.guide(replication="async")
    found = list(simpler.surroundings(Schedule((CUT,), topology=odd, rate=100.0)))
    assert found == [Schedule((CUT,), topology=odd), Schedule((CUT,), rate=100.0)]
    planted = odd.replace("csproxy", "drharness.selftest.components:eager")
    assert list(simpler.surroundings(Schedule((CUT,), topology=planted))) == []


def test_what_is_simpler_is_a_schedule_that_a_file_can_hold() -> None:
    whole = schedule_of(
        Inject(ResolverPolicy("dormant.application", "serve-stale")), HOST, Crash(5, sent=False),
        slips=(Slip("swapped", "fence", "promote"),), force=True,
    )  # fmt: skip
    for place, action in enumerate(whole.actions):
        for other in simpler.actions(action):
            actions = (*whole.actions[:place], other, *whole.actions[place + 1 :])
            made = Schedule(actions, whole.procedure)
            assert Schedule.from_json(made.to_json()) == made
