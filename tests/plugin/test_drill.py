"""A user's first test, and everything that a failed one shows."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from drharness.checks import phases
from tests.plugin.conftest import Run

TEN_LINES = """
from drharness import faults, procedures

def test_losing_region_1_loses_nothing(dr_deployment):
    with dr_deployment.traffic(rate=50):
        dr_deployment.inject(faults.RegionDown("region1"))
        outcome = dr_deployment.run(procedures.full_failover(to="region2"))
    verdict = dr_deployment.judge()
    assert verdict.ok, verdict            # str(verdict): findings, each with the events that prove it
    assert outcome.rto < 5.0 and not outcome.lost
"""  # noqa: E501 - as the documents print it

PHASES = [f"dr_rto_{name}" for name in (*phases.PHASES, "write")]


@pytest.mark.slow
def test_ten_lines_are_a_whole_drill(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_dr=TEN_LINES)
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["drharness: engine local (auto: every step of its probe passes)"])


@pytest.mark.slow
def test_a_budget_fails_a_drill_that_is_otherwise_right(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_dr=TEN_LINES)
    result = run("--dr-max-rto=0.5", "--dr-max-rpo=0", "--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FAIL RTO recovered within 0.5 s", "*PASS: S1,*RPO*"])
    root = ElementTree.parse(suite.path / "junit.xml").getroot()
    found = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert (found["dr_verdict"], found["dr_lost"]) == ("FAIL", "0")
    parts = [float(v or 0) for k, v in found.items() if k in PHASES]
    assert sum(parts) == pytest.approx(float(found["dr_rto"] or 0), abs=0.01)
    assert found["dr_rto_last"] in ("region2-application-p", "region2-application-b")


@pytest.mark.slow
def test_a_failed_test_shows_verdict_logs_and_evidence(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        from drharness import faults

        def test_judged(dr_deployment):
            with dr_deployment.traffic():
                pass
            verdict = dr_deployment.judge()
            assert not verdict.ok, "judged by the test"

        def test_with_traffic_and_a_fault_under_way(dr_deployment):
            dr_deployment.traffic().__enter__()
            dr_deployment.inject(faults.RegionsCut())
            assert 1 == 2
        """
    )
    result = run("--maxfail=2", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: judged by the test",
            "*- drharness -*",
            "verdict:",
            "PASS: run *",
            "last lines of each log in .drharness/*:",
            "--- vms/region1-dbms/postgres.log",
            "evidence: .drharness/*",
            "judge it again: drharness check .drharness/*/history.jsonl",
            "E       assert 1 == 2",
            "*- drharness -*",
            "verdict (judged after the failure):",
            "*: run *",
            "evidence: .drharness/*",
        ]
    )
    runs = sorted((suite.path / ".drharness").iterdir())
    assert [(r / "history.jsonl").exists() for r in runs] == [True, True]


@pytest.mark.slow
def test_evidence_that_cannot_be_collected_hides_no_error(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        def test_history_is_gone(dr_deployment):
            (dr_deployment.evidence / "controller.jsonl").unlink()
            assert 1 == 2, "the test's own error"
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: the test's own error",
            "verdict (judged after the failure):",
            "no verdict: HistoryError: *controller.jsonl: expected a readable history file*",
            "--- vms/region1-dbms/postgres.log",
            "evidence: .drharness/*",
        ]
    )


@pytest.mark.slow
def test_a_deployment_that_does_not_come_up_shows_its_logs(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makepyfile(
        broken="""
        async def main(environment):
            raise RuntimeError("a broken agent")
        """,
        test_start="""
        import pytest
        from drharness import Topology

        @pytest.fixture
        def dr_topology():
            return Topology.guide().replace("lca", "broken:main")

        def test_never_begins(dr_deployment): ...
        """,
    )
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "E  *Connect call failed*4999*",
            "*- drharness -*",
            "--- vms/region1-framework-p/lca.log",
            "RuntimeError: a broken agent",
            "evidence: .drharness/*",
        ]
    )


@pytest.mark.slow
def test_junit_has_evidence_and_figures(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_dr=TEN_LINES + "\ndef test_of_something_else(): ...\n")
    run("--junitxml=junit.xml", "--dr-evidence=kept").assert_outcomes(passed=2)
    drill, other = _properties(suite.path / "junit.xml")
    (evidence,) = (suite.path / "kept").iterdir()
    assert drill.pop("dr_evidence") == str(evidence)
    assert 0 < float(drill.pop("dr_rto")) < 5
    assert drill["dr_verdict"] == "PASS"
    assert {drill["dr_lost"], drill["dr_rpo_seconds"]} == {"0", "0.0"}
    assert other == {}


def _properties(junit: Path) -> list[dict[str, str]]:
    """Name to value, test by test."""
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    return [{p.get("name", ""): p.get("value", "") for p in c.iter("property")} for c in cases]
