"""Real caching resolvers on the Application VMs keep a name, and the runbook's step clears it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.deployment.engines import engine_named, require, require_resolver
from drharness.errors import Unsupported, UsageError
from drharness.kernel import clock, proc
from drharness.topology import Topology

pytestmark = pytest.mark.slow
VM, NAME = "region1-application-p", "cfgmaster-p.dr.internal"


# Locally the one whose package starts no daemon on the host; the images have all.
PLACES = [
    pytest.param((engine, product), id=f"{engine}-{product}", marks=marks)
    for engine, product, marks in (
        ("local", "dnsmasq", ()),
        ("docker", "dnsmasq", pytest.mark.docker),
        ("docker", "unbound", pytest.mark.docker),
        ("docker", "nscd", pytest.mark.docker),
    )
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An engine and a resolver, which are there."""
    engine, product = request.param
    require(engine_named(engine))
    require_resolver(engine_named(engine), product)
    return engine, product


@pytest.fixture
def deployment(place: tuple[str, str], tmp_path: Path) -> Iterator[Deployment]:
    """One whose names may be kept for long."""
    engine, product = place
    with deploy(
        Topology.guide(resolver=product, ttl=60), engine=engine, evidence_dir=tmp_path
    ) as d:
        yield d


def test_it_keeps_a_name_until_it_is_flushed_and_a_failover_does_that(
    deployment: Deployment,
) -> None:
    assert deployment.vm(VM).run(["pgrep", "-x", deployment.topology.resolver]).ok
    (first,) = deployment.dns.look_up(VM, NAME)["addresses"]
    deployment.dns.set({NAME: ["10.81.1.12"]})
    assert deployment.dns.look_up(VM, NAME)["addresses"] == [first]
    deployment.dns.flush(VM)
    assert deployment.dns.look_up(VM, NAME)["addresses"] == ["10.81.1.12"]
    deployment.dns.set({NAME: [first]})
    deployment.dns.flush(VM)
    with deployment.traffic():
        deployment.inject(faults.RegionDown("region1"))
        outcome = deployment.run(procedures.full_failover(to="region2"))
    assert outcome.ok, outcome.text
    verdict = deployment.judge()
    assert not verdict.failed, str(verdict)


def test_a_failover_without_the_flush_takes_as_long_as_names_are_kept(
    place: tuple[str, str], tmp_path: Path
) -> None:
    """The drill that shows why the guide has that step."""
    engine, product = place
    topology = Topology.guide(resolver=product, ttl=10).tuned(rto_bound=30)
    with deploy(topology, engine=engine, evidence_dir=tmp_path) as d:
        for vm in ("region2-application-p", "region2-application-b"):
            d.dns.flush(vm)
            d.dns.look_up(vm, NAME)
        begun = clock.Deadline(0)
        d.inject(faults.RegionDown("region1"))
        outcome = d.run(procedures.full_failover(to="region2").without("flush"))
        assert outcome.ok, outcome.text
        assert begun.waited > 8.0


def test_only_ours_can_be_told_to_keep_names_longer(tmp_path: Path) -> None:
    with (
        deploy(Topology.guide(resolver="dnsmasq"), evidence_dir=tmp_path) as d,
        pytest.raises(UsageError, match="the topology's resolver is dnsmasq"),
    ):
        d.inject(faults.ResolverPolicy(how="floor", seconds=30.0))


@pytest.mark.parametrize("product", ["dnsmasq", "unbound", "nscd"])
def test_a_host_without_the_program_says_what_to_install(
    product: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(proc, "SBIN", ())
    with pytest.raises(Unsupported, match="apt-get install"):
        require_resolver(engine_named("local"), product)
