"""Servers on the loopback interface, each on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.dns import zonefile
from drharness.dns.resolver import Resolver
from drharness.dns.server import DnsServer
from drharness.dns.zone import Zone
from drharness.kernel import rng
from tests.dns.background import Background, HandClock, closing, serving


@pytest.fixture
def background() -> Iterator[Background]:
    """A loop in a thread; whatever goes wrong in it unseen fails the test."""
    made = Background()
    yield made
    made.stop()
    assert made.problems == []


@pytest.fixture
def zone() -> Zone:
    """A zone with one of everything that is asked for in the tests."""
    change = zonefile.empty("dr.internal", "127.0.0.1", ttl=30, negative_ttl=5).transaction()
    change.set("cfgmaster-p.dr.internal", ["10.81.1.11"], ttl=1)
    change.set("cfgmaster-b.dr.internal", ["10.81.1.12"], ttl=1)
    change.set("both.dr.internal", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"])
    change.set("now.dr.internal", ["10.0.0.9"], ttl=0)
    change.set("alias.dr.internal", {"CNAME": ["cfgmaster-p.dr.internal."]})
    change.set("twice.dr.internal", {"CNAME": ["Alias.dr.internal."]})
    change.set("dangling.dr.internal", {"CNAME": ["nowhere.dr.internal."]})
    change.set("abroad.dr.internal", {"CNAME": ["www.example.org."]})
    change.set("loop.dr.internal", {"CNAME": ["pool.dr.internal."]})
    change.set("pool.dr.internal", {"CNAME": ["loop.dr.internal."]})
    change.set("*.wild.dr.internal", ["10.9.9.9"])
    change.set("host.wild.dr.internal", ["10.9.9.1"])
    change.set("a.b.deep.dr.internal", ["10.8.8.8"])
    change.set("_cfg._tcp.dr.internal", {"SRV": ["1 2 2020 cfgmaster-p.dr.internal."]})
    change.set("text.dr.internal", {"TXT": [f'"{"x" * 200}{n}"' for n in range(10)]})
    change.set("many.dr.internal", [f"10.7.{n // 250}.{n % 250 + 1}" for n in range(300)])
    return change.commit()


@pytest.fixture
def master(tmp_path: Path) -> str:
    """The control socket of ``server``."""
    return str(tmp_path / "c")


@pytest.fixture
def server(background: Background, zone: Zone, master: str) -> Iterator[DnsServer]:
    """That zone, served on an ephemeral port."""
    made = DnsServer(zone)
    background.run(serving(made, control=master))
    yield made
    background.run(closing(made.close))


@pytest.fixture
def hand() -> HandClock:
    """The clock that TTLs are counted on."""
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The control socket of ``caching``."""
    return str(tmp_path / "r")


@pytest.fixture
def caching(
    background: Background, server: DnsServer, hand: HandClock, path: str
) -> Iterator[Resolver]:
    """A resolver in front of ``server``."""
    made = Resolver([("127.0.0.1", server.port)], rng.stream(1, "ids"), clock=hand)
    background.run(made.start(control=path))
    yield made
    background.run(closing(made.close))
