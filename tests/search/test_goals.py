"""Each goal is reached by a history that has the situation, and by none that only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.errors import UsageError
from drharness.history import History, load
from drharness.search.goals import GOALS, USUAL, Coverage, reached
from tests.checks.story import PROXY, Plot, Story, drill, finish

HISTORIES = Path(__file__).resolve().parents[2] / "fixtures" / "histories"


def _planted(name: str) -> frozenset[str]:
    return reached(load(HISTORIES / f"{name}.jsonl"))


def _history(story: Story) -> History:
    finish(story, Plot())
    return History(story.done())


def _cut_short(story: Story, *steps: str, open_step: str = "") -> None:
    """A run before the drill's that never ended, after some steps or within one."""
    plan = {"plan": 7, "procedure": "full_failover", "to": "region2", "steps": []}
    story.add(1.61, "plan", type="invoke", **plan)
    for n, step in enumerate((*steps, open_step) if open_step else steps):
        story.add(1.62 + n / 50, "step", type="invoke", plan=7, id=step, target="region2")
        if step != open_step:
            story.add(
                1.63 + n / 50, "step", type="ok", plan=7, id=step, target="region2", result={}
            )


def _fault(story: Story, since: float, healed: float, f: str = "delay", **args: object) -> None:
    story.add(since, "fault", type="invoke", f=f, args=args)
    story.add(since + 0.01, "fault", type="ok", f=f, args=args, proof={"a": 1})
    story.add(healed, "fault", type="heal", f=f, args=args)


def test_the_good_drill_reaches_what_every_failover_does() -> None:
    assert _planted("good_sync") == {"failover-done", "write-in-doubt", "write-refused"}


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("near_l1_wrong_names_after_a_refusal", "step-refused"),
        ("bad_p1_step_failed", "step-failed"),
        ("near_l5_run_again_after_its_end", "begun-again"),
        ("bad_l5_epoch_opened_twice", "done-again"),
        ("bad_d5_forced_without_figure", "forced"),
        ("near_l1_wrong_names_after_a_refusal", "two-faults"),
        ("near_s1_old_database_returns_fenced", "old-primary-writable"),
        ("near_d2_young_writes_lost", "write-lost"),
    ],
)
def test_a_planted_situation_reaches_its_goal(name: str, goal: str) -> None:
    assert goal in _planted(name)
    assert goal not in _planted("good_sync")


def test_a_controller_dies_between_steps_or_within_one() -> None:
    between, inside, other = drill(), drill(), drill()
    _cut_short(between, "preflight", "fence")
    _cut_short(inside, "preflight", "fence", open_step="promote")
    _cut_short(other, "preflight", open_step="fence")
    deaths = {"died-between-steps", "died-within-step", "died-within-promote"}
    assert reached(_history(between)) & deaths == {"died-between-steps"}
    assert reached(_history(inside)) & deaths == {"died-within-step", "died-within-promote"}
    assert reached(_history(other)) & deaths == {"died-within-step"}


def test_what_breaks_or_heals_within_a_run_counts_only_there() -> None:
    inside, before, after = drill(), drill(), drill()
    _fault(inside, 2.1, 3.0)
    _fault(before, 1.0, 1.2)
    _fault(after, 4.0, 4.2)
    within = {"fault-within-run", "heal-within-run"}
    assert reached(_history(inside)) & within == within
    assert reached(_history(before)) & within == set()
    assert reached(_history(after)) & within == set()


def test_the_region_that_returns_counts_after_the_promotion_only() -> None:
    late, early = drill(), drill()
    late.add(4.0, "vm", id="region1-dbms", state="on", cause="region returns")
    early.add(1.9, "vm", id="region1-dbms", state="on", cause="region returns")
    assert "region-returned" in reached(_history(late))
    assert "region-returned" not in reached(_history(early))


def test_names_are_stale_until_they_are_switched_or_while_dns_says_so() -> None:
    before, after, lied_to = drill(), drill(), drill()
    for story, t in ((before, 2.6), (after, 4.0), (lied_to, 4.0)):
        story.add(t, "vm", id="region1-dbms", state="on", cause="region returns")
    _fault(lied_to, 3.9, 4.5, "dns_answers", how="stale")
    assert "old-primary-stale-names" in reached(_history(before))
    assert "old-primary-stale-names" not in reached(_history(after))
    assert "old-primary-stale-names" in reached(_history(lied_to))


def test_both_regions_write_again_only_in_the_new_epoch() -> None:
    story = drill()
    story.write(4.0, PROXY["region1"], epoch="e2e2")
    assert "both-write-again" in reached(_history(story))
    assert "both-write-again" not in _planted("good_async")


def test_every_goal_is_reached_by_some_history_here() -> None:
    found = set().union(*(reached(load(p)) for p in sorted(HISTORIES.glob("*.jsonl"))))
    told = {"died-between-steps", "died-within-promote", "heal-within-run", "region-returned",
            "old-primary-stale-names", "both-write-again"}  # fmt: skip
    assert GOALS.keys() - found <= told


def test_coverage_counts_and_names_what_is_missing() -> None:
    coverage = Coverage(["failover-done", "step-refused"])
    good = load(HISTORIES / "good_sync.jsonl")
    assert coverage.add(good) == {"failover-done", "write-in-doubt", "write-refused"}
    assert coverage.add(good) == frozenset()
    assert (coverage.runs, coverage.missing, coverage.ok) == (2, ("step-refused",), False)
    text = str(coverage)
    assert "     2  failover-done: a database was promoted, and the procedure succeeded" in text
    assert "never reached: step-refused" in text
    coverage.add(load(HISTORIES / "near_l1_wrong_names_after_a_refusal.jsonl"))
    assert coverage.ok
    assert "never" not in str(coverage)


def test_the_usual_goals_are_wanted_unless_others_are() -> None:
    assert Coverage().wanted == USUAL
    with pytest.raises(UsageError, match=r"Did you mean 'step-failed'\?"):
        Coverage(["step-faild"])


def test_a_promotion_that_changed_nothing_is_no_failover() -> None:
    story = drill()
    for data in story.events:
        if data["kind"] == "step" and (data["id"], data["type"]) == ("promote", "ok"):
            data["result"] = {"promoted": False}
    assert "failover-done" not in reached(_history(story))
