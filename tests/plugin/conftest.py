"""A suite of a user's own for every test here: run by a pytest of its own, in its own directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]
_LIMIT_S = 100


def plugin_arguments() -> list[str]:
    """Nothing where the plugin is installed; a checkout's plugin has to be named."""
    installed = [e for e in entry_points(group="pytest11") if e.value == "drharness.plugin"]
    return [] if installed else ["-p", "drharness.plugin"]


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, repo_root: Path
) -> pytest.Pytester:
    """A directory for a suite; its interpreter finds this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(repo_root / "src"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


@pytest.fixture
def run(suite: pytest.Pytester) -> Run:
    """Run the suite with options; warnings are errors."""

    def _run(*options: str) -> pytest.RunResult:
        always = [*plugin_arguments(), "-W", "error", "-ra"]
        return suite.runpytest_subprocess(*always, *options, timeout=_LIMIT_S)

    return _run


@pytest.fixture
def run_without_networks(suite: pytest.Pytester) -> Run:
    """The same on a host that lets nobody make a network namespace: no deployment can run."""
    code = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c", code, "sh"]

    def _run(*options: str) -> pytest.RunResult:
        python = [sys.executable, "-m", "pytest", *plugin_arguments(), "-W", "error", "-ra"]
        return suite.run(*limited, *python, *options, timeout=_LIMIT_S)

    return _run
