"""What begins an outage, and what nobody saw for want of traffic."""

from __future__ import annotations

import pytest

from drharness.checks import Verdict, judge
from drharness.history import History
from tests.checks.story import (
    OLD,
    PROXY,
    begin,
    history_of,
    ns,
    renumbered,
    result_of,
    steps_of,
)

HEALED = 3.0
DISK = {"f": "disk_full", "args": {"target": "active.dbms"}}


def _healed(*rows: tuple[float, float], writes: tuple[float, float] = (0.2, 16.0)) -> History:
    """A full disk from 1.5 s on, healed at 3.0; writes every 0.1 s; in each row region 2's fail."""
    story = begin()
    story.events = [e for e in story.events if e["kind"] != "traffic"]
    story.add(writes[0] - 0.1, "traffic", type="start")
    story.add(1.5, "fault", type="invoke", **DISK)
    story.add(1.55, "fault", type="ok", since=ns(1.5), proof={"probe": "x"}, **DISK)
    story.add(HEALED, "fault", type="heal", **DISK)
    for t in steps_of(*writes, 0.1):
        if any(since <= t < until for since, until in rows):
            story.refuse(t, PROXY["region2"], cls="unavailable")
        else:
            story.write(t, PROXY["region2"], epoch=OLD)
        story.write(t + 0.03, PROXY["region1"], epoch=OLD)
        for region in PROXY:
            story.read(t + 0.05, PROXY[region], epoch=OLD, mode="normal")
    story.add(writes[1] + 0.1, "traffic", type="stop")
    story.add(16.5, "end")
    return history_of(story.done())


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (((1.6, 3.2),), Verdict.PASS),
        (((3.4, 3.5), (3.6, 3.7)), Verdict.PASS),  # noticed late, and over at once
        (((15.0, 15.1),), Verdict.PASS),  # a single one, long after
        (((4.0, 12.5),), Verdict.FAIL),  # what bit late lasts beyond the bound
        (((6.0, 12.5),), Verdict.FAIL),
        (((14.0, 15.5),), Verdict.FAIL),  # stopped again
    ],
    ids=repr,
)
def test_what_begins_an_outage(rows: tuple[tuple[float, float], ...], verdict: Verdict) -> None:
    result = result_of([dict(e.data) for e in _healed(*rows).events], "L1")
    assert result.verdict is verdict, result.findings


def test_a_late_row_is_named_as_writes_that_stopped_again() -> None:
    (finding,) = judge(_healed((14.0, 15.5)), invariants=["L1"]).findings
    assert finding.expected.startswith("writes through region2's proxies go on after")


@pytest.mark.parametrize("rows", [(), ((14.0, 14.1),)], ids=repr)
def test_what_was_over_before_any_traffic_is_not_judged(
    rows: tuple[tuple[float, float], ...],
) -> None:
    result = judge(_healed(*rows, writes=(13.0, 16.0)), invariants=["L1", "V1"])
    lively, valid = result.results
    assert (lively.exercised, lively.verdict) == (False, Verdict.PASS)
    assert valid.verdict is Verdict.INVALID
    assert result.status is Verdict.INVALID


def test_without_any_traffic_recovery_is_not_judged() -> None:
    events = [dict(e.data) for e in _healed().events if e.kind not in ("op", "traffic")]
    assert not result_of(events, "L1").exercised


def test_traffic_that_stood_still_over_the_bound_leaves_recovery_unknown() -> None:
    events = [dict(e.data) for e in _healed(writes=(13.0, 16.0)).events]
    early = [dict(e.data) for e in _healed(writes=(0.2, 1.2)).events]
    both = [e for e in early if e["t"] < ns(1.5)] + [e for e in events if e["t"] >= ns(1.5)]
    for event in both:
        if event["kind"] == "op" and event["t"] > ns(12):
            event["opid"] = f"{event['opid']}0"
    findings = result_of(both, "L1").findings
    assert [f.verdict for f in findings] == [Verdict.UNKNOWN] * 2
    assert all(f.seen.startswith("traffic was stopped until then") for f in findings)


def test_clients_that_wrote_nothing_while_traffic_ran_have_not_recovered() -> None:
    events = [dict(e.data) for e in _healed().events]
    events = [e for e in events if e["kind"] != "op" or not ns(1.5) < e["t"] < ns(13)]
    assert [f.verdict for f in result_of(events, "L1").findings] == [Verdict.FAIL] * 2


@pytest.mark.parametrize(("next_fault", "verdict"), [(14.2, Verdict.PASS), (None, Verdict.FAIL)])
def test_writes_under_way_when_the_next_fault_comes_are_met_by_it(
    next_fault: float | None, verdict: Verdict
) -> None:
    """They waited in the master's queue, and are given up only when it has gone."""
    events = [dict(e.data) for e in _healed().events]
    writes = [e for e in events if e["kind"] == "op" and e["f"] == "create"]
    hung = {e["opid"] for e in writes if ns(13.8) <= e["t"] < ns(14.2) and e["type"] == "invoke"}
    for event in writes:
        if event["opid"] in hung and event["type"] == "ok":
            err = {"cls": "timeout", "sqlstate": "", "text": "no answer", "notices": []}
            event.update(t=ns(16.2), type="info", err=err)
            del event["epoch"], event["seq"]
    if next_fault is not None:
        fault = {"kind": "fault", "f": "region_down", "args": {"region": "region1"}, "v": 1}
        events.append({**fault, "t": ns(next_fault), "type": "invoke"})
        events.append({**fault, "t": ns(next_fault + 0.05), "type": "ok", "proof": {"probe": "x"}})
    events = [e for e in events if not (e["kind"] == "op" and ns(14.2) <= e["t"] < ns(16.2))]
    assert result_of(renumbered(events), "L1").verdict is verdict
