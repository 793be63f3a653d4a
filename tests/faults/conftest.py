"""One deployment for all tests of a module, without rules at boot."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from drharness.deployment import Deployment, deploy
from drharness.deployment.operations import NOT_YET
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology


@pytest.fixture(scope="module")
def unfenced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for the tests of a module; its databases come back open: no rules at boot."""
    topology = Topology.guide(return_fence="none")
    with deploy(topology, evidence_dir=tmp_path_factory.mktemp("runs")) as d:
        yield d


@pytest.fixture
def whole(unfenced: Deployment) -> Iterator[Deployment]:
    """That deployment; after the test both regions write again, all faults healed."""
    yield unfenced
    unfenced.heal()
    for region in unfenced.topology.regions:
        wait_until(
            partial(_writes, unfenced, region),
            f"a write through {region} read back",
            timeout=15.0,
            retry_on=NOT_YET,
        )


def _writes(deployment: Deployment, region: str) -> bool:
    return bool(deployment.operations.canary(region, "well", deadline=1.0)["ok"])
