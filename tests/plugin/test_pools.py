"""A session's deployments come from pools: the next test's is up in time, and none for nothing."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

COMMON = """
import pytest
from pathlib import Path
from drharness.kernel.waiting import wait_until

RUNS = Path(".drharness")

def runs():
    return sorted(RUNS.absolute().iterdir())

def wait_for(count):
    wait_until(lambda: len(runs()) == count, f"{count} runs", timeout=20)
"""

ONE_AFTER_ANOTHER = """
def test_a(dr_deployment):
    wait_for(2)  # that of the next test, which wants the same topology

def test_b(dr_deployment):
    assert runs()[1] == dr_deployment.evidence
    assert len(runs()) == 2  # the next test wants another topology
    print("this one:", dr_deployment.evidence.name)
    assert 1 == 2

@pytest.mark.dr(replication="async")
def test_c(dr_deployment):
    assert dr_deployment.topology.replication == "async"
    assert len(runs()) == 3  # the next test is skipped

@pytest.mark.skip(reason="to see that nothing is staged for it")
@pytest.mark.dr(replication="async")
def test_d(dr_deployment): ...

def test_e(dr_lab):
    with dr_lab.deployment():
        assert len(runs()) == 4  # nobody knows whether it will ask again
    with dr_lab.deployment():
        wait_for(6)  # it has asked twice: it may well ask a third time

def test_f():
    wait_for(5)  # nobody asked: what was staged has gone, and its evidence too
"""


@pytest.mark.slow
def test_the_next_tests_deployment_comes_up_in_time_and_none_needlessly(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(COMMON + ONE_AFTER_ANOTHER)
    result = run()
    result.assert_outcomes(passed=4, failed=1, skipped=1)
    text = result.stdout.str()
    name = text.partition("this one: ")[2].split()[0]
    result.stdout.fnmatch_lines(
        ["*- drharness -*", "verdict (judged after the failure):", f"*: run {name}*"]
    )
    result.stdout.fnmatch_lines([f"evidence: .drharness/{name}"])


@pytest.mark.slow
def test_beside_a_test_that_measures_times_nothing_comes_up_or_ends(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(
        COMMON
        + """
import threading

def others():
    return [t.name for t in threading.enumerate() if t.name.startswith("drharness: the ")]

@pytest.mark.dr(staged=True)  # in spite of the option
def test_a(dr_deployment):
    wait_for(2)  # the next one's topology is the same, whatever it says of staging

@pytest.mark.dr(staged=False)
def test_b(dr_deployment):
    assert dr_deployment.evidence == runs()[1]
    assert others() == []

def test_c(dr_deployment):
    assert others() == []
    assert len(runs()) == 3

def test_d(dr_deployment): ...
"""
    )
    run("--dr-staged", "0").assert_outcomes(passed=4)


@pytest.mark.slow
def test_examples_of_hypothesis_are_staged_from_the_first_on(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(
        COMMON
        + """
from hypothesis import given, settings, strategies as st

used = []

@settings(max_examples=2, deadline=None, database=None, derandomize=True)
@given(number=st.integers(0, 1))
def test_examples(dr_lab, number):
    with dr_lab.deployment() as deployment:
        used.append(deployment.evidence)
        wait_for(len(used) + 1)
"""
    )
    run().assert_outcomes(passed=1)
    assert len(list((suite.path / ".drharness").iterdir())) == 2


@pytest.mark.slow
def test_a_staged_deployment_that_fails_is_the_next_tests_error(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(
        COMMON
        + """
import os, signal
from drharness.engines.local import launching, remains

def started(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])

def guards():
    # the oldest first: process ids wrap
    launcher = launching.running().process.pid
    found = remains.processes()
    return sorted((pid for pid, p in found.items() if p.parent == launcher), key=started)

def test_a(dr_deployment):
    wait_until(lambda: len(guards()) == 2, "the next one", timeout=20)
    os.kill(guards()[-1], signal.SIGKILL)

def test_b(dr_deployment):
    raise AssertionError("it was given a deployment")

def test_c(dr_deployment):
    assert dr_deployment.operations.canary("region1", "x", deadline=2.0)["ok"]
"""
    )
    result = run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.no_fnmatch_line("*it was given a deployment*")
    result.stdout.fnmatch_lines(["ERROR *test_b*"])


@pytest.mark.slow
def test_what_cannot_be_taken_down_fails_the_session(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        def test_it(dr_deployment):
            (dr_deployment.evidence / "disks" / "in the way").touch()
        """
    )
    result = run()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["drharness: the end of run *not empty*"])
