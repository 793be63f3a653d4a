"""Programs of other makers on VMs: PgBouncer between the Configuration Server and its database."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.deployment.engines import engine_named, require
from drharness.engines.docker import daemon, images
from drharness.errors import DrHarnessError, Unsupported
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology

pytestmark = pytest.mark.slow
USERS = '"configserver" "configserver"\n'
VM, NAME, CONF = "region1-framework-p", "pgbouncer", "/etc/pgbouncer/pgbouncer.ini"
SETTINGS = """[databases]
config = host={dbms} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
auth_type = trust
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = session
"""
FILES = {CONF: SETTINGS, "/etc/pgbouncer/userlist.txt": USERS}


# With no network it has to be in the base already: ``containers/base.sh TAG pgbouncer``.
DOCKERFILE = """FROM {base}
RUN command -v pgbouncer \\
    || (apt-get update && apt-get install -y --no-install-recommends pgbouncer)
"""


@pytest.fixture(scope="module")
def image() -> str:
    """Debian's own PgBouncer, in an image that is there for it only."""
    require(engine_named("docker"))
    client = daemon.reach()
    client.api.timeout = 300.0
    dockerfile = io.BytesIO(DOCKERFILE.format(base=images.base()).encode())
    client.images.build(fileobj=dockerfile, tag="drharness-test:pgbouncer", rm=True)
    client.close()
    return "drharness-test:pgbouncer"


def through_pgbouncer(image: str, **options: object) -> Topology:
    """A topology whose Configuration Servers get to their databases through it."""
    given = {"command": ["pgbouncer", CONF], "ready": 6432, "files": FILES}
    given |= {"user": "postgres", "serves": "dbms", **options}
    return Topology.guide().with_part(NAME, on="framework", image=image, **given)


@pytest.fixture
def deployment(image: str, tmp_path: Path) -> Iterator[Deployment]:
    """With PgBouncer on the Framework VMs."""
    with deploy(through_pgbouncer(image), engine="docker", evidence_dir=tmp_path) as d:
        yield d


def pids(deployment: Deployment, vm: str = VM) -> list[str]:
    """Of PgBouncer in a VM."""
    return deployment.vm(vm).run(["pgrep", "-x", NAME], check=False).stdout.split()


@pytest.mark.docker
def test_a_failover_goes_through_it_in_both_regions(deployment: Deployment) -> None:
    assert len(pids(deployment)) == 1
    edges = deployment.vm(VM).run(["ss", "-Htnp", "state", "established"]).stdout
    assert NAME in "".join(line for line in edges.splitlines() if ":5432" in line)
    with deployment.traffic():
        deployment.inject(faults.RegionDown("region1"))
        outcome = deployment.run(procedures.full_failover(to="region2"))
    assert outcome.ok, outcome.text
    assert len(pids(deployment, "region2-framework-p")) == 1
    verdict = deployment.judge()
    assert not verdict.failed, str(verdict)


@pytest.mark.docker
def test_it_is_one_of_its_vms_services(deployment: Deployment) -> None:
    machine = deployment.vm(VM)
    (first,) = pids(deployment)
    machine.run(["kill", first])
    again = wait_until(lambda: set(pids(deployment)) - {first}, "PgBouncer again", timeout=30.0)
    deployment.inject(faults.VmFrozen(VM)).heal()
    assert set(pids(deployment)) == again
    deployment.inject(faults.VmRebooted(VM)).heal()
    wait_until(lambda: set(pids(deployment)) - again, "PgBouncer after a boot", timeout=30.0)


@pytest.mark.docker
def test_names_and_rules_of_its_vm_are_its_own(deployment: Deployment) -> None:
    machine = deployment.vm(VM)
    (pid,) = pids(deployment)
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        assert (
            machine.run(["cat", f"/proc/{pid}/root{path}"]).stdout
            == machine.run(["cat", path]).stdout
        )
    machine.run(["sh", "-c", "echo 192.0.2.9 somebody.test >> /etc/hosts"])
    wait_until(
        lambda: "somebody.test" in machine.run(["cat", f"/proc/{pid}/root/etc/hosts"]).stdout,
        "the new name in the container",
        timeout=10.0,
    )
    network = [machine.run(["readlink", f"/proc/{p}/ns/net"]).stdout for p in ("1", pid)]
    assert network[0] == network[1]


@pytest.mark.docker
def test_a_component_may_run_the_product_it_speaks_for(image: str, tmp_path: Path) -> None:
    speaker = "tests.deployment.far_configserver:main"
    topology = through_pgbouncer(image, waits=True).replace("configserver", speaker)
    with deploy(topology, engine="docker", evidence_dir=tmp_path) as d:
        (first,) = pids(d)
        with d.traffic():
            d.inject(faults.ComponentKilled(f"{VM}.configserver"))
            wait_until(
                lambda: set(pids(d)) and first not in pids(d), "PgBouncer again", timeout=30.0
            )
        verdict = d.judge()
        assert not verdict.failed, str(verdict)


@pytest.mark.docker
def test_what_does_not_start_is_told_with_what_it_said(image: str, tmp_path: Path) -> None:
    broken = through_pgbouncer(image, command=["/nonexistent/pgbouncer"])
    with (
        pytest.raises(DrHarnessError, match=r"part pgbouncer takes connections at port 6432"),
        deploy(broken, engine="docker", evidence_dir=tmp_path),
    ):
        pass


@pytest.mark.docker
def test_an_image_that_cannot_be_had_is_named_before_anything_starts(tmp_path: Path) -> None:
    nowhere = through_pgbouncer("localhost:9/nowhere:1")
    with (
        pytest.raises(Unsupported, match=r"part pgbouncer.*no image localhost:9/nowhere:1"),
        deploy(nowhere, engine="docker", evidence_dir=tmp_path),
    ):
        pass


def test_the_local_engine_says_that_it_has_no_containers(tmp_path: Path) -> None:
    with (
        pytest.raises(Unsupported, match="has no containers"),
        deploy(through_pgbouncer("x"), engine="local", evidence_dir=tmp_path),
    ):
        pass
