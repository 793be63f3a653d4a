"""Databases with a wrong wall clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks import Verdict
from drharness.deployment import Deployment, deploy
from drharness.engines.protocol import FAKETIME
from drharness.errors import UsageError
from drharness.faults import ClockSkew
from tests.faults.canaries import wait_writable

pytestmark = pytest.mark.slow


def ahead(d: Deployment, region: str) -> float:
    """Seconds by which a region's database is ahead of this host."""
    return float(d.operations.database(region, "wall:ahead")["ahead"])


def test_this_host_has_the_library(shared: Deployment) -> None:
    assert shared.operations.require_power(FAKETIME).endswith("libfaketime.so.1")


def test_one_database_is_behind_until_it_is_healed(shared: Deployment) -> None:
    guard = shared.inject(ClockSkew("active.dbms", seconds=-86400))
    assert set(guard.receipt.after) == {"region1-dbms"}
    assert -86402 < ahead(shared, "region1") < -86398
    assert abs(ahead(shared, "region2")) < 2
    wait_writable(shared)
    guard.heal()
    assert abs(ahead(shared, "region1")) < 2
    wait_writable(shared)


def test_a_reboot_ends_the_skew_and_the_heal_is_content(shared: Deployment) -> None:
    guard = shared.inject(ClockSkew())
    shared.operations.reboot("region2-dbms")
    shared.operations.database("region2", "server:wait_accepting", timeout=20.0)
    assert abs(ahead(shared, "region2")) < 2
    guard.heal()
    wait_writable(shared)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (ClockSkew(seconds=0.5), "seconds: expected at least 1 either way, got 0.5"),
        (ClockSkew("active.framework"), "target: expected a DBMS VM, got 'active.framework'"),
    ],
    ids=repr,
)
def test_nonsense_is_refused(shared: Deployment, fault: ClockSkew, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shared.inject(fault)


def test_traffic_goes_on_though_the_databases_disagree_about_the_time(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            guard = d.inject(ClockSkew("dormant.dbms", seconds=3600))
            traffic.wait_writes(50, timeout=20.0)
            guard.heal()
            traffic.wait_writes(100, timeout=20.0)
        judgement = d.judge()
    assert judgement.status is Verdict.PASS, str(judgement)
