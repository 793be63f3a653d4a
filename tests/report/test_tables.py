"""Lines for people, from recorded histories: steps with times, RTO, RPO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drharness import report
from drharness.checks import judge
from drharness.history import History, store

STEPS_OF_HOST = ["fence", "promote", "unblock", "start", "switch", "cache"]


@pytest.fixture
def histories(repo_root: Path) -> Path:
    return repo_root / "fixtures" / "histories"


def _load(path: Path) -> History:
    return store.load(path)


def test_steps_are_timed_from_the_fault(histories: Path) -> None:
    history = _load(histories / "good_sync.jsonl")
    judgement = judge(history)
    lines = report.step_lines(history, judgement)
    recovery = judgement.recoveries[0]
    assert lines[0] == f"in seconds from {recovery.cause}:"
    shown = [line for line in lines if line.split()[-1] == "promote"]
    step = next(s for s in history.plans[0].steps if s.id == "promote")
    assert len(shown) == 1
    assert shown[0].split()[0] == f"{(step.invoked - recovery.t0) / 1e9:+.3f}"
    times = [float(line.split()[0]) for line in lines[2:]]
    assert times == sorted(times)


def test_a_failed_step_is_marked_in_the_table(histories: Path) -> None:
    history = _load(histories / "bad_p1_step_failed.jsonl")
    lines = report.step_lines(history, judge(history))
    assert [line.split()[-1] for line in lines if line.endswith("FAIL")] == ["FAIL"]


def test_rto_is_told_by_region(histories: Path) -> None:
    judgement = judge(_load(histories / "good_sync.jsonl"))
    line, *phases, p, b = report.rto_lines(judgement)
    assert line.startswith(f"RTO  {judgement.rto:.3f} s (region2 ")
    words = " ".join(phases).replace(",", "").split()
    assert words[::2] == ["detect", *STEPS_OF_HOST, "reconnect", "write"]
    assert sum(map(float, words[1::2])) == pytest.approx(judgement.rto)
    assert p == "     proxy host region2-application-p 1.900 s (noticed at 0.100)"
    assert b == "     proxy host region2-application-b 1.900 s (noticed at 0.100), the last"


def test_lost_changes_are_listed_up_to_ten(histories: Path) -> None:
    judgement = judge(_load(histories / "bad_d1_acked_write_lost.jsonl"))
    lost = judgement.lost or ()
    assert len(lost) == 1
    lines = report.lost_lines(judgement)
    assert lines[0] == "RPO  1 acknowledged change lost, 0.170 s of work"
    assert lines[1].startswith(f"     {lost[0].key}={lost[0].val!r}  acknowledged ")


def test_every_recorded_history_has_a_summary(histories: Path) -> None:
    for path in sorted(histories.glob("*.jsonl")):
        history = _load(path)
        judgement = judge(history)
        found = json.loads(json.dumps(report.summary(history, judgement)))
        assert (found["v"], found["run"]) == (1, history.run_id)
        assert found["status"] == str(judgement.status)
        assert len(found["procedures"]) == len(history.plans)
