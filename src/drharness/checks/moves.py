"""Moving the active region: D4 a planned move, D5 the lag gate, L5 a run that was cut short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drharness.checks.episodes import episodes, ns
from drharness.checks.epochs import first_writable
from drharness.checks.form import NotExercised
from drharness.checks.intent import destination, intent
from drharness.checks.models import acked, database_final
from drharness.checks.rpo import lost_writes
from drharness.checks.spans import spans
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.lsn import position
from drharness.history.records import Operation, Plan, Step
from drharness.history.view import NS, History

Findings = list[Finding] | NotExercised
QUIESCE = ("quiesce", "fence", "promote")


def _promotion(plan: Plan) -> Step | None:
    """The step that promoted a database, or that was cut short and may have."""
    for step in plan.steps:
        if step.id == "promote" and step.type in ("ok", "invoke"):
            result = _result(step)
            if step.type == "invoke" or result.get("promoted", True):
                return step
    return None


def _result(step: Step) -> dict[str, Any]:
    found = step.events[-1].get("result")
    return found if isinstance(found, dict) else {}


def planned_move_loses_nothing(history: History) -> Findings:
    """D4. A move that nothing forced loses no write acknowledged before it began to quiesce.

    Premise: a promotion in an episode without a fault, none being in force, and acknowledged
    writes. Rule: each write acknowledged before the plan's first quiesce, fence or promote step
    began, and after the promotion before it, is in the database's history log. Slack: none.
    """
    plans = _planned(history)
    if not plans:
        return NotExercised("no promotion without a fault")
    if not acked(history):
        return NotExercised("no write was acknowledged")
    final, lost = database_final(history), lost_writes(history)
    if final is None or lost is None:
        expected = "a read-back from the database, with its history log"
        return [Finding("D4", Verdict.UNKNOWN, expected, "there is none")]
    findings = []
    for plan, before in plans:
        begun = min(s.invoked for s in plan.steps if s.id in QUIESCE)
        mine = [w for w in lost if before < w.done < begun]
        if mine:
            findings.append(_planned_loss(plan, mine, begun, final.event))
    return findings


def _planned(history: History) -> list[tuple[Plan, int]]:
    """Plans that promoted without a fault, each with the instant of the promotion before (ns)."""
    out: list[tuple[Plan, int]] = []
    calm = [p.number for e in episodes(history) if not e.faults for p in e.plans]
    before = 0
    for plan in history.plans:
        promotion = _promotion(plan)
        if promotion is None:
            continue
        forced = any(f.in_force(plan.invoked) for f in history.faults)
        if plan.number in calm and not forced:
            out.append((plan, before))
        before = promotion.ended or promotion.invoked
    return out


def _planned_loss(plan: Plan, lost: Sequence[Operation], begun: int, final: Event) -> Finding:
    ahead = (begun - lost[-1].done) / NS
    return Finding(
        "D4",
        Verdict.FAIL,
        f"{plan.procedure} without a fault loses nothing acknowledged before it quiesces",
        f"{len(lost)} acknowledged writes are gone, the last {lost[-1].opid}, {ahead:.3f} s before",
        (*(w.events[-1] for w in lost[-5:]), final, *(w.events[-1] for w in lost[:-5])),
        "a planned move stops the writers and waits for the standby before it promotes",
    )


def gate_is_honest(history: History) -> Findings:
    """D5. Before a promotion the lag was looked at; the figure is there, and it is true.

    Premise: a promotion by a procedure whose preflight records lag (field ``checked``), or that
    left it out. Rule: before the promotion began, a preflight step was ok with ``checked`` and
    ``lag_bytes``; that is at least what the samples prove: the old primary's last position eps
    before the step, less what the standby had after it. A missing figure means refuse; a promotion
    that was forced past it is named as that. Slack: eps.
    """
    judged = [(p, s) for p in history.plans if (s := _promotion(p)) is not None]
    if not judged:
        return NotExercised("no promotion")
    looks = [s for p in history.plans for s in p.steps if s.id == "preflight" and s.type == "ok"]
    if not looks and all("preflight" not in p.planned for p, _ in judged):
        return _never_looked(judged)
    if looks and not any("checked" in _result(s) for s in looks):
        return NotExercised("the preflight recorded no lag")
    findings: list[Finding] = []
    for plan, promotion in judged:
        done = [
            s
            for s in plan.steps
            if s.id == "preflight" and s.type == "ok" and (s.ended or 0) <= promotion.invoked
        ]
        if not done:
            findings += _never_looked([(plan, promotion)])
        else:
            findings += _figure(history, plan, done[-1])
    return findings


def _never_looked(judged: Sequence[tuple[Plan, Step]]) -> list[Finding]:
    expected = "the lag is looked at before a promotion"
    seen = "{} promoted without it: nobody knew what would be lost"
    return [
        Finding("D5", Verdict.FAIL, expected, seen.format(p.procedure), (*s.events, *p.events))
        for p, s in judged
    ]


def _figure(history: History, plan: Plan, step: Step) -> list[Finding]:
    result = _result(step)
    figure = result.get("lag_bytes")
    events = (*step.events, *plan.events)
    if not result.get("checked") or figure is None:
        expected = "without a figure for the lag nothing is promoted"
        forced = f"it was forced: {result.get('why') or 'no reason given'}"
        seen = (
            f"{plan.procedure} promoted; {forced if result.get('forced') else 'nobody forced it'}"
        )
        return [Finding("D5", Verdict.FAIL, expected, seen, events)]
    proven, samples = _proven_lag(history, plan, step)
    if figure >= proven:
        return []
    expected = f"the lag that {plan.procedure} relied on is true"
    seen = f"it said {figure} bytes, the samples prove {proven}"
    advice = "was the figure taken long before, or from a database that knew no better?"
    return [Finding("D5", Verdict.FAIL, expected, seen, (*step.events, *samples), advice)]


def _proven_lag(history: History, plan: Plan, step: Step) -> tuple[int, tuple[Event, ...]]:
    """Bytes that the standby certainly lacked at a preflight, with the two samples that show it."""
    since = step.invoked - ns(history.profile.eps)
    old = [
        e
        for region, samples in history.dbs.items()
        if region != plan.to
        for e in samples
        if e.t <= since and e["writable"] and e.get("cur")
    ]
    # one that is promoted by then is at least where it was before: what it wrote only adds to it
    after = [
        e
        for e in history.dbs.get(plan.to, ())
        if e.t >= (step.ended or step.invoked) and e["writable"] is not None
    ]
    if not old or not after:
        return 0, ()
    last = max(old, key=lambda e: e.t)
    had = max(position(after[0].get(name)) for name in ("recv", "replay", "cur"))
    return max(0, position(last["cur"]) - had), (last, after[0])


def reruns_converge(history: History) -> Findings:
    """L5. A procedure that was cut short and run again ends where one run would have ended.

    Premise: a run without an end that was followed by another that ended ok, or runs that overlap.
    Rule: no step of a run ends after a later run began; from the first of the runs to the end of
    the last, one epoch was opened at most; after it the database of the region they move to is
    writable, and Configuration Servers use no other that is. Slack: two sampling intervals.
    """
    findings = _overwritten(history)
    cut_short = [p for p in history.plans if p.type == "invoke" or _broke_off(p)]
    again = [
        (p, [q for q in history.plans if q.number > p.number and (q.name, q.to) == (p.name, p.to)])
        for p in cut_short
    ]
    again = [(p, later) for p, later in again if later and later[-1].type == "ok"]
    if not again:
        overlap = len(history.plans) > 1 and bool(findings)
        return findings if overlap else NotExercised("no run was cut short and done again")
    first, later = again[0]
    return [*findings, *_epochs_opened(history, [first, *later]), *_one_active(history, later[-1])]


def _broke_off(plan: Plan) -> bool:
    return any(s.type == "invoke" for s in plan.steps)


def _overwritten(history: History) -> list[Finding]:
    findings = []
    for older in history.plans:
        begun = [p for p in history.plans if p.number > older.number]
        newer = min(begun, key=lambda p: p.invoked, default=None)
        late = [s for s in older.steps if newer and s.ended and s.ended > newer.invoked]
        if newer and late:
            ids = ", ".join(dict.fromkeys(s.id for s in late))
            seen = f"of plan {older.number} {ids} ended after plan {newer.number} had begun"
            events = (*(e for s in late for e in s.events), *newer.events[:1])
            findings.append(_diverges("an older run never overwrites a newer one", seen, events))
    return findings


def _diverges(expected: str, seen: str, events: tuple[Event, ...]) -> Finding:
    advice = "each step must look first, and do only what is not done yet"
    return Finding("L5", Verdict.FAIL, expected, seen, events, advice)


def _epochs_opened(history: History, runs: Sequence[Plan]) -> list[Finding]:
    """Epochs first seen on a writable database from the first run's begin to the last one's end."""
    slack = ns(2 * history.profile.sampling)
    end = (runs[-1].ended or history.end) + slack
    opened = [e for e in first_writable(history).values() if runs[0].invoked < e.t <= end]
    promoted = [s for p in runs if (s := _promotion(p)) is not None and s.type == "ok"]
    expected = f"{runs[0].procedure}, run {len(runs)} times, opens one epoch"
    if len(opened) > 1:
        names = ", ".join(str(e["epoch"]) for e in sorted(opened, key=lambda e: e.t))
        events = (*opened, *(e for p in runs for e in p.events))
        return [_diverges(expected, f"{len(opened)} were opened: {names}", events)]
    if len(promoted) > 1:
        seen = f"{len(promoted)} of its runs say that they promoted"
        return [_diverges(expected, seen, tuple(e for s in promoted for e in s.events))]
    return []


def _one_active(history: History, last: Plan) -> list[Finding]:
    slack = ns(2 * history.profile.sampling)
    begin = (last.ended or history.end) + slack
    until = min((p.invoked for p in history.plans if p.invoked > begin), default=history.end)
    until = min([until, *(f.invoked for f in history.faults if f.invoked > begin)])
    _, active = destination(last, intent(history, last.invoked))
    expected = f"after {last.procedure} {active}'s database is the one in use"
    findings = []
    for region, samples in history.dbs.items():
        mine = [e for e in samples if begin <= e.t <= until]
        for held in spans(history, region, mine, claim=lambda e: _wrong(e, active)):
            if held.until - held.since > slack:
                state = "is not writable" if region == active else "is writable and in use"
                events = (*last.events, *held.events)
                findings.append(_diverges(expected, f"{region}'s {state}", events))
    return findings


def _wrong(sample: Event, active: str) -> bool:
    """Whether a database is not what it should be; a fenced one may well be writable."""
    if sample["db"] == active:
        return sample["writable"] is False
    return bool(sample["writable"] and sample.get("sessions"))
