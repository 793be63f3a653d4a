"""D1, D2, D3 and S13 against the reference form, on arbitrary histories of one epoch."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drharness.checks import Verdict, judge
from drharness.history import Event, History
from tests.checks.story import OLD, PROXY, begin, history_of, ns

LAG = 1.0  # the fast profile's d_rep
T_FAIL = 5.0
Drawn = list[tuple[str, bool]]  # type of each write in commit order, and whether it survives

writes = st.lists(
    st.tuples(st.sampled_from(["ok", "info", "fail"]), st.booleans()), min_size=1, max_size=12
)


def _history(drawn: Drawn, replication: str) -> History:
    story = begin(replication)
    survivors = {}
    for n, (kind, survives) in enumerate(drawn, start=1):
        seq = n if kind == "ok" else None
        how = {"epoch": OLD, "seq": seq} if seq else {"err": {"cls": "rejected", "text": ""}}
        t = n * 0.5 - 0.01
        opid = story.op(t, "create", via=PROXY["region1"], type=kind, key=f"k{n}", put=n, **how)
        if survives:
            survivors[opid["opid"]] = n
    story.add(T_FAIL, "fault", type="invoke", f="region_down", args={"region": "region1"})
    objects = {f"k{n}": n for n in survivors.values()}
    story.add(9.0, "final", source="db:region2", epoch=OLD, seq=12, objects=objects, ops=survivors)
    return history_of(story.done())


def _reference(drawn: Drawn, *, sync: bool) -> dict[str, list[int]]:
    """The definition, word for word: numbers of the writes that break each invariant."""
    ws = list(enumerate(drawn, start=1))
    final = {n for n, (_, survives) in ws if survives}
    lost = [n for n, (kind, _) in ws if kind == "ok" and n not in final]
    top = max((n for n in final), default=-1)
    return {
        "D1": lost if sync else [],
        "D2": [] if sync else [n for n in lost if n * 0.5 <= T_FAIL - LAG],
        "D3": [] if sync else [n for n in lost if n < top],
        "S13": [n for n, (kind, _) in ws if kind == "fail" and n in final],
    }


def _keys(events: tuple[Event, ...]) -> list[int]:
    found = {int(e["key"][1:]) for e in events if e.kind == "op"}
    return sorted(found)


@given(writes)
def test_sync_durability_agrees_with_the_reference_form(drawn: Drawn) -> None:
    judgement = judge(_history(drawn, "sync"), invariants=["D1", "S13"])
    found = {f.invariant: _keys(f.events) for f in judgement.findings}
    expected = {k: v for k, v in _reference(drawn, sync=True).items() if v}
    assert found == expected


@given(writes)
def test_async_durability_agrees_with_the_reference_form(drawn: Drawn) -> None:
    # A write that failed is not of the epoch's log; if it shows up, that is S13's finding alone.
    drawn = [(kind, survives and kind != "fail") for kind, survives in drawn]
    judgement = judge(_history(drawn, "async"), invariants=["D2", "D3"])
    found = {f.invariant: _keys(f.events) for f in judgement.findings}
    expected = {k: v for k, v in _reference(drawn, sync=False).items() if v}
    assert found == expected


@given(writes)
def test_the_rpo_list_is_exactly_the_lost_acknowledged_writes(drawn: Drawn) -> None:
    lost = judge(_history(drawn, "async")).lost
    assert lost is not None
    expected = [n for n, (kind, there) in enumerate(drawn, 1) if kind == "ok" and not there]
    assert [change.seq for change in lost] == expected


def test_a_lost_write_says_how_long_before_the_fault_it_was_acknowledged() -> None:
    lost = judge(_history([("ok", False)], "sync")).lost
    assert lost is not None
    assert [change.acked_before_s for change in lost] == [4.5]
    assert "acknowledged 4.500 s before the fault" in str(lost[0])


def test_a_surviving_unknown_write_of_the_next_epoch_makes_no_hole() -> None:
    story = begin("async")
    story.op(0.5, "create", via=PROXY["region1"], type="ok", epoch=OLD, seq=1, put=1, key="k1")
    story.add(2.0, "fault", type="invoke", f="region_down", args={"region": "region1"})
    plan = {"plan": 1, "procedure": "full_failover", "to": "region2"}
    story.add(2.2, "plan", type="invoke", **plan)
    story.add(2.3, "step", type="invoke", plan=1, id="promote")
    story.add(2.6, "step", type="ok", plan=1, id="promote")
    unknown: dict[str, Any] = {"type": "info", "err": {"cls": "lost"}}
    opid = story.op(2.9, "create", via=PROXY["region2"], put=2, key="k2", **unknown)["opid"]
    final = {"objects": {"k2": 2}, "ops": {opid: 2}, "epoch": "e2e2", "seq": 2}
    story.add(4.0, "final", source="db:region2", **final)
    result = judge(history_of(story.done()), invariants=["D3"]).results[0]
    assert (result.exercised, result.verdict) == (True, Verdict.PASS)


def test_an_instant_of_a_story_is_in_nanoseconds() -> None:
    assert ns(0.5) - ns(0.0) == 500_000_000
