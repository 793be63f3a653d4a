"""A drill as a person and a program see it: progress, times, RTO, RPO, verdict, evidence."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from drharness.history import store
from tests.cli.conftest import Drilled
from tests.cli.running import drharness, environment, evidence_of

pytestmark = pytest.mark.slow

STEPS = {
    "preflight": "FLO-1",
    "fence": "DBM-5",
    "promote": "DBM-2",
    "unblock": "DBM-5",
    "start-framework": "CFG-4",
    "switch-names": "DNS-1",
    "flush": "DNS-4",
    "reconnect": "PXY-4",
}


def _result(drilled: Drilled) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(drilled.json.read_text())
    return found


def test_a_passing_drill_ends_with_status_zero(passing: Drilled) -> None:
    assert (passing.done.returncode, passing.done.stderr) == (0, "")
    of_a_busy_host = ("  ..  ", "note: the host kept processes waiting")
    lines = passing.done.stdout.splitlines()
    assert sum(not line.startswith(of_a_busy_host) for line in lines) <= 46


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_shown_with_tick_time_and_clause(passing: Drilled, step: str) -> None:
    line = rf"^  ok   {step} +\d+\.\d\d s  {STEPS[step]}$"
    assert re.search(line, passing.done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    [
        r"^drill full_failover\(to='region2'\)$",
        r"^  ok   deployment +\d+\.\d\d s  region1 is active, region2 dormant$",
        r"^  ok   traffic +\d+\.\d\d s  50 writes/s, the first 20 acknowledged$",
        r"^  ok   region1 down +\d+\.\d\d s  proven: 5/5 silent to region2-application-p$",
        r"^  ok   more traffic +\d+\.\d\d s  20 writes acknowledged after the procedure$",
        r"^in seconds from region_down\(region1\):$",
        r"^  \+0\.000    0\.\d{3} s  until the procedure began$",
        r"^  \+\d\.\d{3}    \d\.\d{3} s  promote           DBM-2$",
        r"^  \+\d\.\d{3}             first change acknowledged through region2$",
        r"^RTO  \d\.\d{3} s \(region2 \d\.\d{3} s\)$",
        r"^RPO  0 acknowledged changes lost; \d+ bytes of WAL$",
        r"^PASS: run \d{8}-\d{6}-[0-9a-f]{4}$",
    ],
)
def test_a_passing_drill_shows_what_happened(passing: Drilled, line: str) -> None:
    assert re.search(line, passing.done.stdout, re.MULTILINE), passing.done.stdout


def test_without_a_terminal_lines_are_plain(passing: Drilled, failing: Drilled) -> None:
    for drilled in (passing, failing):
        assert re.findall(r"[^\x20-\x7e\n]", drilled.done.stdout) == []


@pytest.mark.parametrize("which", ["passing", "failing"])
def test_checking_the_evidence_gives_the_verdict_again(
    which: str, request: pytest.FixtureRequest
) -> None:
    drilled: Drilled = request.getfixturevalue(which)
    run = evidence_of(drilled.done.stdout)
    again = drharness("check", run)
    assert again.returncode == drilled.done.returncode
    findings = again.stdout.partition("\nRTO ")[0]  # a drill shows RTO and RPO above them
    assert f"\n{findings}\n" in drilled.done.stdout
    assert again.stdout == (run / "verdict.txt").read_text()
    assert f"re-check  drharness check {run}" in drilled.done.stdout


def test_a_failing_drill_names_the_order_that_was_broken(failing: Drilled) -> None:
    assert failing.done.returncode == 1
    shown = failing.done.stdout
    assert "drill full_failover(to='region2').swapped('start-framework', 'switch-names')" in shown
    assert "FAIL P1 steps in order, none skipped" in shown
    assert "step start-framework is completed before step switch-names begins" in shown
    assert re.search(r"^FAIL: \d+ findings, see above; exit code 1$", shown, re.MULTILINE)


def test_the_result_for_programs_tells_the_whole_run(passing: Drilled) -> None:
    found = _result(passing)
    assert {k: found[k] for k in ("v", "kind", "status", "exit_code", "active_at_start")} == {
        "v": 1, "kind": "drharness run", "status": "PASS", "exit_code": 0,
        "active_at_start": "region1",
    }  # fmt: skip
    assert found["topology"]["replication"] == "sync"
    procedure = found["procedures"][0]
    assert {s["id"]: s["clause"] for s in procedure["steps"]} == STEPS
    assert all(s["status"] == "ok" and s["seconds"] > 0 for s in procedure["steps"])
    assert found["rpo"].pop("wal_bytes") >= 0
    assert found["rpo"] == {"known": True, "count": 0, "seconds": 0.0, "lost": []}


def test_the_result_has_rto_by_region_and_phase(passing: Drilled) -> None:
    rto = _result(passing)["rto"]
    (recovery,) = rto["recoveries"]
    assert rto["seconds"] == recovery["regions"]["region2"] > 0
    assert {p["name"] for p in recovery["phases"]} >= {"promote", "detect"}
    spent = sum(p["seconds"] for p in recovery["phases"])
    assert spent == pytest.approx(recovery["seconds"])
    assert recovery["hosts"][-1]["seconds"] >= recovery["hosts"][0]["seconds"] > 0
    assert f"RTO  {rto['seconds']:.3f} s" in passing.done.stdout


def test_a_failing_result_carries_findings_with_events(failing: Drilled) -> None:
    found = _result(failing)
    assert (found["status"], found["exit_code"]) == ("FAIL", 1)
    findings = [f for r in found["verdict"]["results"] for f in r["findings"]]
    shown = {e["id"] for f in findings for e in f["events"] if e["kind"] == "step"}
    assert shown >= {"switch-names", "start-framework"}
    assert found["verdict"]["text"].partition("\nRTO ")[0] in failing.done.stdout


def test_traffic_goes_on_after_the_procedure(passing: Drilled) -> None:
    history = store.load(evidence_of(passing.done.stdout) / "history.jsonl")
    end = history.plans[0].ended or history.end
    assert sum(w.type == "ok" and w.done > end for w in history.writes) >= 20


def test_json_on_standard_output_stands_alone() -> None:
    refused = ("--fault", "region-down:region2", "--json", "-")
    done = drharness("drill", "full_failover", *refused, env=environment(FORCE_COLOR="1"))
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], found["status"]) == (1, 1, "FAIL")
    assert found["procedures"][0]["status"] == "refused"
    text = "the procedure was refused at step preflight: region2-dbms is powered off"
    assert text in done.stderr


def test_a_killed_controller_is_shown_with_the_run_that_ends_its_work() -> None:
    done = drharness("drill", "full-failover", "--interrupt", "promote", "--repeat", "unblock")
    assert done.returncode == 0, done.output
    begun, _, again = done.stdout.partition(
        "  the controller was killed after step promote; another one begins anew\n"
    )
    assert re.findall(r"^  ok   (preflight|fence|promote|unblock) ", begun, re.MULTILINE) == [
        "preflight", "fence", "promote",
    ]  # fmt: skip
    assert len(re.findall(r"^  ok   unblock ", again, re.MULTILINE)) == 2
    assert re.search(r"^PASS: .*\bL5\b", again, re.MULTILINE)


def test_what_is_forced_is_said() -> None:
    broken = ("--fault", "region-down", "--fence", "firewall", "--force")
    done = drharness("drill", "full-failover", *broken)
    assert "  forced past fence: no proof that region1-dbms stays off" in done.stdout
