"""P1 and V1 on small changes of the good drill."""

from __future__ import annotations

from typing import Any

import pytest

from drharness.checks import Verdict, judge
from tests.checks.planted import cut_short
from tests.checks.story import (
    STEPS,
    Data,
    Plot,
    drill,
    finish,
    good_drill,
    history_of,
    ns,
    result_of,
)


@pytest.mark.parametrize("step", STEPS)
def test_each_skipped_step_is_named_with_what_it_means(step: str) -> None:
    events = [e for e in good_drill() if not (e["kind"] == "step" and e["id"] == step)]
    (finding,) = result_of(events, "P1").findings
    assert finding.expected == f"full_failover does step {step}"
    assert finding.seen.startswith("it was skipped: ")


@pytest.mark.parametrize(("one", "two"), list(zip(list(STEPS), list(STEPS)[1:], strict=False)))
def test_each_swap_of_neighbours_breaks_the_order(one: str, two: str) -> None:
    events = good_drill()
    for event in events:
        if event["kind"] == "step" and event["id"] in (one, two):
            event["id"] = two if event["id"] == one else one
    findings = result_of(events, "P1").findings
    assert f"step {one} is completed before step {two} begins" in {f.expected for f in findings}


def test_a_step_begun_before_the_one_before_has_ended_breaks_the_order() -> None:
    events = good_drill()
    begun = next(e for e in events if e["kind"] == "step" and e["id"] == "promote")
    begun["t"] = ns(1.97)
    (finding,) = result_of(events, "P1").findings
    assert finding.seen == "promote began, fence was completed 0.030 s later"


def _ends(events: list[Data], *, step: str, how: str) -> list[Data]:
    """The procedure ends at a step; nothing is done after it."""
    cut = next(e["t"] for e in events if e["kind"] == "step" and e["id"] == step)
    kept = [e for e in events if e["kind"] != "step" or e["t"] <= cut]
    for event in kept:
        if event["kind"] == "plan" and event["type"] == "ok":
            event["type"] = how
    text = "the probe saw 5432 open"
    base = {"v": 1, "kind": "step", "plan": 1, "id": step, "type": how, "text": text}
    return [*kept, {**base, "t": cut + 1}]


def test_a_failed_procedure_is_named_with_step_and_text() -> None:
    findings = result_of(_ends(good_drill(), step="unblock", how="fail"), "P1").findings
    assert [f.seen for f in findings] == ["it failed at step unblock: the probe saw 5432 open"]


def _fails_swapped(one: str, other: str) -> list[Data]:
    """Two steps are in each other's place; the one that comes too early fails."""
    order = list(STEPS)
    a, b = order.index(one), order.index(other)
    order[a], order[b] = order[b], order[a]
    events = good_drill()
    name = dict(zip(STEPS, order, strict=True))
    for event in events:
        if event["kind"] == "step":
            event["id"] = name[event["id"]]
        elif event["kind"] == "plan":
            event["steps"] = order
    done = ("step", other, "ok")
    events = [e for e in events if (e["kind"], e.get("id"), e.get("type")) != done]
    return _ends(events, step=other, how="fail")


@pytest.mark.parametrize(
    ("one", "other"), [("fence", "promote"), ("unblock", "flush"), ("flush", "reconnect")]
)
def test_what_a_failure_in_a_swapped_order_left_undone_was_not_skipped(
    one: str, other: str
) -> None:
    findings = result_of(_fails_swapped(one, other), "P1").findings
    assert [(f.expected, f.seen) for f in findings] == [
        (f"step {one} is completed before step {other} begins",
         f"{other} began, {one} was not reached"),
        ("full_failover succeeds", f"it failed at step {other}: the probe saw 5432 open"),
    ]  # fmt: skip


def test_what_a_failed_run_left_out_on_its_way_was_skipped() -> None:
    events = _ends(good_drill(), step="unblock", how="fail")
    events = [e for e in events if not (e["kind"] == "step" and e["id"] == "fence")]
    findings = result_of(events, "P1").findings
    assert [f.expected for f in findings] == [
        "full_failover does step fence",
        "full_failover succeeds",
    ]


def test_a_failed_procedure_that_was_run_again_with_success_is_none() -> None:
    events = _ends(good_drill(), step="unblock", how="fail")
    again: list[dict[str, Any]] = [
        {**e, "plan": 2, "t": e["t"] + ns(0) // 20}
        for e in good_drill()
        if e["kind"] in ("step", "plan")
    ]
    assert result_of([*events, *again], "P1").verdict is Verdict.PASS


def test_a_procedure_without_end_is_unknown() -> None:
    events = [e for e in good_drill() if not (e["kind"] == "plan" and e["type"] == "ok")]
    (finding,) = result_of(events, "P1").findings
    assert finding.verdict is Verdict.UNKNOWN


def test_a_run_cut_short_once_it_had_changed_something_has_to_be_done() -> None:
    events = good_drill()
    cut_short(events, "preflight", "fence")
    result = result_of(events, "P1")
    assert result.verdict is Verdict.UNKNOWN
    assert result.findings[0].seen == "the history has no end of it at step fence: no text"


def test_a_procedure_of_another_name_needs_what_it_set_out_to_do() -> None:
    events = [e for e in good_drill() if not (e["kind"] == "step" and e["id"] == "flush")]
    for event in events:
        if event["kind"] == "plan":
            event.update(procedure="runbook", steps=[s for s in STEPS if s != "flush"])
    assert result_of(events, "P1").verdict is Verdict.PASS


def _finding(events: list[Data]) -> tuple[Verdict, str]:
    (finding,) = result_of(events, "V1").findings
    return finding.verdict, finding.seen


def test_a_fault_without_any_read_after_it_proves_nothing() -> None:
    events = [e for e in good_drill() if e["kind"] != "op" or e["f"] != "read" or e["t"] < ns(1.6)]
    events = [e for e in events if not (e["kind"] == "traffic" and e["type"] == "stop")]
    assert _finding(events) == (Verdict.INVALID, "there was none")


def test_a_run_whose_start_nobody_looked_at_proves_nothing() -> None:
    events = [e for e in good_drill() if e["kind"] != "start"]
    assert _finding(events) == (Verdict.INVALID, "nobody looked at the start")


def test_a_completion_that_nobody_invoked_proves_nothing() -> None:
    story = drill()
    finish(story, Plot())
    lost = {"type": "fail", "proc": "x", "opid": "x/9", "f": "write", "via": "", "key": "k"}
    story.add(4.0, "op", **lost)
    assert _finding(story.done()) == (
        Verdict.INVALID,
        "operation x/9 completed but not invoked",
    )


def test_canaries_are_not_counted_as_traffic() -> None:
    story = drill()
    finish(story, Plot())
    base = {"proc": "region2-application-p.application/1.p7", "f": "read", "via": "", "key": "k"}
    for kind in ("invoke", "ok"):
        story.add(4.0, "op", type=kind, opid="region2-application-p.application/1.999",
                  canary=True, **base)  # fmt: skip
    assert result_of(story.done(), "V1").verdict is Verdict.PASS


@pytest.mark.parametrize(("promoted", "recoveries"), [(False, 1), (True, 2)])
def test_a_repetition_that_finds_nothing_to_do_needs_no_recovery(
    promoted: bool, recoveries: int
) -> None:
    events = good_drill()
    again = [
        {**e, "plan": 2, "t": e["t"] + 2_200_000_000}
        for e in events
        if e["kind"] in ("step", "plan")
    ]
    for event in again:
        if event["kind"] == "step" and event["id"] == "promote" and event["type"] == "ok":
            event["result"] = {"promoted": promoted}
    verdict = judge(history_of([*events, *again]), invariants=["L1", "L3"])
    assert len(verdict.recoveries) == recoveries
    assert verdict.ok is not promoted


def test_a_history_that_breaks_off_is_no_pass() -> None:
    events = [e for e in good_drill() if e["kind"] != "end"]
    verdict = judge(history_of(events))
    assert verdict.status is Verdict.UNKNOWN
    assert [f.invariant for f in verdict.findings] == ["V1"]
    assert "interrupted" in verdict.findings[0].seen
