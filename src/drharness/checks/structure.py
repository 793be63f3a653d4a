"""Structure: P1, the order and completeness of a procedure's steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from drharness.checks.episodes import names_failed
from drharness.checks.form import NotExercised
from drharness.checks.needed import FURTHER, ORDER, required_of
from drharness.checks.text import seconds_from
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Plan, Step
from drharness.history.view import History

MEANING: Mapping[str, str] = {
    "preflight": "nothing was checked before the first change; lag and management may be unfit",
    "fence": "the former active database was never proven unable to commit: two may take writes",
    "promote": "the replica stays read-only: no write can succeed",
    "unblock": "the firewall still refuses the Framework on the new active database",
    "repoint": "the Framework's files still name the database that is not the active one",
    "start-framework": "no Configuration Server runs in the new active region",
    "switch-names": "the Framework names still lead to the failed region",
    "flush": "proxies may keep the old address until the TTL is over",
    "reconnect": "nobody verified that the proxies have found the new master",
    "follow": "the other standbys have lost their primary: nothing more can be taken over there",
}


def steps_in_order(history: History) -> list[Finding] | NotExercised:
    """P1. fence < promote < unblock < repoint < start-framework < switch-names < flush < reconnect.

    Premise: a procedure was run. Rule: "<" means first completed (ok) before first begun; a
    procedure that ended ok has done every step it needs (see needed.py; with more than two regions
    also ``follow`` after a promotion), one that failed those that come before what it began. What
    it had put off until after the step that failed was not skipped: the first of these is named for
    the order. A run that failed is named with its step, unless it was run again and succeeded, or
    it failed where names are needed, said so, and a fault then kept the DNS server from answering.
    A refusal is no violation here, nor a run that was cut short in its preflight and, run again,
    refuses.
    Slack: none, the controller records all steps itself.
    """
    if not history.plans:
        return NotExercised("no procedure")
    findings: list[Finding] = []
    for plan in history.plans:
        findings += _order(plan)
        findings += _not_reached(plan)
        findings += _skipped(history, plan)
        if not _done_later(history, plan) and not names_failed(history, plan):
            findings += _ended_badly(history, plan)
    return findings


def _order(plan: Plan) -> list[Finding]:
    findings = []
    known = [i for i in ORDER if any(s.id == i for s in plan.steps)]
    for before, after in pairwise(known):
        begun = min((s for s in plan.steps if s.id == after), key=lambda s: s.invoked)
        done = plan.step_ok(before)
        if done is not None and done <= begun.invoked:
            continue
        early = [e for s in plan.steps if s.id == before for e in s.events]
        when = "was never done" if done is None else _after(begun, done)
        findings.append(_too_early(before, begun, when, (*begun.events, *early)))
    return findings


def _too_early(before: str, begun: Step, when: str, events: tuple[Event, ...]) -> Finding:
    return Finding(
        "P1",
        Verdict.FAIL,
        f"step {before} is completed before step {begun.id} begins",
        f"{begun.id} began, {before} {when}",
        events,
        f"without it, {MEANING.get(before, 'its effect is missing')}",
    )


def _after(begun: Step, done: int) -> str:
    return f"was completed {seconds_from(begun.invoked, done).strip().lstrip('+')} s later"


def _put_off(plan: Plan) -> dict[str, Step]:
    """Needed steps that a failed run meant to do later than another that comes after them.

    :return: each with the earliest step that was begun in its stead
    """
    if plan.type != "fail":
        return {}
    required = required_of(plan)
    begun = sorted(plan.steps, key=lambda s: s.invoked)
    reached = max((plan.planned.index(s.id) for s in begun if s.id in plan.planned), default=-1)
    out = {}
    for step in plan.planned[reached + 1 :]:
        later = required[required.index(step) + 1 :] if step in required else ()
        instead = [s for s in begun if s.id in later]
        if instead and not any(s.id == step for s in begun):
            out[step] = instead[0]
    return dict(sorted(out.items(), key=lambda item: required.index(item[0])))


def _not_reached(plan: Plan) -> list[Finding]:
    """The first step that a run had put off, and did not come to since it failed before."""
    return [
        _too_early(before, after, "was not reached", after.events)
        for before, after in list(_put_off(plan).items())[:1]
    ]


def _skipped(history: History, plan: Plan) -> list[Finding]:
    if plan.type in ("refused", "invoke"):
        return []
    required = required_of(plan)
    if len(history.topology.regions) > 2 and "promote" in required and FURTHER not in required:
        required = (*required, FURTHER)
    missing = [i for i in required if not any(s.id == i for s in plan.steps)]
    if plan.type == "fail" and plan.steps:
        reached = [required.index(s.id) for s in plan.steps if s.id in required]
        missing = [i for i in missing if required.index(i) < max(reached, default=0)]
        missing = [i for i in missing if i not in _put_off(plan)]
    undone = [s.id for s in plan.steps if s.type != "ok" and plan.step_ok(s.id) is None]
    if plan.type == "ok":
        missing += [i for i in required if i in undone]
    return [
        Finding(
            "P1",
            Verdict.FAIL,
            f"{plan.procedure} does step {step}",
            f"it was skipped: {MEANING.get(step, 'its effect is missing')}"
            if step not in undone
            else f"it was not ok, yet {plan.procedure} went on: {MEANING.get(step, '')}",
            plan.events,
        )
        for step in missing
    ]


def _done_later(history: History, plan: Plan) -> bool:
    return any(
        p.name == plan.name and p.to == plan.to and p.type == "ok" and p.invoked > plan.invoked
        for p in history.plans
    )


def _refused_later(history: History, plan: Plan) -> bool:
    """Whether it was cut short before it changed anything, and refused when it was run again."""
    changed = any(s.id != "preflight" for s in plan.steps)
    return not changed and any(
        p.name == plan.name and p.to == plan.to and p.type == "refused" and p.invoked > plan.invoked
        for p in history.plans
    )


def _ended_badly(history: History, plan: Plan) -> list[Finding]:
    step = plan.broken_at
    where = f" at step {step.id}: {step.text or 'no text'}" if step else ""
    events = (*(step.events if step else ()), *plan.events)
    expected = f"{plan.procedure} succeeds"
    if plan.type == "fail":
        return [Finding("P1", Verdict.FAIL, expected, f"it failed{where}", events)]
    if plan.type == "invoke" and _refused_later(history, plan):
        return []
    if plan.type == "invoke":
        seen = f"the history has no end of it{where}"
        advice = "was the controller killed? run the procedure again"
        return [Finding("P1", Verdict.UNKNOWN, expected, seen, events, advice)]
    return []
