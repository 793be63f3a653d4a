"""The host's own stalls: merged over VMs, and what they excuse and what not."""

from __future__ import annotations

import pytest

from drharness.checks import Verdict, judge
from drharness.checks.stalls import extended, spells, stalled
from tests.checks.looked import replica
from tests.checks.story import (
    BACKUP,
    ONE,
    PROXY,
    TWO,
    Plot,
    Story,
    begin,
    drill,
    finish,
    good_drill,
    history_of,
    ns,
)


def stall(story: Story, since: float, until: float, vm: str = TWO) -> None:
    """The host kept a VM waiting."""
    story.add(until, "stall", vm=vm, since=ns(since))


def told(*times: tuple[float, float], plot: Plot | None = None) -> Story:
    """The good drill on a host that stood still."""
    story = drill(plot)
    for number, (since, until) in enumerate(times):
        stall(story, since, until, (ONE, TWO)[number % 2])
    return story


def verdict_of(story: Story, invariant: str, plot: Plot | None = None) -> Verdict:
    """The verdict of one check."""
    finish(story, plot or Plot())
    (result,) = judge(history_of(story.done()), invariants=[invariant]).results
    return result.verdict


def test_stalls_of_several_vms_at_once_count_once() -> None:
    story = told((2.0, 2.4), (2.2, 2.5), (3.0, 3.2))
    history = history_of(story.done())
    assert spells(history, ns(0), ns(9)) == [(ns(2.0), ns(2.5)), (ns(3.0), ns(3.2))]
    assert stalled(history, ns(2.4), ns(3.1)) == ns(2.5) - ns(2.4) + ns(3.1) - ns(3.0)


def test_a_bound_moves_by_what_stood_still_before_it_and_while_it_moved() -> None:
    history = history_of(told((2.0, 2.5), (4.2, 4.4), (9.0, 9.5)).done())
    assert extended(history, ns(1.0), ns(4.0)) == ns(4.7)
    assert extended(history, ns(5.0), ns(6.0)) == ns(6.0)


@pytest.mark.parametrize(
    ("stood", "verdict"),
    [((3.4, 3.9), Verdict.PASS), ((3.4, 3.6), Verdict.FAIL), ((5.0, 9.0), Verdict.FAIL)],
)
def test_a_slow_proxy_is_excused_by_as_much_as_the_host_stood_still(
    stood: tuple[float, float], verdict: Verdict
) -> None:
    plot = Plot(backup_normal=4.95)
    assert verdict_of(told(stood, plot=plot), "L3", plot) is verdict


@pytest.mark.parametrize(
    ("stood", "verdict"), [((2.0, 2.7), Verdict.UNKNOWN), ((2.0, 2.3), Verdict.FAIL)]
)
def test_a_failed_read_is_unknown_only_if_the_host_stood_still_around_it(
    stood: tuple[float, float], verdict: Verdict
) -> None:
    story = told(stood)
    err = {"cls": "refused", "sqlstate": "", "text": "connection refused", "notices": []}
    story.op(2.81, "read", via=PROXY["region2"], client="new", type="fail", err=err)
    assert verdict_of(story, "L2") is verdict


def test_the_report_tells_of_the_host_only_if_it_stood_still() -> None:
    assert "note: the host" not in str(judge(history_of(good_drill())))
    story = told((2.0, 2.5), (2.2, 2.6), (3.0, 3.1))
    finish(story, Plot())
    text = str(judge(history_of(story.done())))
    assert "note: the host kept processes waiting, 0.60 s at the longest, 0.70 s in all" in text
    assert BACKUP not in text


@pytest.mark.parametrize(
    ("waited", "stood", "verdict"),
    [
        (1.6, None, Verdict.FAIL),
        (1.6, (0.8, 1.0), Verdict.PASS),
        (2.5, (0.8, 1.0), Verdict.FAIL),
        (None, (0.8, 1.0), Verdict.FAIL),
        (None, (0.0, 4.0), Verdict.UNKNOWN),
        (1.6, (2.2, 4.0), Verdict.FAIL),  # after its bound
    ],
)
def test_a_canary_may_be_late_by_as_much_as_the_host_stood_still(
    waited: float | None, stood: tuple[float, float] | None, verdict: Verdict
) -> None:
    story = begin()
    if stood is not None:
        stall(story, *stood)
    replica(story, 0.5 + (waited or 3.0), waited_s=waited, standby={}, since=ns(0.5))
    story.add(5.0, "end")
    (result,) = judge(history_of(story.done()), invariants=["S6"]).results
    assert result.verdict is verdict
