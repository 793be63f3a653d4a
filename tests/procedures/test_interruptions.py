"""A controller that dies anywhere leaves what another one, begun anew, brings to the same end."""

from __future__ import annotations

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.topology import Topology

DOWN = faults.RegionDown("region1")
FAILOVER = procedures.full_failover(to="region2")
STEPS = [step.id for step in FAILOVER.steps]

pytestmark = pytest.mark.slow


def end_of(d: Deployment) -> dict[str, object]:
    """What every failover is to leave."""
    status = d.operations.database_status("region2")
    return {
        "on": [vm.id for vm in d.topology.vms if d.operations.is_on(vm.id)],
        "active": d.active,
        "database": [status[k] for k in ("writable", "tli", "sync_names")],
        "names": d.dns.zone()["records"],
    }


@pytest.fixture(scope="module")
def usual_end(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a failover leaves whose controller lives."""
    with deploy(Topology.guide(), evidence_dir=tmp_path_factory.mktemp("usual")) as d:
        d.inject(DOWN)
        assert d.run(FAILOVER).ok
        return end_of(d)


@pytest.mark.parametrize(
    ("cut", "died"),
    [
        *((FAILOVER.interrupted(after=step), f"after step {step}") for step in STEPS),
        *(
            (FAILOVER.interrupted(within=step), f"within step {step}")
            for step in ("promote", "start-framework", "switch-names")
        ),
    ],
    ids=[*(f"after {step}" for step in STEPS), "in promote", "in start-framework", "in the switch"],
)
def test_killed_anywhere_and_run_again_it_ends_the_same(
    deployment: Deployment,
    usual_end: dict[str, object],
    cut: procedures.Procedure,
    died: str,
) -> None:
    with deployment.traffic():
        deployment.inject(DOWN)
        first = deployment.run(cut)
        assert (first.status, first.text) == ("interrupted", f"the controller was killed {died}")
        second = deployment.run(FAILOVER)
    assert second.ok, second.text
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)
    assert next(r for r in verdict.results if r.id == "L5").exercised
    assert end_of(deployment) == usual_end
