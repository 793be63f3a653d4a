"""Liveness and RTO on small histories: refusals, healed faults, cuts, half a proxy pair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drharness.checks import Verdict, judge, recoveries
from drharness.history import History
from drharness.topology import Topology
from tests.checks.story import (
    NEW,
    OLD,
    PROXY,
    STEPS,
    Data,
    Plot,
    Story,
    begin,
    drill,
    finish,
    good_drill,
    history_of,
    ns,
    result_of,
    steps_of,
)


def _refused() -> list[Data]:
    """The procedure refuses at the fence, and writes are refused ever after."""
    story = drill()
    later = {"step": ns(1.95), "plan": ns(1.85), "op": ns(3.5)}
    story.events = [e for e in story.events if e["t"] < later.get(e["kind"], e["t"] + 1)]
    plan = {"plan": 1, "procedure": "full_failover", "to": "region2"}
    text = "no proof that region1-dbms is off"
    story.add(2.0, "step", type="refused", plan=1, id="fence", text=text)
    story.add(2.1, "plan", type="refused", **plan)
    for t in steps_of(3.5, 4.5, 0.2):
        story.refuse(t, PROXY["region2"])
    return story.done()


def test_a_refused_procedure_is_named_where_writes_did_not_recover() -> None:
    (finding,) = result_of(_refused(), "L1").findings
    assert finding.verdict is Verdict.FAIL
    assert finding.seen.endswith(
        "procedure full_failover refused at step fence: no proof that region1-dbms is off"
    )
    assert finding.events[0]["id"] == "fence"


def test_a_refusal_breaks_no_structure() -> None:
    assert result_of(_refused(), "P1").verdict is Verdict.PASS


def test_refusing_while_management_is_cut_is_right() -> None:
    events = _refused()
    cut = {"v": 1, "kind": "fault", "f": "management_cut", "args": {}}
    events[1:1] = [{**cut, "t": ns(1.45), "type": "invoke"}, {**cut, "t": ns(1.46), "type": "ok"}]
    assert not result_of(events, "L1").exercised


def test_traffic_that_ends_before_the_bound_leaves_recovery_unknown() -> None:
    events = [e for e in good_drill() if e["t"] < ns(3.5) or e["kind"] == "plan"]
    (finding,) = result_of(events, "L1").findings
    assert finding.verdict is Verdict.UNKNOWN
    assert "too short to judge" in finding.seen


def test_writes_that_stop_again_after_recovery_are_a_violation() -> None:
    story = drill(Plot(late=5.8))
    story.events = [e for e in story.events if e["t"] < ns(10.4) or e["kind"] != "op"]
    for t in steps_of(10.5, 12.0, 0.2):
        story.refuse(t, PROXY["region2"])
    (finding,) = result_of(story.done(), "L1").findings
    assert finding.expected.startswith("writes through region2's proxies go on")


def _not_read_back(events: list[Data], *, until: float) -> list[Data]:
    """After recovery every read shows the state before the first new write."""
    for e in events:
        if e["kind"] == "op" and e["f"] == "read" and e["type"] == "ok" and e["t"] > ns(3.5):
            e.update(seq=1, key="app/1", val=1)
    return [e for e in events if e["kind"] != "op" or e["t"] < ns(until)]


@pytest.mark.parametrize(
    ("late", "until", "verdict"), [(0.0, 4.0, Verdict.UNKNOWN), (5.0, 11.0, Verdict.UNKNOWN)]
)
def test_too_few_reads_after_a_write_leave_it_unknown(
    late: float, until: float, verdict: Verdict
) -> None:
    events = _not_read_back(good_drill(Plot(late=late)), until=until)
    (finding,) = result_of([e for e in events if e["kind"] != "final"], "L1").findings
    assert finding.verdict is verdict


def test_a_write_that_ended_the_traffic_is_read_back_at_rest() -> None:
    assert result_of(_not_read_back(good_drill(), until=4.0), "L1").verdict is Verdict.PASS
    behind = _not_read_back(good_drill(), until=4.0)
    for event in behind:
        if event["kind"] == "final" and "csproxy" in event["source"]:
            event["seq"] = 1
    assert result_of(behind, "L1").verdict is Verdict.UNKNOWN


def _returned(*, writes: bool) -> list[Data]:
    """Region 2 was down from 1.5 to 4.0; its clients ended with it, or one began anew."""
    story = begin()
    for t in steps_of(0.2, 6.0, 0.1):
        story.write(t, PROXY["region1"], epoch=OLD)
        story.read(t + 0.05, PROXY["region1"], epoch=OLD, mode="normal")
    args = {"region": "region2"}
    story.add(1.5, "fault", type="invoke", f="region_down", args=args)
    story.add(1.55, "fault", type="ok", f="region_down", args=args, since=ns(1.5))
    for vm in Topology.guide().vms_of("region2"):
        story.add(1.52, "vm", id=vm.id, state="off", cause="region_down")
        story.add(4.0, "vm", id=vm.id, state="on", cause="region_down healed")
    story.add(4.0, "fault", type="heal", f="region_down", args=args)
    if writes:
        story.refuse(4.5, PROXY["region2"])
    story.add(14.0, "end")
    return story.done()


def test_traffic_that_ends_with_the_heal_leaves_recovery_unknown() -> None:
    events = [e for e in _returned(writes=False) if e["t"] < ns(4.0) or e["kind"] != "op"]
    (finding,) = result_of(events, "L1").findings
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.seen == "none of 0; no write was tried, which is too short to judge"


def test_a_region_whose_clients_ended_with_it_has_nobody_to_write() -> None:
    events = _returned(writes=False)
    assert result_of(events, "L1").verdict is Verdict.PASS
    (recovery,) = recoveries(history_of(events))
    assert list(recovery.regions) == ["region1"]


def test_a_region_whose_clients_ended_with_it_has_nobody_to_read() -> None:
    """Region 1 alone is read from while, later, its region is cut off."""
    story = Story()
    story.events = _returned(writes=False)[:-1]
    args = {"one": "region1", "other": "region2"}
    for t, kind in ((4.6, "invoke"), (4.65, "ok"), (5.8, "heal")):
        since = {"since": ns(4.6)} if kind == "ok" else {}
        story.add(t, "fault", type=kind, f="regions_cut", args=args, **since)
    story.add(14.0, "end")
    assert result_of(story.done(), "L2").verdict is Verdict.PASS
    lived = [e for e in story.done() if e["kind"] != "vm"]
    (finding,) = [f for f in result_of(lived, "L2").findings if "region2" in f.expected]
    assert (finding.verdict, finding.seen) == (Verdict.UNKNOWN, "no read was tried")


def test_a_region_with_a_client_that_began_anew_has_to_recover() -> None:
    (finding,) = result_of(_returned(writes=True), "L1").findings
    assert "region2" in finding.expected
    assert finding.verdict is not Verdict.PASS


def _without_names(step: str, *, broken: bool) -> list[Data]:
    """The procedure fails at a step; the DNS server is powered off just before, or nothing is."""
    story = drill()
    begun = STEPS[step][0]
    ends = {"op": 3.5, "step": begun, "plan": begun}
    story.events = [
        e
        for e in story.events
        if e["t"] < ns(ends.get(e["kind"], 99)) or (e["t"] == ns(begun) and e["type"] == "ok")
    ]
    if broken:
        story.add(1.4, "fault", type="invoke", f="dns_down", args={}, targets=["dns"])
        story.add(1.45, "fault", type="ok", f="dns_down", args={}, targets=["dns"], since=ns(1.4))
    plan = {"plan": 1, "procedure": "full_failover", "to": "region2"}
    story.add(begun, "step", type="invoke", plan=1, id=step)
    text = "DNS: the changed server does not answer: 10.80.0.53: no answer in 1 s"
    story.add(STEPS[step][1], "step", type="fail", plan=1, id=step, text=text)
    story.add(3.9, "plan", type="fail", **plan)
    for t in steps_of(3.5, 12.0, 0.2):
        story.refuse(t, PROXY["region2"])
    return story.done()


@pytest.mark.parametrize(
    ("step", "broken", "verdict"),
    [
        ("switch-names", True, Verdict.PASS),
        ("switch-names", False, Verdict.FAIL),
        ("promote", True, Verdict.FAIL),  # that needs no names
    ],
)
@pytest.mark.parametrize("invariant", ["L1", "P1"])
def test_a_definite_failure_for_a_broken_dns_server_is_no_violation(
    step: str, broken: bool, verdict: Verdict, invariant: str
) -> None:
    assert result_of(_without_names(step, broken=broken), invariant).verdict is verdict


def test_a_write_that_no_read_shows_for_long_has_not_recovered() -> None:
    story = drill()
    for t in steps_of(4.55, 6.5, 0.1):
        story.read(t, PROXY["region2"], epoch=NEW, mode="normal")
    (finding,) = result_of(_not_read_back(story.done(), until=7), "L1").findings
    assert finding.verdict is Verdict.FAIL
    assert "none of" in finding.seen


def _healed(cut_until: float | None, back: float) -> list[Data]:
    """The regions are cut without a procedure; region 2 can write again from ``back`` on."""
    story = begin()
    args = {"regions": ["region1", "region2"]}
    for t in steps_of(0.2, 0.9, 0.05):
        for region in PROXY:
            story.write(t, PROXY[region], epoch=OLD)
    story.add(1.0, "fault", type="invoke", f="regions_cut", args=args)
    story.add(1.1, "fault", type="ok", f="regions_cut", args=args, proof={"probe": "ping"})
    for t in steps_of(1.2, 12.0, 0.2):
        story.write(t, PROXY["region1"], epoch=OLD)
        for region in PROXY:
            story.read(t + 0.1, PROXY[region], epoch=OLD, mode="normal")
        if t > back:
            story.write(t + 0.05, PROXY["region2"], epoch=OLD)
        else:
            story.refuse(t + 0.05, PROXY["region2"])
    if cut_until is not None:
        story.add(cut_until, "fault", type="heal", f="regions_cut", args=args)
    return story.done()


def test_without_heal_and_procedure_recovery_is_not_judged() -> None:
    assert not result_of(_healed(None, 20.0), "L1").exercised


def test_after_the_heal_recovery_is_due_within_the_bound() -> None:
    assert result_of(_healed(2.0, 4.0), "L1").verdict is Verdict.PASS
    (finding,) = result_of(_healed(2.0, 11.0), "L1").findings
    assert "region2" in finding.expected


def test_a_region_cut_off_by_an_unhealed_fault_has_not_to_recover() -> None:
    events = _healed(None, 20.0)
    plan = {"v": 1, "kind": "plan", "plan": 1, "procedure": "drill", "to": "region1"}
    events.append({**plan, "t": ns(2.0), "type": "invoke"})
    events.append({**plan, "t": ns(3.0), "type": "ok"})
    result = result_of(events, "L1")
    assert (result.exercised, result.verdict) == (True, Verdict.PASS)


def test_reads_of_a_cut_off_region_still_have_to_succeed() -> None:
    events = _healed(None, 20.0)
    assert result_of(events, "L2").verdict is Verdict.PASS
    for event in events:
        mine = event["kind"] == "op" and event["via"] == PROXY["region2"] and event["t"] > ns(5)
        if mine and event["f"] == "read" and event["type"] == "ok":
            event.update(type="info", err={"cls": "timeout", "text": "2 s"})
    (finding,) = result_of(events, "L2").findings
    assert finding.verdict is Verdict.FAIL


def test_no_read_during_the_fault_leaves_limited_mode_unknown() -> None:
    events = [e for e in good_drill() if e["kind"] != "op" or e["f"] != "read" or e["t"] < ns(1.5)]
    (finding,) = result_of(events, "L2").findings
    assert (finding.verdict, finding.seen) == (Verdict.UNKNOWN, "no read was tried")


def test_a_proxy_never_normal_again_is_named_with_its_last_sample() -> None:
    story = drill(Plot(backup_normal=9.0))
    events = [e for e in story.done() if e["t"] < ns(5)]
    (finding,) = result_of(events, "L3").findings
    assert "region2-application-b.csproxy is in normal mode" in finding.expected
    assert finding.seen.endswith("says limited")


def test_a_proxy_on_a_dead_vm_has_not_to_reconnect() -> None:
    story = drill(Plot(backup_normal=9.0))
    story.add(1.9, "vm", id="region2-application-b", state="off")
    assert result_of(story.done(), "L3").verdict is Verdict.PASS


def test_only_the_vms_that_the_names_meant_before_keep_a_proxy_waiting() -> None:
    """A third region's Framework is always without power, and nobody connects to it."""
    topology = Topology.guide(regions=3)
    story = drill(Plot(backup_normal=4.5))
    story.events[0]["topology"] = topology.as_dict()
    for t, region, state in ((0.06, "region3", "off"), (2.2, "region1", "on")):
        for vm in topology.vms_of(region, "framework"):
            story.add(t, "vm", id=vm.id, state=state, cause="test")
    said = [(f.verdict, f.expected) for f in result_of(story.done(), "L3").findings]
    late = [text for verdict, text in said if verdict is Verdict.FAIL]
    assert [text.partition(" ")[0] for text in late] == ["region2-application-b.csproxy"]


def _without_flush(story: Story) -> list[Data]:
    return [e for e in story.done() if not (e["kind"] == "step" and e["id"] == "flush")]


@pytest.mark.parametrize(("normal", "verdict"), [(5.15, Verdict.PASS), (5.65, Verdict.FAIL)])
def test_without_a_flush_the_ttl_is_allowed(normal: float, verdict: Verdict) -> None:
    story = drill(Plot(backup_normal=normal))
    for t in steps_of(4.9, 6.0, 0.2):
        mode = "normal" if t >= normal else "limited"
        story.comp(t, "region2-application-b.csproxy", "backup", mode=mode, epoch=NEW)
    assert result_of(_without_flush(story), "L3").verdict is verdict


def test_rto_names_the_slowest_region_and_what_the_time_went_into() -> None:
    (recovery,) = recoveries(history_of(good_drill()))
    assert (recovery.cause, recovery.last) == ("region_down(region1)", "region2")
    assert recovery.seconds == pytest.approx(2.06)
    assert dict(recovery.phases)["promote"] == pytest.approx(0.4)
    assert str(recovery).startswith("RTO after region_down(region1): 2.060 s (region2 2.060 s")


def test_rto_is_not_reached_if_a_region_never_writes_again() -> None:
    (recovery,) = recoveries(history_of(_refused()))
    assert (recovery.seconds, recovery.last) == (None, "region2")
    assert "not reached (region2 never" in str(recovery)


@pytest.mark.parametrize("make", [good_drill, _refused])
def test_every_finding_belongs_to_its_own_check(make: Callable[[], list[Data]]) -> None:
    for result in judge(history_of(make())).results:
        assert {f.invariant for f in result.findings} <= {result.id}


def _bitten(*rows: tuple[float, float]) -> History:
    """Without a procedure, writes every 0.1 s; within each row all fail; healed at 7.0."""
    story = begin()
    for t in steps_of(0.2, 1.5, 0.1):
        story.write(t, PROXY["region2"], epoch=OLD)
    args = {"target": "active.dbms"}
    story.add(1.5, "fault", type="invoke", f="disk_full", args=args)
    story.add(1.55, "fault", type="ok", f="disk_full", args=args, since=ns(1.5))
    story.add(7.0, "fault", type="heal", f="disk_full", args=args)
    for t in steps_of(1.5, 9.0, 0.1):
        if any(since <= t < until for since, until in rows):
            story.refuse(t, PROXY["region2"], cls="unavailable")
        else:
            story.write(t, PROXY["region2"], epoch=OLD)
    story.add(9.1, "end")
    return history_of(story.done())


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        (((1.5, 3.0),), 1.51),  # at once
        (((1.7, 7.3),), 5.81),  # after some more had found room
        (((1.7, 3.0), (3.3, 7.3)), 5.81),  # twice
        (((2.0, 2.1), (2.2, 2.4)), 0.61),  # never for long: the first one after the first bad one
        ((), 0.01),
        (((1.7, 3.0), (8.0, 8.1)), 1.51),  # a single one later is none
        (((1.7, 9.0),), None),
    ],
    ids=repr,
)
def test_without_a_procedure_rto_ends_with_the_outage(
    rows: tuple[tuple[float, float], ...], seconds: float | None
) -> None:
    (recovery,) = recoveries(_bitten(*rows))
    found = recovery.regions["region2"]
    assert (None if found is None else round(found, 3)) == seconds


@pytest.mark.parametrize("struck", [2.45, 3.84])
def test_a_controller_that_dies_in_a_procedure_is_no_later_disturbance(struck: float) -> None:
    """It was armed before; at its death the new epoch may have taken writes already."""
    story = drill()
    how = {"f": "controller_killed", "args": {"after": "reconnect"}}
    story.add(1.7, "fault", type="invoke", **how)
    story.add(struck, "fault", type="ok", since=ns(struck), **how)
    finish(story, Plot())
    history = history_of(story.done())
    (recovery,) = recoveries(history)
    assert recovery.cause == "region_down(region1)"
    assert recovery.seconds == pytest.approx(2.06)
    for result in judge(history, invariants=["L1", "L3", "D1"]).results:
        assert result.verdict is Verdict.PASS, result.findings


@pytest.mark.parametrize(("slow", "verdict"), [(True, Verdict.PASS), (False, Verdict.FAIL)])
def test_writes_that_are_slow_have_not_stopped(slow: bool, verdict: Verdict) -> None:
    """After the bound three are given up, while those begun before are still acknowledged."""
    story = drill()
    story.events = [e for e in story.events if e["t"] < ns(4.5) or e["kind"] != "op"]
    for t in steps_of(10.0, 10.6, 0.1):
        story.write(t, PROXY["region2"], epoch=NEW, took=2.0 if slow else 0.1)
    err = {"cls": "timeout", "sqlstate": "", "text": "no answer", "notices": []}
    for t in (10.61, 10.62, 10.63):
        how = {"type": "info", "err": err}
        story.op(t, "create", via=PROXY["region2"], took=2.0, **how)
    story.write(12.7, PROXY["region2"], epoch=NEW)
    story.add(13.0, "end")
    assert result_of(story.done(), "L1").verdict is verdict
