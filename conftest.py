"""Root of the test suite: what every test of this repository may ask for.

The plugin under test is found by its entry point and must not be listed here as well; pytest
refuses a plugin that is registered under two names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# How long an example takes, or its making, is the machine's doing: others run on it.
settings.register_profile("drharness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("drharness")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout that is under test."""
    return Path(__file__).resolve().parent
