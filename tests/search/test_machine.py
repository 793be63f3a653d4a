"""The state machine: what it draws, and how a failure is told; nothing is deployed here."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

from drharness.deployment.pool import Pool
from drharness.errors import UsageError
from drharness.faults import RegionDown, RegionsCut, VmDown
from drharness.faults.model import Fault
from drharness.schedule.actions import Crash, Finish, Heal, Inject, Next
from drharness.schedule.schedule import Schedule
from drharness.search.drills import SETTINGS, is_last_look
from drharness.search.machine import DrMachine, run
from drharness.topology import Topology

MANY = settings(SETTINGS, max_examples=60, derandomize=True, database=None)


def drawn(**said: object) -> list[Schedule]:
    """Schedules of a machine that plays nothing."""
    found: list[Schedule] = []

    class Drawing(DrMachine):
        def _catch_up(self) -> None:
            pass

        def _verdict(self) -> str:
            found.append(self.schedule)
            return ""

    for name, value in said.items():
        setattr(Drawing, name, value)
    run(Drawing, Pool(), settings=MANY)
    return found


def test_every_kind_of_action_is_drawn() -> None:
    kinds = {type(a).__name__ for s in drawn() for a in s.actions}
    assert kinds == {"Inject", "Heal", "Next", "Finish", "Crash", "Wait", "Operate"}


def test_no_action_is_drawn_that_says_nothing() -> None:
    for schedule in drawn():
        injected: list[Fault] = []
        broken: set[int] = set()
        for index, action in enumerate(schedule.actions):
            before = schedule.actions[:index]
            if isinstance(action, Inject):
                assert action.fault not in [injected[n - 1] for n in broken], schedule
                injected.append(action.fault)
                broken.add(len(injected))
            elif isinstance(action, Heal):
                assert broken if action.which is None else action.which in broken, schedule
                broken -= broken if action.which is None else {action.which}
            elif isinstance(action, Crash):
                assert any(isinstance(a, Next) for a in before), schedule
            elif isinstance(action, Finish):
                assert not before or before[-1] != Finish(), schedule
        assert len(injected) <= DrMachine.most_faults


def test_what_was_healed_may_break_again() -> None:
    found = drawn(faults=(RegionsCut(),))
    assert any(sum(isinstance(a, Inject) for a in s.actions) > 1 for s in found)


def test_the_class_says_what_may_break_and_where() -> None:
    faults = (VmDown("active.dbms"), RegionsCut())
    topology = Topology.guide(replication="async")
    found = drawn(faults=faults, most_faults=1, topology=topology, rate=20.0)
    for schedule in found:
        injected = [a.fault for a in schedule.actions if isinstance(a, Inject)]
        assert len(injected) <= 1
        assert set(injected) <= set(faults)
        assert (schedule.topology, schedule.rate) == (topology, 20.0)
    assert {a.fault for s in found for a in s.actions if isinstance(a, Inject)} == set(faults)


def test_what_is_drawn_can_be_written_and_read() -> None:
    for schedule in drawn():
        assert Schedule.from_json(schedule.to_json()) == schedule


def test_a_failure_is_told_once_more_without_being_tried_once_more() -> None:
    judged: list[Schedule] = []

    class Once(DrMachine):
        """Fails the first time that something was injected, and never again."""

        played = 0

        def _catch_up(self) -> None:
            type(self).played += 1

        def _verdict(self) -> str:
            assert not is_last_look()
            judged.append(self.schedule)
            return "S1 failed here" if any(isinstance(a, Inject) for a in self.actions) else ""

    with pytest.raises(AssertionError, match=r"^S1 failed here") as caught:
        run(Once, Pool(), settings=MANY)
    failed = [s for s in judged if any(isinstance(a, Inject) for a in s.actions)]
    assert len(failed) == 1
    assert Once.played == sum(len(s.actions) for s in judged)
    assert "state.teardown()" in "".join(caught.value.__notes__)


def test_a_failure_of_a_rule_of_ones_own_is_not_hidden_by_a_verdict() -> None:
    class Own(DrMachine):
        def do(self, action: object) -> None:
            raise KeyError("of my own")

        def _verdict(self) -> str:
            return "a verdict"

    with pytest.raises(KeyError, match="of my own"):
        run(Own, Pool(), settings=MANY)


def test_no_example_is_shrunk_timed_or_followed_by_others() -> None:
    assert Phase.shrink not in SETTINGS.phases
    assert SETTINGS.deadline is None
    assert not SETTINGS.report_multiple_bugs
    assert Phase.reuse in SETTINGS.phases  # from Hypothesis' own database


def test_deployments_of_another_topology_are_refused_before_any_is_made() -> None:
    class Async(DrMachine):
        topology = Topology.guide(replication="async")
        faults = (RegionDown("active"),)

    with pytest.raises(UsageError, match="source: expected a pool of"):
        run(Async, Pool(), settings=MANY)


def test_a_machine_without_a_source_says_what_to_do() -> None:
    machine = DrMachine()
    with pytest.raises(UsageError, match=r"dr_lab\.run\(Machine\)"):
        machine.do(Next())
    with pytest.raises(UsageError, match="a subclass of DrMachine"):
        run(str, Pool())  # type: ignore[arg-type]
