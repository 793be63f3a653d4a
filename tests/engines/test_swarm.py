"""One region per daemon: a deployment that spans two, joined in a Swarm, survives as on one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drharness import deploy, faults, procedures
from drharness.deployment.engines import engine_named, require
from drharness.engines.docker import daemon
from drharness.errors import Unsupported
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology
from fixtures import swarm
from fixtures.swarm import FIRST, SECOND, two_daemons

pytestmark = [pytest.mark.slow, pytest.mark.docker]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Clients of two daemons, by context."""
    require(engine_named("docker"))
    swarm.require()
    with two_daemons(tmp_path_factory.mktemp("swarm")) as clients:
        yield clients


def names(client: Any, run: str) -> set[str]:
    """Host names of a run's containers there."""
    ids = [one.id for one in daemon.found(client, run)["containers"]]
    return {client.containers.get(id_).attrs["Config"]["Hostname"] for id_ in ids}


def test_each_region_is_on_its_daemon_and_a_failover_goes_between_them(
    daemons: dict[str, Any], tmp_path: Path
) -> None:
    topology = Topology.guide().on_contexts({"region1": FIRST, "region2": SECOND})
    with deploy(topology, engine="docker", evidence_dir=tmp_path) as d:
        (run,) = [place.name for place in tmp_path.iterdir() if place.is_dir()]
        with d.traffic():
            d.inject(faults.RegionsCut("region1", "region2")).heal()
            d.inject(faults.RegionDown("region1"))
            outcome = d.run(procedures.full_failover(to="region2"))
        assert outcome.ok, outcome.text
        second = {vm.id for vm in topology.vms_of("region2")}  # all were powered on by now
        assert names(daemons[SECOND], run) == second | {"router2"}
        assert names(daemons[FIRST], run) == {vm.id for vm in topology.vms} - second | {"router"}
        verdict = d.judge()
        assert not verdict.failed, str(verdict)
    wait_until(
        lambda: not any(names(client, run) for client in daemons.values()),
        "nothing left",
        timeout=10.0,
    )


def test_the_first_region_has_to_be_where_the_swarm_is_managed(
    daemons: dict[str, Any], tmp_path: Path
) -> None:
    topology = Topology.guide().on_contexts({"region1": SECOND, "region2": FIRST})
    with (
        pytest.raises(Unsupported, match="context second: does not manage its Swarm"),
        deploy(topology, engine="docker", evidence_dir=tmp_path),
    ):
        pass
