"""Slow, lossy and narrow lines between the regions of a running deployment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from drharness.checks import Verdict
from drharness.deployment import Deployment, deploy
from drharness.errors import EngineLost, UsageError
from drharness.faults import Delay, Loss, Rate
from drharness.faults.model import Fault
from drharness.kernel.waiting import wait_until
from fixtures import leaks
from tests.faults.canaries import wait_writable

pytestmark = pytest.mark.slow

# Of each line's own: a synchronous change takes a round trip and its retransmissions, one after the
# other. What is asked for beyond that queues up until every one is given up before its turn.
CARRIED_PER_S = 5

LINES = [Delay(seconds=0.05), Loss(share=0.1), Rate(bits_per_s=1_000_000)]


@pytest.mark.parametrize(
    "fault",
    [
        Delay("region2", "region1", seconds=0.02, both_ways=False),
        Loss(share=0.02, both_ways=False),
        Rate("region2", "region1", bits_per_s=10_000_000, both_ways=False),
    ],
    ids=repr,
)
def test_a_line_is_worse_until_it_is_healed(shared: Deployment, fault: Fault) -> None:
    guard = shared.inject(fault)
    assert guard.receipt.changed
    guard.heal()
    wait_writable(shared)


def test_faults_of_one_line_are_healed_in_any_order(shared: Deployment) -> None:
    there = shared.inject(Loss("region1", "region2", share=0.2, both_ways=False))
    back = shared.inject(Loss("region2", "region1", share=0.2, both_ways=False))
    slow = shared.inject(Delay(seconds=0.02))
    for guard in (there, slow, back):
        guard.heal()
    wait_writable(shared)


def test_a_line_is_not_shaped_twice_alike(shared: Deployment) -> None:
    with (
        shared.inject(Delay(seconds=0.02)),
        pytest.raises(UsageError, match=r"RegionDelay.* is in force already: heal it before"),
    ):
        shared.inject(Delay("region2", "region1", seconds=0.01, both_ways=False))
    wait_writable(shared)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Delay(seconds=0), "seconds: expected a number from 0.005 to 1, got 0"),
        (Loss(share=30), "share: expected a number from 0.005 to 0.9, got 30"),
        (Rate(bits_per_s=1), r"bits_per_s: expected a number from 64000 to 2e\+07, got 1"),
        (Delay("region1", "region1"), "other: expected another region than one"),
        (
            Loss("region1", "region3"),
            "other: expected one of active, dormant, region1, region2, got 'region3'",
        ),
    ],
    ids=repr,
)
def test_nonsense_is_refused(shared: Deployment, fault: Fault, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shared.inject(fault)


@pytest.mark.parametrize("fault", LINES, ids=repr)
def test_traffic_goes_on_over_a_bad_line_and_nothing_fails(tmp_path: Path, fault: Fault) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic(rate=CARRIED_PER_S) as traffic:
            traffic.wait_writes(5, timeout=10.0)
            guard = d.inject(fault)
            traffic.wait_writes(15, timeout=20.0)
            guard.heal()
            traffic.wait_writes(5, timeout=20.0)
        wait_writable(d)
        judgement = d.judge()
    assert judgement.status is Verdict.PASS, str(judgement)


def test_a_delay_that_ends_by_itself_makes_the_run_invalid(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic():
            d.inject(Delay(seconds=0.05, both_ways=False))
            os.kill(leaks.first_of("drh-delay-18", os.getpid()), signal.SIGKILL)
            wait_until(d.operations.lost, "the loss told", timeout=5.0)
            with pytest.raises(EngineLost, match="delay region1 -> region2 ended with status -9"):
                d.operations.check_engine()
        judgement = d.judge()
    assert judgement.status is Verdict.INVALID
    assert "delay region1 -> region2 ended by itself" in str(judgement)
