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


def drharness(*arguments: str, limit_s: float = _LIMIT_S) -> proc.Completed:
    """Run the command on the docker engine."""
    argv = [sys.executable, "-m", "drharness", *arguments, "--engine", "docker"]
    return proc.run(argv, timeout=limit_s, check=False)


def test_a_full_failover() -> None:
    done = drharness("drill", "full-failover", "--json", "-")
    assert done.returncode == 0, done.output
    assert json.loads(done.stdout)["verdict"]["status"] == "PASS"


@pytest.mark.timeout(240)
def test_a_short_hunt() -> None:
    """Two examples, one of which may be tried again on a host that stands still."""
    done = drharness("hunt", "--examples", "2", "--seed", "5", limit_s=230.0)
    assert done.returncode == 0, done.output
    assert "2 examples, seed 5: 0 failed" in done.output


@pytest.mark.parametrize(
    ("mistake", "part"),
    [
        ("no-fence", "the procedure"),
        ("eager-proxy", "a component that is replaced"),
        ("ids-again", "the database"),
        ("rule-after-accept", "the firewall"),
    ],
)
def test_a_planted_mistake_is_found(mistake: str, part: str) -> None:
    done = drharness("selftest", "--only", mistake)
    assert done.returncode == 0, f"of {part}: {done.output}"
    assert "1 of 1 planted mistakes found by name" in done.output


def test_a_right_run_is_no_alarm() -> None:
    done = drharness("selftest", "--only", "calm")
    assert done.returncode == 0, done.output
    assert "0 false alarms in 1 right runs" in done.output
