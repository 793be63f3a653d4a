"""One schedule with everything in it, played once: what each action came to, and what was left.

The deployment fails over, three times interrupted; what cannot be done is passed over, and told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drharness.checks.verdict import Judgement
from drharness.deployment import deploy
from drharness.faults import (
    ComponentKilled,
    LinkCut,
    RegionDown,
    RegionsCut,
    StandbyCut,
    StandbyLagging,
    VmDown,
    VmFrozen,
)
from drharness.history.view import History
from drharness.schedule import encoding
from drharness.schedule.actions import Action, Crash, Finish, Heal, Inject, Next, Operate, Wait
from drharness.schedule.interpreter import play
from drharness.schedule.outcome import Acted, Ended, Play
from drharness.schedule.schedule import Schedule

pytestmark = pytest.mark.slow

B = "region2-application-b"
# Each action, how it ends, and what is said or which step was taken.
STORY: tuple[tuple[Action, str, str], ...] = (
    (Heal(), "skipped", "nothing is broken"),
    (Crash(), "skipped", "no procedure is under way"),
    (Operate("write", "board/1", "active"), "ok", ""),
    (Inject(VmFrozen(B)), "ok", ""),
    (Inject(VmFrozen(B)), "skipped", f"VmFrozen(target='{B}') is in force already"),
    (Inject(LinkCut(B, "dns")), "skipped", f"{B} is frozen: it cannot be asked"),
    (Inject(VmDown(B)), "ok", ""),
    (Heal(2), "skipped", "number 2 was not injected"),
    (Heal(9), "skipped", "nothing was injected as number 9 yet"),
    (Heal(4), "ok", ""),
    (Heal(4), "skipped", "number 4 is healed already"),
    (Inject(ComponentKilled("active.framework-b.lca")), "ok", ""),
    (Inject(VmFrozen("active.framework-b")), "ok", ""),
    (Heal(5), "skipped", "VmFrozen(target='active.framework-b') came later: who is frozen"),
    (Inject(StandbyCut()), "ok", ""),
    (Inject(LinkCut("active.dbms", "dormant.dbms", 5432)), "skipped", "its effect was not seen"),
    (Inject(RegionDown("region1")), "ok", ""),
    (Inject(RegionsCut()), "skipped", "no Application VM of region1 is on"),
    (Operate("read", "board/1", "active"), "skipped", "no client of active can be asked"),
    (Inject(StandbyLagging()), "skipped", "region1-dbms is powered off"),
    (Next(2), "ok", "fence"),
    (Crash(), "ok", ""),
    (Crash(1, sent=False), "ok", "preflight"),
    (Crash(1000), "ok", "preflight"),
    (Next(100), "ok", "reconnect"),
    (Finish(), "skipped", "the procedure is done, and nothing broke since"),
    (Wait(0.1), "ok", ""),
)


@dataclass(frozen=True)
class Played:
    """What is left of it."""

    play: Play
    told: list[Acted]
    history: History
    judgement: Judgement
    on: dict[str, bool]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    path: Path = tmp_path_factory.mktemp("interpreter")
    told: list[Acted] = []
    schedule = Schedule(tuple(action for action, _, _ in STORY))
    with deploy(schedule.topology, evidence_dir=path) as d:
        done = play(schedule, d, on_act=told.append)
        on = {vm.id: d.operations.is_on(vm.id) for vm in d.topology.vms}
        judgement = d.judge()
        yield Played(done, told, d.history, judgement, on)


@pytest.mark.parametrize("number", range(1, len(STORY) + 1))
def test_an_action_comes_to_what_it_should(played: Played, number: int) -> None:
    action, type_, said = STORY[number - 1]
    act = played.play.acts[number - 1]
    assert (act.number, act.action, act.type) == (number, action, type_), str(act)
    assert said in (act.step or act.text), str(act)
    assert act.begun <= act.ended


def test_actions_are_told_as_they_are_done(played: Played) -> None:
    assert played.told == list(played.play.acts)
    assert played.play.skipped == tuple(n for n, (_, t, _) in enumerate(STORY, 1) if t == "skipped")


def test_the_history_has_every_action_and_the_settling(played: Played) -> None:
    acts = played.history.of_kind("act")
    begun = [(e["n"], e["do"]) for e in acts if e.type == "invoke"]
    actions = [(n, encoding.action(action)) for n, (action, _, _) in enumerate(STORY, 1)]
    assert begun == [*actions, (0, {"do": "settle"})]
    ended = [e.type for e in acts if e.type != "invoke"]
    assert ended == [*(type_ for _, type_, _ in STORY), "ok"]


def test_a_controller_that_died_is_followed_by_another(played: Played) -> None:
    assert played.play.runs == (
        Ended("interrupted", "fence", "after step fence"),
        Ended("interrupted", "preflight", "within step preflight"),
        Ended("interrupted", "preflight", "after step preflight"),
        Ended("ok"),
    )
    assert [p.type for p in played.history.plans] == ["invoke", "invoke", "invoke", "ok"]


def test_at_rest_everything_is_healed_and_writes_go_on(played: Played) -> None:
    assert played.play.settled.ok, played.play.settled.text
    assert all(fault.healed for fault in played.history.faults)
    assert all(played.on.values()), played.on


def test_a_fault_that_was_passed_over_makes_no_run_invalid(played: Played) -> None:
    unproven = [f.f for f in played.history.faults if f.proven is None]
    assert unproven == ["link_cut"]
    assert played.judgement.ok, str(played.judgement)
