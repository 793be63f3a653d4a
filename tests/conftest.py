"""Deployments of the guide's architecture, synchronous and fast, for every test of this suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness import plugin_options
from drharness.deployment import Deployment, deploy


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests in containers only where they are asked for; then they have to pass."""
    if "docker" in plugin_options.read(config).required:
        return
    contained = [item for item in items if item.get_closest_marker("docker")]
    config.hook.pytest_deselected(items=contained)
    items[:] = [item for item in items if item not in contained]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of the test's own."""
    with deploy(evidence_dir=tmp_path) as d:
        yield d


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for the tests of a module that leave it as they find it."""
    with deploy(evidence_dir=tmp_path_factory.mktemp("runs")) as d:
        yield d
