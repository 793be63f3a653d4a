"""``--dr-keep``: a failed test's deployment stays as it was, and its report says how to go on."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drharness.kernel import proc
from tests.plugin.conftest import Run

SUITE = """
import pytest
from drharness import faults

def test_fails(dr_deployment):
    dr_deployment.traffic().__enter__()
    dr_deployment.inject(faults.RegionsCut())
    dr_deployment.operations.power_off("region2-application-b", cause="test")
    assert 1 == 2

def test_passes(dr_deployment): ...

def test_an_error_that_leaves_a_block_but_is_none(dr_lab):
    with pytest.raises(ZeroDivisionError):
        with dr_lab.deployment():
            1 / 0
"""


def _drharness(*args: str) -> proc.Completed:
    return proc.run([sys.executable, "-m", "drharness", *args], timeout=60, check=False)


@pytest.fixture
def runtime(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the suite's deployments are registered; none is left in the end."""
    path = suite.path / "runtime"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    yield path
    assert _drharness("down", "--all").returncode == 0


@pytest.mark.slow
def test_the_deployment_of_a_failed_test_stays_as_it_was(
    suite: pytest.Pytester, run: Run, runtime: Path
) -> None:
    """With pytest-xdist, too."""
    suite.makepyfile(SUITE)
    result = run("--dr-keep", "-n", "2")
    result.assert_outcomes(failed=1, passed=2)
    text = result.stdout.str()
    assert "was taken down and left" not in text
    (name,) = set(re.findall(r"kept: it stays as '([a-z0-9-]+)' once", text))
    assert f"end       drharness down {name}" in text
    assert f"fails: drharness status {name}" in text
    assert text.count("kept for ") == 1
    (one,) = json.loads(_drharness("status", "--json").stdout)["deployments"]
    assert (one["name"], one["origin"].rpartition("::")[2]) == (name, "test_fails")
    _check_state(one["now"])
    assert _drharness("exec", "dns", "--", "sh", "-c", "exit 9").returncode == 9
    assert _drharness("down", name).returncode == 0
    assert list((runtime / "drharness").iterdir()) == []
    assert not (Path(one["evidence"]) / "disks").exists()


def _check_state(now: dict[str, Any]) -> None:
    assert now["faults"] == ["RegionsCut(one='active', other='dormant', both_ways=True)"]
    assert now["lost"] == {}
    power = {vm["id"]: vm["power"] for vm in now["vms"]}
    assert (power["region2-application-b"], power["region2-application-p"]) == ("off", "on")
    proxies = {c["id"]: c.get("mode") for vm in now["vms"] for c in vm["components"]}
    assert proxies["region2-application-p.csproxy"] == "limited"


@pytest.mark.slow
def test_a_suite_without_failures_leaves_nothing(
    suite: pytest.Pytester, run: Run, runtime: Path
) -> None:
    suite.makepyfile("def test_passes(dr_deployment): ...")
    suite.makeini("[pytest]\ndr_keep = true")
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*kept*")
    assert not (runtime / "drharness").exists() or not list((runtime / "drharness").iterdir())
