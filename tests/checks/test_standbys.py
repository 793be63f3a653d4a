"""With three regions: which standbys there are to be, and what the checks demand of them."""

from __future__ import annotations

from typing import Any

import pytest

from drharness.checks import Verdict
from drharness.checks.episodes import cut_off
from drharness.checks.standbys import followers
from drharness.topology import Topology
from tests.checks.story import STEPS, Data, Plot, drill, finish, history_of, ns, result_of

THREE = Topology.guide(regions=3)
BOTH = ("region2", "region3")
FOLLOWED: Data = {"following": {"region3": {}}, "left": {}}


def told(*, follows: bool, added: tuple[Data, ...] = ()) -> list[Data]:
    """The drill that goes well, with a third region; its procedure ends with the step or not."""
    story = drill()
    finish(story, Plot())
    story.events += added
    for event in story.events:
        if event["kind"] == "run":
            event["topology"] = THREE.as_dict()
        if event["kind"] == "plan" and follows:
            event["steps"] = [*STEPS, "follow"]
    if follows:
        step: dict[str, Any] = {"plan": 1, "id": "follow", "target": "the other standbys"}
        story.add(3.81, "step", type="invoke", **step)
        story.add(3.84, "step", type="ok", result=FOLLOWED, **step)
    return story.done()


def cut(t: float, type_: str, *regions: str) -> Data:
    """A cut between regions, or its heal."""
    return {"v": 1, "t": ns(t), "kind": "net", "type": type_, "what": {"regions": list(regions)}}


def test_standbys_are_all_others_at_first_and_then_those_that_follow() -> None:
    history = history_of(told(follows=True))
    assert followers(history, ns(1.0)) == BOTH
    assert followers(history, ns(3.0)) == ()
    assert followers(history, ns(4.0)) == ("region3",)
    assert followers(history_of(told(follows=False)), ns(4.0)) == ()


@pytest.mark.parametrize("follows", [True, False])
def test_a_promotion_that_nobody_follows_skips_a_step(follows: bool) -> None:
    result = result_of(told(follows=follows), "P1")
    assert result.verdict is (Verdict.PASS if follows else Verdict.FAIL)
    assert follows or [f.expected for f in result.findings] == ["full_failover does step follow"]


@pytest.mark.parametrize(
    ("names", "waits"),
    [
        ('FIRST 2 ("region2", "region3")', True),
        ('FIRST 1 ("region2", "region3")', False),
        ('ANY 1 ("region2", "region3")', False),
        ('FIRST 1 ("region2")', False),
        ("", False),
    ],
)
def test_a_commit_waits_for_all_standbys(names: str, waits: bool) -> None:
    events = told(follows=True)
    for event in events:
        if event["kind"] == "audit" and event["db"] == "region1":
            event["settings"] |= {"synchronous_standby_names": names}
        if event["kind"] == "audit" and event["db"] == "region2":
            event["settings"] |= {"synchronous_standby_names": 'FIRST 1 ("region3")'}
    assert result_of(events, "T3").verdict is (Verdict.PASS if waits else Verdict.FAIL)


def test_a_promoted_database_waits_for_those_that_follow_it() -> None:
    result = result_of(told(follows=True), "T3")
    expected = "a commit in the database of region2 waits for region3"
    assert expected in [f.expected for f in result.findings]


@pytest.mark.parametrize(
    ("cut_between", "excused"),
    [
        (("region1", "region2"), {"region1", "region2", "region3"}),
        (("region1", "region3"), {"region1", "region2", "region3"}),
        (("region2", "region3"), set()),
    ],
)
def test_a_cut_excuses_who_is_cut_off_or_waits_for_who_is(
    cut_between: tuple[str, str], excused: set[str]
) -> None:
    """Every commit waits for both standbys; between those nothing passes that a write needs."""
    cuts = (cut(0.5, "cut", *cut_between), cut(0.9, "heal", *cut_between))
    history = history_of(told(follows=True, added=cuts))
    found = {
        region
        for region in THREE.regions
        if cut_off(history, region, "region1", since=ns(0.4), until=ns(1.0))
    }
    assert found == excused


def test_what_is_cut_off_from_no_standby_is_not_excused() -> None:
    """After the failover region 2's own commits wait for region 3 only."""
    cuts = (cut(4.0, "cut", "region1", "region2"), cut(4.2, "heal", "region1", "region2"))
    history = history_of(told(follows=True, added=cuts))
    assert not cut_off(history, "region2", "region2", since=ns(3.9), until=ns(4.4))
    assert not cut_off(history, "region3", "region2", since=ns(3.9), until=ns(4.4))
    assert cut_off(history, "region1", "region2", since=ns(3.9), until=ns(4.4))
