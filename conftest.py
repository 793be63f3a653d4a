"""Root of the test suite: what every test of this repository may ask for.

The plugin under test is found by its entry point and must not be listed here as well; pytest
refuses a plugin that is registered under two names.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# How long an example takes, or its making, is the machine's doing: others run on it.
settings.register_profile("drharness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("drharness")

# A script that starts the tests with & ignores these, and every process inherits that: what the
# tests interrupt would not hear it.
for _number, _usual in {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout that is under test."""
    return Path(__file__).resolve().parent
