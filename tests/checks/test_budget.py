"""Budgets on RTO and RPO: kept, exceeded, unknown, and bad limits."""

from __future__ import annotations

import pytest

from drharness.checks import Budget, Judgement, Verdict, judge
from drharness.errors import UsageError
from drharness.history import load
from tests.checks.planted import ASYNC, FOLDER, _edited, _lose
from tests.checks.story import good_drill, history_of, ns

NAMES = ("--max-rto", "--max-rpo")


def judged(name: str, rto: float | None = None, rpo: str | None = None) -> Judgement:
    """A recorded history held to a budget."""
    return judge(load(FOLDER / f"{name}.jsonl"), budget=Budget.of(rto, rpo, names=NAMES))


def verdict_of(judgement: Judgement, invariant: str) -> Verdict:
    """The verdict of one result."""
    return next(r.verdict for r in judgement.results if r.id == invariant)


def test_a_recovery_within_its_budget_passes_and_one_beyond_fails() -> None:
    assert verdict_of(judged("good_sync", rto=2.1), "RTO") is Verdict.PASS
    beyond = judged("good_sync", rto=2.0)
    assert (beyond.status, verdict_of(beyond, "RTO")) == (Verdict.FAIL, Verdict.FAIL)
    assert "the longest phase was start: 0.600 s" in str(beyond)


def test_a_recovery_that_never_came_is_beyond_every_budget() -> None:
    events = [d for d in good_drill() if d["kind"] != "op" or d["t"] < ns(3.0)]
    found = judge(history_of(events), budget=Budget.of(60, None, names=NAMES))
    assert verdict_of(found, "RTO") is Verdict.FAIL
    assert "not reached" in str(found)


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ("0", Verdict.FAIL),
        ("{all}", Verdict.PASS),
        ("0.2s", Verdict.FAIL),
        ("2s", Verdict.PASS),
        ("1kB", Verdict.UNKNOWN),
    ],
)
def test_a_loss_is_limited_in_changes_seconds_or_bytes(limit: str, verdict: Verdict) -> None:
    events = _edited(lambda e: _lose(e, since=1.1), ASYNC)
    lost = judge(history_of(events))
    assert lost.rpo is not None
    assert lost.rpo.lost
    assert 0.2 < lost.rpo.seconds < 2.0
    limit = limit.format(all=len(lost.rpo.lost))
    found = judge(history_of(events), budget=Budget.of(None, limit, names=NAMES))
    assert verdict_of(found, "RPO") is verdict


@pytest.mark.parametrize("limit", ["none", "-1", "1.5", "2 h", "s"])
def test_a_limit_that_is_none_is_named(limit: str) -> None:
    with pytest.raises(UsageError, match=r"--max-rpo: expected a count of changes .* got "):
        Budget.of(None, limit, names=NAMES)


def test_the_wal_beyond_the_switch_point_is_measured() -> None:
    events = good_drill()
    for data in events:
        if data["kind"] == "db" and data["db"] == "region1":
            data["cur"] = "0/3000D48"
        if data["kind"] == "step" and data["id"] == "promote" and data["type"] == "ok":
            data["result"] = {"promoted": True, "switch_lsn": "0/3000CE0"}
    rpo = judge(history_of(events)).rpo
    assert rpo is not None
    assert (rpo.wal_bytes, rpo.lost) == (0x68, ())
    assert str(rpo) == "0 acknowledged changes lost; 104 bytes of WAL"
