"""The judge: merging, checks that raise, and the text a person under pressure reads."""

from __future__ import annotations

import pytest

from drharness.checks import CHECKS, Check, Finding, Verdict, judge, worst
from drharness.errors import UsageError
from drharness.history import History, load
from tests.checks.planted import FOLDER
from tests.checks.story import MASTER, OLD, Plot, begin, drill, finish, good_drill, history_of


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Verdict.UNKNOWN),
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([Verdict.INVALID, Verdict.UNKNOWN], Verdict.INVALID),
        ([Verdict.INVALID, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_the_worst_verdict_wins(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected


def _raises(history: History) -> list[Finding]:
    raise KeyError("seq")


def test_a_check_that_raises_is_unknown_and_hides_no_other() -> None:
    broken = Check("X1", "planted", _raises)
    judgement = judge(history_of(good_drill()), checks=(broken, *CHECKS))
    assert judgement.status is Verdict.UNKNOWN
    assert not judgement.ok
    assert [f.seen for f in judgement.findings] == ["it raised KeyError: 'seq'"]
    assert "PASS: S1" in str(judgement)


def test_only_the_named_invariants_are_judged() -> None:
    judgement = judge(history_of(good_drill()), invariants=["D1", "L1"])
    assert [r.id for r in judgement.results] == ["D1", "L1"]


def test_an_unknown_invariant_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"invariants: expected ids among .*D1.*, got 'D9'"):
        judge(history_of(good_drill()), invariants=["D9"])


def test_the_report_names_invariant_expectation_and_proof() -> None:
    text = str(judge(load(FOLDER / "bad_d1_acked_write_lost.jsonl")))
    lines = text.splitlines()
    assert lines[0] == "FAIL: run 20261122-120000-abcd"
    assert lines[1] == "FAIL D1 sync: every acknowledged change survives"
    assert lines[2] == "  expected: every acknowledged write survives"
    assert lines[3].startswith("  seen:     1 acknowledged writes are gone, the first region2-")
    assert lines[4] == "  proof (seconds from region_down(region1)):"
    assert lines[5].startswith("       -0.170  op region2-application-p.application/1.")
    assert "RPO: 1 acknowledged change lost, 0.170 s of work" in text
    assert "acknowledged 0.170 s before the fault" in text
    (passed,) = [line for line in lines if line.startswith("PASS: ")]
    others = {c.id for c in CHECKS} - {"D1", "D2", "D3", "D4", "D5", "L5", "S6", "W1"}
    assert set(passed.removeprefix("PASS: ").split(", ")) == others


def test_at_most_six_proving_events_are_shown() -> None:
    text = str(judge(load(FOLDER / "bad_d2_old_write_lost.jsonl")))
    proof = text.split("proof")[1].split("advice")[0].splitlines()
    assert sum(line.lstrip().startswith(("-", "+")) for line in proof) == 6
    assert proof[-2].startswith("    ... and ")


def test_a_run_without_disturbance_passes_with_liveness_not_exercised() -> None:
    story = begin()
    for n in range(20):
        story.write(0.2 + n / 10, "region1-application-p.csproxy", epoch=OLD)
        story.db(0.2 + n / 10, "region1", writable=True, sessions=1)
        story.comp(0.2 + n / 10, MASTER["region1"], "primary", db="region1", epoch=OLD)
    objects = {key: val for _, key, val in story.log.values()}
    ops = {opid: seq for opid, (seq, _, _) in story.log.items()}
    story.add(3.0, "final", source="db:region1", epoch=OLD, seq=20, objects=objects, ops=ops)
    judgement = judge(history_of(story.done()))
    assert judgement.ok, str(judgement)
    idle = {r.id for r in judgement.results if not r.exercised}
    assert idle >= {"D2", "D3", "L1", "L2", "L3", "P1"}
    assert not idle & {"S1", "S3", "S13", "D1", "V1"}
    assert judgement.rto is None


def test_an_acknowledged_write_without_read_back_is_never_a_pass() -> None:
    events = [data for data in good_drill() if data["kind"] != "final"]
    verdicts = {r.id: r.verdict for r in judge(history_of(events)).results}
    assert (verdicts["D1"], verdicts["S13"]) == (Verdict.UNKNOWN, Verdict.UNKNOWN)


def test_writes_without_samples_are_never_a_pass() -> None:
    events = [data for data in good_drill() if data["kind"] not in ("db", "comp")]
    verdicts = {r.id: r.verdict for r in judge(history_of(events)).results}
    assert (verdicts["S1"], verdicts["S3"]) == (Verdict.UNKNOWN, Verdict.UNKNOWN)


def test_the_verdict_of_a_drill_knows_rto_and_loss() -> None:
    judgement = judge(history_of(good_drill()))
    assert judgement.rto == pytest.approx(2.06)
    assert judgement.recoveries[0].last == "region2"
    assert judgement.lost == ()


def test_a_sample_of_a_database_shows_what_the_finding_is_about() -> None:
    text = str(judge(load(FOLDER / "bad_s1_two_databases.jsonl")))
    assert (
        "db db=region1 writable=True epoch=e1e1 sessions=[['configserver', '10.81.1.11']]" in text
    )
    assert "in_recovery" not in text


def test_a_procedure_is_shown_with_its_variation() -> None:
    events = [e for e in good_drill() if not (e["kind"] == "step" and e["id"] == "fence")]
    for event in events:
        if event["kind"] == "plan":
            event["code"] = "full_failover().without('fence')"
    text = str(judge(history_of(events), invariants=["P1"]))
    assert "plan type=ok plan=1 procedure=full_failover to=region2 code=full_failover()." in text


def test_time_bounds_are_not_judged_once_a_vm_has_ended_by_itself() -> None:
    plot = Plot(late=20.0)
    story = drill(plot)
    finish(story, plot)
    bounds = ["L1", "L2", "L3"]
    assert judge(history_of(story.done()), invariants=bounds).status is Verdict.FAIL
    story.add(1.0, "vm", id="region2-application-p", state="off", cause="lost")
    judgement = judge(history_of(story.done()), invariants=[*bounds, "V1"])
    assert judgement.status is Verdict.INVALID
    assert "region2-application-p ended by itself" in str(judgement)
