"""Who is to blame for a finding: what the evidence names, else the last thing done before it.

A history proves what happened, hardly ever why. So only what a finding itself names is said to be
the cause; all else is said to be most likely, with the reason for thinking so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drharness.checks.text import seconds_from
from drharness.checks.verdict import Finding, Judgement, Verdict
from drharness.history.event import Event
from drharness.history.records import Plan, Step
from drharness.history.view import NS, History
from drharness.schedule.telling import Happening, forced, happenings, slips

# A promise is broken from when the last of several things has come about, such as the second of
# two writable databases.
_TOGETHER = ("S1", "S2", "S3", "L5")
_LATE = ("L1", "L3")  # what comes too late is seen when it comes
_LOSSES = ("D1", "D2", "D3", "D4", "S7")
_NAMING = ("P1", "L1", "D5")  # these name the step themselves
# The steps whose effect an invariant is about, the most likely first.
_FOR = {
    "S1": ("fence", "promote"),
    "S2": ("fence", "promote"),
    "S3": ("fence", "start-framework"),
    "S5": ("unblock", "fence"),
    "L5": ("promote",),
    "L3": ("flush", "switch-names", "reconnect"),
    "T1": ("repoint", "start-framework"),
    "T2": ("flush", "switch-names"),
}
# A step that went on by force left one of these open.
_FORCED = {"fence": ("S1", "S2", "S3", "S5", "S7", "S13", "D1", "D2", "D3"),
           "preflight": ("D1", "D2", "D3", "D5", "S6", "S7", "S13")}  # fmt: skip
# What is read off an inspection, which comes later than what it finds.
_INSPECTED = ("final", "audit", "reach", "edge", "dns", "replica")


@dataclass(frozen=True)
class Blame:
    """What a failure comes from.

    :ivar what: a clause that names it; ``why``: what it is concluded from
    :ivar certain: whether the finding itself names it; else it is an inference
    :ivar step: id of the procedure's step, empty if it is none
    :ivar t: ns at which it was done or struck, None if there is no such instant
    """

    what: str
    why: str
    certain: bool = False
    step: str = ""
    t: int | None = None

    def __str__(self) -> str:
        return f"{'to blame' if self.certain else 'most likely to blame'}: {self.what}"


def since(finding: Finding, history: History) -> int | None:
    """When what a finding is about began, ns; None if it has no proving event."""
    firsts: dict[str, int] = {}
    for event in sorted(finding.events, key=lambda e: e.t):
        firsts.setdefault(_subject(event), event.t)
    if not firsts:
        return None
    if finding.invariant in _TOGETHER:
        return max(firsts.values())
    if finding.invariant in _LATE:
        return max(e.t for e in finding.events)
    begun = _begun(history)
    return min((t for t in firsts.values() if t >= begun), default=max(firsts.values()))


def _subject(event: Event) -> str:
    name = event.get("db") if event.kind == "db" else event.get("id") or event.get("opid")
    return f"{event.kind} {name}"


def blame(finding: Finding, history: History, judgement: Judgement) -> Blame:
    """What a finding comes from, as far as the history tells."""
    if finding.verdict is not Verdict.FAIL:
        what = "nobody: nothing was seen to fail"
        return Blame(what, "the run does not prove enough; see what was expected", certain=True)
    for guess in (_replaced, _named, _slip, _forced, _lost_by, _slowest, _meant_for, _last):
        found = guess(finding, history, judgement)
        if found is not None:
            return found
    return Blame(
        "nothing that was done here",
        "no fault and no step came before it, so what was deployed is wrong or was changed by hand",
    )


def _replaced(finding: Finding, history: History, _: Judgement) -> Blame | None:
    """A component that is not the shipped one, if the finding is about one of those."""
    data = [str(v) for e in finding.events for v in e.data.values()]
    text = " ".join([finding.seen, *data])
    # A connection is named by its VM and the command.
    text += " ".join(f" {e.get('src')}.{e.get('by')}" for e in finding.events if e.kind == "edge")
    places = [
        (text.find(c.id), c.id, factory)
        for name, factory in history.topology.replaced
        for c in history.topology.components
        if name in (c.id, c.kind) and c.id in text
    ]
    if not places:
        return None
    name, factory = min(places)[1:]
    return Blame(name, f"the proof names it, and it is not the shipped one but {factory}")


def _named(finding: Finding, history: History, judgement: Judgement) -> Blame | None:
    """The step that a finding names itself."""
    if finding.invariant not in _NAMING:
        return None
    proof = {e.i for e in finding.events}
    mine = [s for p in history.plans for s in p.steps if proof & {e.i for e in s.events}]
    bad = [s for s in mine if s.type != "ok"]
    if finding.invariant == "P1" and not bad:
        step = _step_in(finding)
        early = min(mine, key=lambda s: s.invoked, default=None)
        at = early.invoked if early else finding.events[0].t if finding.events else None
        return Blame(f"step {step}: {_first_line(finding.seen)}", _itself(finding), True, step, at)
    if finding.invariant != "P1" and (left := _left_out(judgement, history)):
        return left
    if bad and finding.invariant != "D5":
        step = bad[-1].id
        what = f"step {step}, which {_ended(bad[-1])}"
        sure = finding.invariant == "P1"
        return Blame(what, _itself(finding), sure, step, bad[-1].invoked)
    if finding.invariant == "D5" and mine:
        return Blame(f"step {mine[0].id}", _itself(finding), True, mine[0].id, mine[0].invoked)
    return None


def _step_in(finding: Finding) -> str:
    """The step that P1 expected to be done; empty if it is about the run as a whole."""
    words = finding.expected.split()
    return words[words.index("step") + 1] if "step" in words else ""


def _ended(step: Step) -> str:
    how = {"fail": "failed", "refused": "refused", "invoke": "never ended"}
    return how.get(step.type, step.type)


def _itself(finding: Finding) -> str:
    return f"{finding.invariant} names it"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _slip(finding: Finding, history: History, judgement: Judgement) -> Blame | None:
    """A step that was left out or came at the wrong time."""
    at = since(finding, history)
    return _left_out(judgement, history, at)


def _left_out(judgement: Judgement, history: History, at: int | None = None) -> Blame | None:
    for plan in history.plans:
        if at is not None and plan.invoked > at:
            continue
        named = {_step_in(f): _first_line(f.seen) for f in judgement.findings if _says(f, plan)}
        how = slips(plan)
        guilty = [s for s in named if s]
        if guilty and len(how) <= 1:
            why = f"P1 in the same run: {named[guilty[0]]}"
            return Blame(f"step {guilty[0]} of {plan.name}", why, step=guilty[0], t=plan.invoked)
        how = [slip for slip in how if any(step in slip for step in guilty)] or how
        if how:
            what = f"the operator's slips: {', '.join(how)}"
            what = what.replace("slips:", "slip:") if len(how) == 1 else what
            why = "the shipped procedure has no such thing"
            why = f"P1 in the same run: {named[guilty[0]]}" if guilty else why
            return Blame(what, why, step=guilty[0] if guilty else "", t=plan.invoked)
    return None


def _says(finding: Finding, plan: Plan) -> bool:
    failed = finding.invariant == "P1" and finding.verdict is Verdict.FAIL
    return failed and _of(finding, plan)


def _of(finding: Finding, plan: Plan) -> bool:
    mine = {e.i for e in (*plan.events, *(e for s in plan.steps for e in s.events))}
    return any(e.i in mine for e in finding.events)


def _forced(finding: Finding, history: History, _: Judgement) -> Blame | None:
    """A step that went on without the proof that this would not happen."""
    until = max((e.t for e in finding.events), default=history.end)
    for plan in history.plans:
        for step, why in forced(plan).items():
            at = next(s.invoked for s in plan.steps if s.id == step)
            if at <= until and finding.invariant in _FORCED.get(step, ()):
                what, why = f"step {step}, which went on by force", f"its proof was missing: {why}"
                return Blame(what, why, step=step, t=at)
    return None


def _lost_by(finding: Finding, history: History, _: Judgement) -> Blame | None:
    """Of what is lost: the promotion after which it was not there, and what had kept it away."""
    writes = [e.t for e in finding.events if e.kind == "op"]
    if finding.invariant not in _LOSSES or not writes:
        return None
    for plan in history.plans:
        for step in plan.steps:
            done = step.id == "promote" and step.type in ("ok", "invoke")
            if done and step.invoked > min(writes):
                kept = [h for h in _before(history, step.invoked) if h.fault and h.who == "fault"]
                apart = f"; before that, {kept[0].text}" if kept else ""
                why = f"what was acknowledged before is not in the database that it opened{apart}"
                return Blame("step promote", why, step="promote", t=step.invoked)
    return None


def _slowest(finding: Finding, history: History, _: Judgement) -> Blame | None:
    """Of a recovery that came too late, the step that took longest."""
    if finding.invariant != "L1" or not history.plans:
        return None
    steps = [s for s in history.plans[-1].steps if s.ended is not None]
    if not steps:
        return None
    slow = max(steps, key=_took)
    every = sum(map(_took, steps))
    share = f"it took {_took(slow) / NS:.1f} of the {every / NS:.1f} s of all steps"
    return Blame(f"step {slow.id}", share, step=slow.id, t=slow.invoked)


def _took(step: Step) -> int:
    return (step.ended or step.invoked) - step.invoked


def _meant_for(finding: Finding, history: History, _judgement: Judgement) -> Blame | None:
    """The step that is there for this, unless something else happened after the procedure."""
    last = _last_before(finding, history)
    if last is None or last.step is None:
        return None
    meant = _FOR.get(finding.invariant, ())
    if any(e.get("source") == "authority" for e in finding.events):
        meant = meant[::-1]  # what the server itself says no cache has kept
    for name in meant:
        done = [h for h in _before(history, last.t) if h.step is not None and h.step.id == name]
        if done:
            what = f"step {name}, at {seconds_of(history, done[-1].t)}"
            why = "this is what it is there for, and nothing came after the procedure"
            return Blame(what, why, step=name, t=done[-1].t)
    return None


def _last_before(finding: Finding, history: History) -> Happening | None:
    at = since(finding, history)
    before: Sequence[Happening] = list(_before(history, history.end if at is None else at))
    return before[-1] if before else None


def _last(finding: Finding, history: History, _: Judgement) -> Blame | None:
    """The last thing done before the promise was broken."""
    last = _last_before(finding, history)
    if last is None:
        return None
    what = last.text
    if last.step is not None and last.step.type == "ok":
        what = f"step {last.step.id} (target {last.step.target})"
    kinds = {e.kind for e in finding.events}
    later = kinds <= set(_INSPECTED)
    why = "it is the last thing done before that was " + ("inspected" if later else "seen")
    step = last.step.id if last.step else ""
    return Blame(f"{what}, at {seconds_of(history, last.t)}", why, step=step, t=last.t)


def _before(history: History, at: int) -> Iterator[Happening]:
    return (h for h in happenings(history) if h.t <= at and h.who != "client")


def origin(history: History) -> int:
    """The instant from which a story counts, ns: the first fault, else the first happening."""
    faults = [f.since for f in history.faults if f.proven is not None]
    return min(faults) if faults else _begun(history)


def _begun(history: History) -> int:
    return min((h.t for h in happenings(history)), default=history.events[0].t)


def seconds_of(history: History, t: int) -> str:
    """``+1.23 s``: seconds from the first fault."""
    return f"{float(seconds_from(origin(history), t)):+.2f} s"
