"""PostgreSQL servers for tests: ``primary`` alone, ``sync_pair`` and ``async_pair``; all reaped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drharness.dbms import server, template
from tests.dbms.running import Pair, Running, free_port, server_of

Provision = Callable[..., Running]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="drh-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template_directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A template of this session's own."""
    return str(template.ensure(cache=tmp_path_factory.mktemp("templates")))


@pytest.fixture
def provision(short_dir: Path, template_directory: str) -> Iterator[Provision]:
    """Make a server's files; whatever is started on them is killed at the end."""
    made: list[Running] = []

    def _provision(
        region: str,
        role: str,
        *,
        port: int,
        peer_port: int = 1,
        synchronous: bool = False,
        name: str = "one",
    ) -> Running:
        home = short_dir / name
        home.mkdir()
        settings = server_of(region, home, port=port, peer_port=peer_port, synchronous=synchronous)
        server.provision_as(settings, template_directory, role=role, home=str(home))
        made.append(Running(settings, home))
        return made[-1]

    yield _provision
    for running in reversed(made):
        running.kill()


@pytest.fixture
def primary(provision: Provision) -> Running:
    """One server that accepts sessions and writes."""
    running = provision("region1", "primary", port=free_port())
    running.start()
    running.accepting()
    return running


def streaming_pair(provision: Provision, *, synchronous: bool, name: str = "") -> Pair:
    """A primary and its standby, streaming; ``name`` tells several pairs of a test apart."""
    ports = free_port(), free_port()
    first = provision(
        "region1",
        "primary",
        port=ports[0],
        peer_port=ports[1],
        synchronous=synchronous,
        name=f"{name}1",
    )
    second = provision(
        "region2",
        "standby",
        port=ports[1],
        peer_port=ports[0],
        synchronous=synchronous,
        name=f"{name}2",
    )
    pair = Pair(first, second)
    pair.start()
    return pair


@pytest.fixture
def sync_pair(provision: Provision) -> Pair:
    """A primary that waits for its standby at each commit."""
    return streaming_pair(provision, synchronous=True)


@pytest.fixture
def async_pair(provision: Provision) -> Pair:
    """A primary that does not wait for its standby."""
    return streaming_pair(provision, synchronous=False)
