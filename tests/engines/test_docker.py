"""What only the docker engine promises: nothing labelled stays, and runs do not meet."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drharness.deployment.engines import clear_left, engine_named, require
from drharness.engines.docker import daemon, images
from drharness.engines.docker.engine import DockerEngine
from drharness.engines.protocol import Site
from drharness.errors import Unsupported
from drharness.kernel import clock, proc, runid
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology
from fixtures import leaks

pytestmark = pytest.mark.docker
REAPER = "drharness.engines.docker.reaper"
CONTROLLER = """
import signal, sys
from drharness import deploy
with deploy(engine="docker", evidence_dir=sys.argv[1]) as d:
    print("up", flush=True)
    signal.pause()
"""


@pytest.fixture
def client() -> Iterator[Any]:
    """Of a daemon that can run deployments."""
    require(engine_named("docker"))
    found = daemon.reach()
    yield found
    found.close()


def run_of(base: Path) -> str:
    """The run that a controller began there, once it has."""
    return next((run.name for run in base.glob("*") if (run / "vms").is_dir()), "")


def held(client: Any, run: str) -> dict[str, list[str]]:
    """Names of what the daemon holds of a run."""
    found = daemon.found(client, run)
    return {
        kind: [daemon.name_of(one) for one in things] for kind, things in found.items() if things
    }


@pytest.mark.parametrize("moment", ["volumes", "containers", "up"])
def test_a_killed_controller_leaves_nothing_labelled(
    client: Any, tmp_path: Path, moment: str
) -> None:
    output, runs = tmp_path / "output", tmp_path / "runs"
    argv = [sys.executable, "-c", CONTROLLER, str(runs)]
    with output.open("wb") as out:
        controller = proc.popen(argv, env=os.environ, stderr=out.fileno())

    def reached() -> bool:
        run = run_of(runs)
        return "up" in output.read_text() or bool(run and held(client, run).get(moment))

    wait_until(reached, f"{moment} of the deployment", timeout=90.0, describe=output.read_text)
    controller.send_signal(signal.SIGKILL)
    controller.wait(10)
    run = run_of(runs)
    wait_until(
        lambda: not held(client, run).keys() - {"networks"},
        f"nothing left of {run}",
        timeout=10.0,
        describe=lambda: str(held(client, run)),
    )
    reaper = f"{REAPER} {run}"
    wait_until(lambda: not leaks.started_as(reaper), f"{reaper} has ended", timeout=30.0)
    assert daemon.left(client, run) == {}


def test_what_a_killed_controller_asked_for_last_may_come_late(client: Any, tmp_path: Path) -> None:
    """Seconds later, on a busy daemon."""
    run = runid.new_run_id()
    client.volumes.create(f"{tmp_path.name}-first", labels=daemon.labels(run))
    argv = [sys.executable, "-m", REAPER, run]
    with proc.attend(argv, env=os.environ, stderr=2) as reaper:
        assert reaper.stdin is not None
        reaper.stdin.close()  # by the kernel, were the controller killed
        wait_until(lambda: not held(client, run), "the first volume gone", timeout=20.0)
        later = clock.Deadline(2.5)
        wait_until(lambda: later.passed, "later", timeout=10.0)
        client.volumes.create(f"{tmp_path.name}-late", labels=daemon.labels(run))
        assert reaper.wait(30.0) == 0
    assert not held(client, run)


def test_the_daemon_is_that_of_the_context_in_use(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = daemon.how()["environment"].get("DOCKER_HOST", "unix:///var/run/docker.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    proc.run(["docker", "context", "create", "mine", "--docker", f"host={host}"], timeout=20.0)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    proc.run(["docker", "context", "use", "mine"], timeout=20.0)
    reached = daemon.reach()
    assert reached.info()["ID"] == client.info()["ID"]
    reached.close()
    monkeypatch.setenv("DOCKER_CONTEXT", "yours")
    with pytest.raises(Unsupported, match="no context 'yours'"):
        daemon.reach()


def test_what_a_dead_controller_left_is_cleared_and_nothing_else(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the reaper was killed, too; what a living run has stays."""
    volumes = client.volumes
    living = volumes.create(f"{tmp_path.name}-living", labels=daemon.labels("living"))
    process = proc.popen(["true"], env=os.environ, stderr=2)
    process.wait()
    boot, space = daemon.labels("")[daemon.OWNER].split(":")[:2]
    dead = {daemon.LABEL: "dead", daemon.OWNER: f"{boot}:{space}:{process.pid}:1"}
    volumes.create(f"{tmp_path.name}-dead", labels=dead)
    foreign = {daemon.LABEL: "foreign", daemon.OWNER: f"another-boot:1:{os.getpid()}:1"}
    elsewhere = volumes.create(f"{tmp_path.name}-foreign", labels=foreign)
    try:
        removed, left, _ = clear_left()
        assert "dead" in removed
        assert "living" not in removed
        assert "foreign" in left
        assert not held(client, "dead")
        assert held(client, "living")
    finally:
        living.remove()
        elsewhere.remove()


def test_a_network_in_use_is_not_one_that_the_daemon_refuses_to_remove(
    client: Any, tmp_path: Path
) -> None:
    network = client.networks.create(tmp_path.name)
    image = images.ensure(client).vm
    user = client.containers.create(image, entrypoint=["sleep", "60"], network=network.name)
    try:
        user.start()
        assert not daemon.refuses(network)
        user.remove(force=True)
        assert not daemon.refuses(network)
        assert tmp_path.name not in [one.name for one in client.networks.list()]
    finally:
        for one in client.containers.list(all=True, filters={"id": user.id}):
            one.remove(force=True)


def test_two_deployments_beside_each_other_do_not_meet(client: Any, tmp_path: Path) -> None:
    """Both have the same addresses."""
    topology = Topology.guide()
    hold = [vm.id for vm in topology.vms if vm.id != "region1-application-p"]
    names = (runid.new_run_id(), runid.new_run_id())  # the daemon tells runs by them
    sites = [Site(topology, tmp_path / n, {}, [], "seed", hold) for n in names]
    started = []
    try:
        for site in sites:
            started.append(DockerEngine().start(site))
        for machines, name in zip(started, names, strict=True):
            vm = machines.machine("region1-application-p")
            vm.run(["sh", "-c", f"echo {name} > /var/tmp/name"])
        said = [
            machines.machine("region1-application-p").run(["cat", "/var/tmp/name"]).stdout.strip()
            for machines in started
        ]
        assert said == list(names)
    finally:
        for machines in started:
            machines.down()
    for site in sites:
        assert daemon.left(client, site.evidence.name) == {}
