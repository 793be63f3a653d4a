"""The controller's death as a fault: it has a receipt when it struck, and proves nothing else."""

from __future__ import annotations

import pytest

from drharness import faults, procedures
from drharness.checks import Verdict
from drharness.deployment import Deployment
from drharness.errors import FaultNotProven, UsageError

FAILOVER = procedures.full_failover(to="region2")


@pytest.mark.slow
def test_a_controller_is_killed_once_and_its_receipt_says_when(
    deployment: Deployment,
) -> None:
    with deployment.traffic():
        deployment.inject(faults.RegionDown("region1"))
        guard = deployment.inject(faults.ControllerKilled(after="promote"))
        with pytest.raises(FaultNotProven, match="no procedure has come to that moment"):
            guard.receipt  # noqa: B018
        first = deployment.run(FAILOVER)
        assert (first.status, first.step) == ("interrupted", "promote")
        assert guard.receipt.before == {"controller -> plan": "step promote done"}
        assert guard.receipt.after == {"controller -> plan": "no end of plan 1"}
        second = deployment.run(FAILOVER)
        assert second.ok, second.text
        guard.heal()
    killed = [e.type for e in deployment.history.of_kind("fault") if e["f"] == "controller_killed"]
    assert killed == ["invoke", "ok", "heal"]
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


@pytest.mark.slow
def test_a_moment_that_no_procedure_comes_to_proves_nothing(deployment: Deployment) -> None:
    guard = deployment.inject(faults.ControllerKilled(within="flush", call=99))
    with deployment.traffic():
        deployment.inject(faults.RegionDown("region1"))
        assert deployment.run(FAILOVER).ok
    verdict = deployment.judge()
    assert verdict.status is Verdict.INVALID
    assert "controller_killed" in str(verdict)
    with pytest.raises(FaultNotProven, match="no procedure came to that moment"):
        guard.heal()


@pytest.mark.parametrize(
    "moment", [{"after": "fence", "within": "fence"}, {"within": "fence", "call": 0}]
)
def test_a_bad_moment_is_named(moment: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^(after, within|call): expected "):
        faults.ControllerKilled(**moment)  # type: ignore[arg-type]
