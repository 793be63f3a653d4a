"""Epochs and numbers: what an epoch's log holds, and what older histories say of it."""

from __future__ import annotations

import os

import pytest

from drharness.checks import Verdict, judge
from drharness.checks.epochs import Log, epoch_order
from drharness.history import History
from tests.checks.story import (
    MASTER,
    NEW,
    OLD,
    PROXY,
    Data,
    Plot,
    Story,
    begin,
    drill,
    finish,
    good_drill,
    history_of,
)

THIRD = "e3e3"
NEWER = ("ack", "cache")


def _older(events: list[Data]) -> list[Data]:
    """The same as a version recorded it that knew no acknowledgements and no ids."""
    out = [d for d in events if d["kind"] not in NEWER]
    for data in out:
        for name in ("dbids", "epochs"):
            data.pop(name, None)
    return out


def test_a_history_without_the_newer_events_is_still_a_pass() -> None:
    judgement = judge(history_of(_older(good_drill())))
    assert judgement.ok, str(judgement)
    idle = {r.id: r.note for r in judgement.results if not r.exercised}
    assert idle["S8"] == "no master recorded what it acknowledged"
    assert not idle.keys() & {"S2", "S10", "S11", "S12"}


def _three_epochs() -> Story:
    """1 to 4 in the first epoch, of which 4 is lost; 4 and 5 in the second, of which 5 is lost."""
    story = begin("async")
    for n, (t, epoch, seq, kept) in enumerate(
        [
            (0.2, OLD, 1, True),
            (0.3, OLD, 2, True),
            (0.4, OLD, 3, True),
            (0.5, OLD, 4, False),
            (1.2, NEW, 4, True),
            (1.3, NEW, 5, False),
            (2.2, THIRD, 5, True),
        ]
    ):
        how: Data = {"type": "ok", "epoch": epoch, "seq": seq, "mode": "normal"}
        opid = story.op(t, "create", via=PROXY["region1"], key=f"k{n}", put=n, **how)["opid"]
        fields = {"server": MASTER["region1"], "dbid": 100 + seq, "sure": True}
        story.add(t + 0.005, "ack", opid=opid, epoch=epoch, seq=seq, **fields)
        if kept:
            story.log[opid] = (seq, f"k{n}", n)
    return story


def _read_back(story: Story) -> History:
    begun = {OLD: 1, NEW: 4, THIRD: 5}
    story.add(
        4.0,
        "final",
        source="db:region1",
        epoch=THIRD,
        seq=5,
        objects={key: val for _, key, val in story.log.values()},
        ops={opid: seq for opid, (seq, _, _) in story.log.items()},
        dbids={opid: 100 + seq for opid, (seq, _, _) in story.log.items()},
        epochs=[{"token": e, "first_seq": n} for e, n in begun.items()],
    )
    return history_of(story.done())


@pytest.mark.parametrize(
    ("epoch", "keys"),
    [
        (OLD, ["k0", "k1", "k2", "k3"]),
        (NEW, ["k0", "k1", "k2", "k4", "k5"]),
        (THIRD, ["k0", "k1", "k2", "k4", "k6"]),
    ],
)
def test_an_epochs_log_is_its_own_after_what_it_kept(epoch: str, keys: list[str]) -> None:
    history = _read_back(_three_epochs())
    assert epoch_order(history) == (OLD, NEW, THIRD)
    assert sorted(w.key for _, w, _ in Log(history).line(epoch)) == keys


def test_numbers_of_a_lost_suffix_may_be_given_out_again() -> None:
    results = judge(_read_back(_three_epochs()), invariants=["S7", "S10", "S11", "S12"]).results
    assert {r.verdict for r in results} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("epoch", "seq", "key", "val", "broken"),
    [
        (OLD, 4, "k3", 3, set()),
        (NEW, 4, "k3", 3, {"S7"}),
        (NEW, 5, "k5", 5, set()),
        (THIRD, 5, "k5", 5, {"S7"}),
        (THIRD, 5, "k4", None, {"S10"}),
        (NEW, 3, "k4", 4, {"S10"}),
        (THIRD, 5, "k9", "nobody", {"S10"}),
    ],
)
def test_a_read_is_judged_by_the_log_of_its_own_epoch(
    epoch: str, seq: int, key: str, val: object, broken: set[str]
) -> None:
    story = _three_epochs()
    how: Data = {"type": "ok", "epoch": epoch, "seq": seq, "mode": "normal", "val": val}
    story.op(3.0, "read", via=PROXY["region1"], key=key, **how)
    results = judge(_read_back(story), invariants=["S7", "S10"]).results
    assert {r.id for r in results if r.verdict is Verdict.FAIL} == broken


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"db": "", "peer": "10.9.9.9:5432", "epoch": NEW}, "10.9.9.9:5432 is no database of"),
        ({"db": "region2", "peer": "", "epoch": OLD}, "epoch e2e2 was opened on region2 before"),
    ],
)
def test_a_master_on_another_place_than_it_may_be_is_named(fields: Data, seen: str) -> None:
    story = drill()
    story.events = [d for d in story.events if d.get("id") != MASTER["region2"]]
    for n in range(8):
        story.comp(3.2 + n * 0.2, MASTER["region2"], "primary", **fields)
    finish(story, Plot())
    judgement = judge(history_of(story.done()), invariants=["S2"])
    assert judgement.status is Verdict.FAIL
    assert seen in judgement.findings[0].seen


def test_a_master_whose_database_is_in_recovery_is_named() -> None:
    story = begin()
    for n in range(10):
        story.comp(0.2 * n, MASTER["region1"], "primary", db="region1", epoch=OLD)
        story.db(0.2 * n, "region1", writable=False, sessions=1)
    findings = judge(history_of(story.done()), invariants=["S2"]).findings
    assert [f.verdict for f in findings] == [Verdict.FAIL]
    assert "region1's database is in recovery" in findings[0].seen


def test_a_minute_of_a_drill_is_judged_by_all_checks_within_two_seconds() -> None:
    story = begin()
    for n in range(3000):
        t = 0.2 + n / 50
        story.write(t, PROXY["region1"], epoch=OLD)
        for shift in (0.002, 0.004):
            how: Data = {"type": "ok", "epoch": OLD, "seq": story.seq - 1, "mode": "normal"}
            story.op(t + shift, "read", via=PROXY["region2"], key="app/none", val=None, **how)
    history = history_of(story.done())
    started = sum(os.times()[:2])  # of the processor: what others do on this machine is theirs
    judge(history)
    assert sum(os.times()[:2]) - started < 2.0
