"""What faults of links and processes excuse in the liveness checks, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from drharness.checks import Verdict
from tests.checks.story import (
    MASTER,
    OLD,
    ONE,
    PROXY,
    TWO,
    Data,
    Story,
    begin,
    ns,
    result_of,
    steps_of,
)

OTHER = "region2-application-b"
ACTIVE = "region1-framework-p"
KILLED: Data = {"f": "component_killed", "args": {"target": MASTER["region1"], "signal": 9}}


def _told(
    fault: Data, *, back: float, healed: float | None = None, net: Data | None = None
) -> Story:
    """A fault at 1 s without a procedure; region 2 can write again from ``back`` on."""
    story = begin()
    for t in steps_of(0.2, 0.9, 0.05):
        for region in PROXY:
            story.write(t, PROXY[region], epoch=OLD)
    for t in (1.0, 1.1):
        kind: dict[str, Any] = {"type": "invoke"} if t == 1.0 else {"type": "ok", "proof": {"p": 1}}
        story.add(t, "fault", **fault, **kind)
    if net is not None:
        story.add(1.05, "net", type="cut", what=net)
    for t in steps_of(1.2, 12.0, 0.2):
        story.write(t, PROXY["region1"], epoch=OLD)
        for n, region in enumerate(PROXY):
            client = "new" if round(t * 5) % 2 else "old"
            story.read(t + 0.1 + 0.01 * n, PROXY[region], epoch=OLD, mode="normal", client=client)
        if t > back:
            story.write(t + 0.05, PROXY["region2"], epoch=OLD)
        else:
            story.refuse(t + 0.05, PROXY["region2"])
    if healed is not None:
        if net is not None:
            story.add(healed - 0.001, "net", type="heal", what=net)
        story.add(healed, "fault", type="heal", **fault)
    return story


def _link(source: str, target: str, *, back: float = 20.0, healed: float | None = None) -> Story:
    args = {"source": source, "target": target, "how": "drop", "port": 0, "both_ways": False}
    fault = {"f": "link_cut", "args": args, "targets": [source, target]}
    what = {"source": source, "target": target, "how": "drop", "port": 0, "answers": False}
    return _told(fault, back=back, healed=healed, net=what)


def _failing_reads(story: Story, region: str) -> list[Data]:
    events = story.done()
    for event in events:
        mine = event["kind"] == "op" and event["via"] == PROXY[region] and event["t"] > ns(5)
        if mine and event["f"] == "read" and event["type"] == "ok":
            event.update(type="info", err={"cls": "timeout", "text": "2 s"})
    return events


def _with_procedure(story: Story) -> list[Data]:
    plan: dict[str, Any] = {"plan": 1, "procedure": "drill", "to": "region1"}
    story.add(2.0, "plan", type="invoke", **plan)
    story.add(3.0, "plan", type="ok", **plan)
    return story.done()


def test_a_proxy_whose_link_to_the_master_is_cut_still_serves_reads() -> None:
    assert result_of(_link(TWO, ACTIVE).done(), "L2").verdict is Verdict.PASS
    (finding,) = result_of(_failing_reads(_link(TWO, ACTIVE), "region2"), "L2").findings
    assert finding.verdict is Verdict.FAIL
    assert "region2" in finding.expected


def test_reads_over_a_cut_link_of_the_pair_itself_may_fail() -> None:
    """Clients of one Application VM come to the proxy of the other on this link."""
    events = _failing_reads(_link(TWO, OTHER), "region2")
    assert result_of(events, "L2").verdict is Verdict.PASS
    (finding,) = result_of(_failing_reads(_link(TWO, OTHER), "region1"), "L2").findings
    assert "region1" in finding.expected


@pytest.mark.parametrize(
    ("source", "target"),
    [(TWO, ACTIVE), (OTHER, "region1-framework-b"), (TWO, "dns"), (ACTIVE, "region1-dbms")],
)
def test_a_region_has_not_to_write_over_a_cut_link(source: str, target: str) -> None:
    assert not result_of(_with_procedure(_link(source, target)), "L1").findings


@pytest.mark.parametrize(
    ("source", "target"),
    [(ONE, ACTIVE), (OTHER, "region2-framework-p"), (TWO, "region1-application-b")],
)
def test_a_cut_link_that_no_write_passes_excuses_nothing(source: str, target: str) -> None:
    (finding,) = result_of(_with_procedure(_link(source, target)), "L1").findings
    assert "region2" in finding.expected


def test_after_a_cut_link_healed_writes_are_due_again() -> None:
    assert result_of(_link(TWO, ACTIVE, back=4.0, healed=2.0).done(), "L1").verdict is Verdict.PASS
    (finding,) = result_of(_link(TWO, ACTIVE, back=11.0, healed=2.0).done(), "L1").findings
    assert "region2" in finding.expected


@pytest.mark.parametrize(("back", "healed"), [(4.0, None), (4.0, 3.0), (9.0, 3.0)])
def test_a_killed_component_that_comes_back_in_time_passes(
    back: float, healed: float | None
) -> None:
    result = result_of(_told(KILLED, back=back, healed=healed).done(), "L1")
    assert (result.exercised, result.verdict) == (True, Verdict.PASS)


@pytest.mark.parametrize(("back", "healed"), [(20.0, None), (10.5, None), (20.0, 3.0)])
def test_recovery_is_due_though_nobody_healed_a_killed_component(
    back: float, healed: float | None
) -> None:
    (finding,) = result_of(_told(KILLED, back=back, healed=healed).done(), "L1").findings
    assert finding.verdict is Verdict.FAIL


def test_a_frozen_component_is_not_due_before_it_is_healed() -> None:
    frozen = {"f": "component_frozen", "args": {"target": MASTER["region1"]}}
    assert not result_of(_told(frozen, back=20.0).done(), "L1").exercised


def test_reads_through_a_killed_proxy_may_fail() -> None:
    fault = {"f": "component_killed", "args": {"target": PROXY["region2"], "signal": 9}}
    story = _told(fault, back=4.0, healed=8.0)
    assert not result_of(_failing_reads(story, "region2"), "L2").findings


@pytest.mark.parametrize(("return_fence", "due"), [("boot-deny", False), ("none", True)])
def test_a_database_that_boots_behind_its_rules_needs_a_procedure(
    return_fence: str, due: bool
) -> None:
    fault = {"f": "vm_rebooted", "args": {"target": "active.dbms"}, "targets": ["region1-dbms"]}
    story = _told(fault, back=20.0)
    story.events[0]["topology"]["return_fence"] = return_fence
    story.add(1.04, "vm", id="region1-dbms", state="off", cause="vm_rebooted")
    story.add(1.06, "vm", id="region1-dbms", state="on", cause="vm_rebooted")
    result = result_of(story.done(), "L1")
    assert (result.exercised, bool(result.findings)) == (due, due)
