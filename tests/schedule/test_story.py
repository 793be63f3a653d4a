"""A failed run is told in 15 lines, from its history alone, and blames what the evidence names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drharness.checks import judge
from drharness.history import History, load
from drharness.schedule.blame import Blame
from drharness.schedule.mermaid import MESSAGES, mermaid
from drharness.schedule.story import LINES, WIDTH, Story, main_finding, story
from drharness.schedule.telling import broken, happenings, varied
from tests.checks.story import OLD, PROXY, Data, Plot, drill, finish, good_drill, steps_of

HISTORIES = Path(__file__).resolve().parents[2] / "fixtures" / "histories"
BAD = sorted(p.stem for p in HISTORIES.glob("bad_*.jsonl"))


def _told(events: list[Data] | str, *, reason: str = "") -> Story:
    history = load(HISTORIES / f"{events}.jsonl") if isinstance(events, str) else History(events)
    found = story(history, judge(history), reason=reason)
    assert found is not None
    return found


def _varied(change: str, *, force: bool = False) -> list[Data]:
    """The good drill of an operator who slipped, with what S1 then sees."""
    told = drill()
    for t in steps_of(1.6, 4.0, 0.2):
        told.db(t, "region1", writable=True, sessions=1)
    finish(told, Plot())
    for data in told.events:
        if data["kind"] == "plan" and data["type"] == "invoke":
            forced = ", force=True" if force else ""
            data["code"] = f"procedures.full_failover(to='region2'{forced}){change}"
    return told.done()


@pytest.mark.parametrize("name", BAD)
def test_every_bad_history_is_told_in_few_short_lines(name: str) -> None:
    found = _told(name)
    lines = str(found).splitlines()
    assert len(lines) <= LINES, str(found)
    assert max(map(len, lines)) <= WIDTH + 12, str(found)
    assert lines[0].startswith(f"{found.finding.verdict} {found.finding.invariant}: ")
    assert sum("to blame: " in line for line in lines) == 1
    assert "None" not in str(found)


def test_a_run_that_passed_has_no_story() -> None:
    history = load(HISTORIES / "good_sync.jsonl")
    assert story(history, judge(history)) is None


@pytest.mark.parametrize(
    ("name", "step", "certain"),
    [
        ("bad_p1_flush_skipped", "flush", True),
        ("bad_p1_step_failed", "reconnect", True),
        ("bad_s1_late_write", "fence", False),
        ("bad_t2_cache_stale", "flush", False),
        ("bad_d1_acked_write_lost", "promote", False),
        ("bad_d5_forced_without_figure", "preflight", True),
        ("bad_l3_slow_backup_proxy", "flush", False),
    ],
)
def test_the_step_is_blamed_that_the_evidence_names(name: str, step: str, certain: bool) -> None:
    found = _told(name).blame
    assert (found.step, found.certain) == (step, certain), found


def test_what_was_left_out_is_blamed_for_what_it_would_have_prevented() -> None:
    events = [d for d in _varied(".without('fence')") if d.get("id") != "fence"]
    found = _told(events)
    assert found.finding.invariant == "S1"
    assert (found.blame.step, found.blame.certain) == ("fence", False)
    assert "was skipped" in found.blame.why
    assert "begins full_failover to region2, without step fence" in str(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (".delayed('promote', 0.3)", "with step promote put off by 0.3 s"),
        (".repeated('flush')", "with step flush done twice"),
        (".swapped('fence', 'promote')", "with steps fence and promote swapped"),
    ],
)
def test_a_slip_is_told_in_words_and_blamed(change: str, words: str) -> None:
    found = _told(_varied(change))
    assert words in found.blame.what
    assert str(found.blame).startswith("most likely to blame: the operator's slip")


def test_two_slips_are_blamed_together() -> None:
    found = _told(_varied(".swapped('switch-names', 'flush').without('reconnect')"))
    assert found.blame.what == (
        "the operator's slips: with steps switch-names and flush swapped, without step reconnect"
    )


def test_of_two_slips_the_one_is_blamed_that_the_evidence_names() -> None:
    events = _varied(".without('fence').repeated('flush')")
    found = _told([d for d in events if d.get("id") != "fence"])
    assert found.blame.what == "the operator's slip: without step fence"


def test_a_run_that_refuses_again_and_again_is_told_once() -> None:
    told = drill()
    for n in range(2, 6):
        plan = {"plan": n, "procedure": "full_failover", "to": "region2", "steps": ["preflight"]}
        step = {"plan": n, "id": "preflight", "target": "region2"}
        told.add(3.9 + n / 10, "plan", type="invoke", **plan)
        told.add(3.91 + n / 10, "step", type="invoke", **step)
        text = f"region2 lacks {n}00 bytes"
        told.add(3.92 + n / 10, "step", type="refused", text=text, **step)
        told.add(3.93 + n / 10, "plan", type="refused", **plan)
    told.write(3.7, PROXY["region1"], epoch=OLD)
    finish(told, Plot())
    text = str(_told(told.done(), reason="S1"))
    assert text.count("step preflight refuses") == 1
    assert text.count("once more") == 1
    assert "region2 lacks 200 bytes (and 3 times more)" in text


def test_a_step_that_went_on_by_force_is_blamed_with_the_proof_it_lacked() -> None:
    events = _varied("", force=True)
    for data in events:
        if data["kind"] == "step" and (data["id"], data["type"]) == ("fence", "ok"):
            data["result"] = {"forced": True, "why": "no proof that region1-dbms is off"}
    found = _told(events)
    assert found.blame.step == "fence"
    assert "no proof that region1-dbms is off" in found.blame.why
    assert "step fence goes on by force" in str(found)


def test_force_that_came_after_the_failure_is_not_blamed() -> None:
    events = _varied("")
    end = events[-1]["t"] + 1_000_000
    plan = {"v": 1, "plan": 2, "procedure": "full_failover", "to": "region2", "steps": ["fence"]}
    step = {"v": 1, "kind": "step", "plan": 2, "id": "fence", "target": "region1"}
    proof = {"forced": True, "why": "no proof"}
    events += [
        {**plan, "kind": "plan", "t": end, "type": "invoke"},
        {**step, "t": end + 1, "type": "invoke"},
        {**step, "t": end + 2, "type": "ok", "result": proof},
        {**plan, "kind": "plan", "t": end + 3, "type": "ok"},
    ]
    assert "force" not in str(_told(events, reason="S1").blame)


def test_power_that_comes_back_is_blamed_if_it_was_last() -> None:
    told = drill()
    for vm in ("region1-dbms", "region1-framework-p"):
        told.add(4.0, "vm", id=vm, state="on", cause="region returns")
    for t in steps_of(4.1, 4.9, 0.1):
        told.db(t, "region1", writable=True, sessions=1)
    finish(told, Plot())
    found = _told(told.done(), reason="S1")
    assert found.blame.what.startswith("region1 gets power again (region returns)")
    assert "it is the last thing done before" in found.blame.why


def test_a_component_that_is_not_the_shipped_one_is_blamed_if_the_proof_names_it() -> None:
    events = _planted("bad_s9_acked_while_limited", ("csproxy", "mine:proxy"))
    found = _told(events)
    assert found.blame.what == PROXY["region2"]
    assert "not the shipped one but mine:proxy" in found.blame.why
    other = _told(_planted("bad_s9_acked_while_limited", ("lca", "mine:lca")))
    assert "mine:lca" not in str(other)


def _planted(name: str, replaced: tuple[str, str]) -> list[Data]:
    events = [e.data for e in load(HISTORIES / f"{name}.jsonl").events]
    run = {**events[0], "topology": {**events[0]["topology"], "replaced": [list(replaced)]}}
    return [run, *events[1:]]


def test_without_anything_done_nobody_here_is_blamed() -> None:
    events = [e.data for e in load(HISTORIES / "bad_t3_ttl.jsonl").events]
    calm = [d for d in events if d["kind"] not in ("fault", "plan", "step", "vm")]
    found = _told(calm, reason="T3")
    assert found.blame.what == "nothing that was done here"


def test_a_run_that_proves_nothing_blames_nobody() -> None:
    found = _told("bad_v1_no_receipt")
    assert str(found.blame) == "to blame: nobody: nothing was seen to fail"


def test_many_happenings_are_cut_down_to_those_that_matter() -> None:
    told = drill()
    for n in range(12):
        t = 3.9 + n * 0.05
        args = {"target": f"proxies.{n}"}
        told.add(t, "fault", type="invoke", f="component_killed", args=args)
        told.add(t + 0.01, "fault", type="ok", f="component_killed", args=args, proof={"a": 1})
    told.write(3.7, PROXY["region1"], epoch=OLD)
    finish(told, Plot())
    found = _told(told.done(), reason="S1")
    assert len(str(found).splitlines()) <= LINES
    assert re.search(r"\(\d+ more that matter less\)", str(found))


def test_the_reason_chooses_among_what_failed() -> None:
    history = load(HISTORIES / "bad_s1_two_databases.jsonl")
    judgement = judge(history)
    for invariant in judgement.failed:
        found = main_finding(judgement, invariant)
        assert found is not None
        assert found.invariant == invariant


def test_what_breaks_is_told_in_words() -> None:
    told = drill()
    args = {"one": "region2", "other": "region1", "both_ways": False}
    told.add(4.0, "fault", type="invoke", f="regions_cut", args=args)
    told.add(4.01, "fault", type="ok", f="regions_cut", args=args, proof={"a": 1})
    told.add(4.1, "fault", type="invoke", f="vm_down", args={"target": "active.dbms"},
             targets=["region2-dbms"])  # fmt: skip
    told.add(4.2, "fault", type="info", f="vm_down", args={"target": "active.dbms"})
    finish(told, Plot())
    history = History(told.done())
    assert [broken(f) for f in history.faults[:2]] == [
        "region1 loses its power",
        "nothing passes from region2 to region1 any more (the other way it does)",
    ]
    texts = [h.text for h in happenings(history)]
    assert not any("region2-dbms" in text for text in texts), "it was not proven, and undone"


def test_an_unknown_fault_is_told_by_its_name() -> None:
    history = load(HISTORIES / "good_sync.jsonl")
    fault = history.faults[0]
    odd = type(fault)(**{**vars(fault), "f": "meteor_strike", "args": {"target": "region1"}})
    assert broken(odd) == "meteor-strike region1 strikes"


def test_the_shipped_procedure_has_no_variation() -> None:
    assert varied(History(good_drill()).plans[0]) == ""
    assert str(Blame("a", "b")) == "most likely to blame: a"


@pytest.mark.parametrize("name", [*BAD, "good_sync"])
def test_the_diagram_has_the_participants_and_not_too_many_messages(name: str) -> None:
    history = load(HISTORIES / f"{name}.jsonl")
    head, *lines = mermaid(history, judge(history)).splitlines()
    assert head == "sequenceDiagram"
    assert [line.split()[1] for line in lines[:5]] == [
        "operator", "region1", "region2", "dns", "clients",
    ]  # fmt: skip
    assert 0 < len(lines) - 5 <= MESSAGES
    form = r"    (\w+-?->>\w+: |Note over [\w,]+: )[-+][\d.]+ s [^;#]+"
    assert all(re.fullmatch(form, line) for line in lines[5:]), lines


def test_the_diagram_shows_the_proof_after_the_step_to_blame() -> None:
    history = History([d for d in _varied(".without('fence')") if d.get("id") != "fence"])
    text = mermaid(history, judge(history))
    assert text.index("step promote") < text.index("FAIL S1: ") < text.index("step reconnect")
    assert "proof: the database of region1 accepts writes" in text
