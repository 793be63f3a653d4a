"""What ends by itself under a deployment: told as that, not as a failure of the architecture."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from drharness.checks import Verdict
from drharness.deployment import deploy
from drharness.errors import EngineLost
from drharness.kernel.waiting import wait_until
from fixtures import leaks

pytestmark = pytest.mark.slow


def _kill(name: str) -> None:
    """SIGKILL the first process of that name below this controller."""
    os.kill(leaks.first_of(name, os.getpid()), signal.SIGKILL)


def test_a_vm_whose_agent_is_killed_makes_the_run_invalid(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            _kill("drh-r2-app-p")
            wait_until(lambda: not d.vm("region2-application-p").is_on, "VM gone", timeout=5.0)
            with pytest.raises(EngineLost, match=r"region2-application-p ended with status -9"):
                traffic.wait_writes(10**6, timeout=30.0)
        judgement = d.judge()
    assert judgement.status is Verdict.INVALID
    assert "region2-application-p ended by itself" in str(judgement)


@pytest.mark.parametrize("name", ["drh-guard", "drh-outer"])
def test_when_all_vms_end_at_once_waiting_ends_too(tmp_path: Path, name: str) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        traffic = d.traffic()
        traffic.__enter__()
        _kill(name)
        with pytest.raises(EngineLost, match="ended with all others"):
            traffic.wait_writes(10**6, timeout=30.0)
        assert d.judge().status is Verdict.INVALID


def test_a_launcher_that_is_killed_takes_no_deployment_along(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        _kill("drh-launcher")
        assert d.operations.canary("region1", "x", deadline=15.0)["ok"]
        with deploy(evidence_dir=tmp_path) as other:
            assert other.operations.canary("region1", "x", deadline=15.0)["ok"]
