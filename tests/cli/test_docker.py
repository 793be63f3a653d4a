"""The commands on the docker engine do what they do on the local one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from drharness.deployment.engines import engine_named, require
from drharness.kernel import proc

pytestmark = [pytest.mark.slow, pytest.mark.docker]
_LIMIT_S = 110.0


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the commands leave their evidence; on a host that can run them."""
    require(engine_named("docker"))
    monkeypatch.chdir(tmp_path)


def drharness(*arguments: str) -> proc.Completed:
    """Run the command on the docker engine."""
    argv = [sys.executable, "-m", "drharness", *arguments, "--engine", "docker"]
    return proc.run(argv, timeout=_LIMIT_S, check=False)


def test_a_full_failover() -> None:
    done = drharness("drill", "full-failover", "--json", "-")
    assert done.returncode == 0, done.output
    assert json.loads(done.stdout)["verdict"]["status"] == "PASS"


def test_a_short_hunt() -> None:
    done = drharness("hunt", "--examples", "2", "--seed", "5")
    assert done.returncode == 0, done.output
    assert "2 examples, seed 5: 0 failed" in done.output


def test_planted_mistakes_are_found() -> None:
    """Of the procedure, a component that is replaced, the database, the firewall; one right run."""
    names = ("no-fence", "eager-proxy", "ids-again", "rule-after-accept", "calm")
    only = [word for name in names for word in ("--only", name)]
    done = drharness("selftest", *only)
    assert done.returncode == 0, done.output
    assert "4 of 4 planted mistakes found by name" in done.output
