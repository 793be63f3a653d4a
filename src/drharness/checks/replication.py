"""S6, replication truth: a standby that is said to be healthy has what the active database has."""

from __future__ import annotations

from drharness.checks.episodes import ns
from drharness.checks.form import NotExercised
from drharness.checks.intent import troubled
from drharness.checks.stalls import extended
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History

_PATIENCE = 3  # times d_rep that a canary is looked for


def replication_truth(history: History) -> list[Finding] | NotExercised:
    """S6. What is committed on the active database can be read on its standby, and is the same.

    Premise: a canary was written at the end, while the active database says that its standby
    streams, and no fault touches either. Rule: it is readable on the standby within ``d_rep``; the
    standby is not behind the state that was digested before the canary; at the same place in the
    commit order the contents' digests are equal. Slack: eps, and the host's own stalls. A row that
    says ``streaming`` proves nothing: it is the claim that is tested.
    """
    found = [
        e
        for e in history.of_kind("replica")
        if e["claimed"]
        and not troubled(history, e.t, *(history.topology.dbms(e[r]).id for r in ("db", "of")))
    ]
    if not found:
        return NotExercised("no standby streams, or a fault touches it")
    return [finding for event in found for finding in _judge(history, event)]


def _judge(history: History, event: Event) -> list[Finding]:
    standby, active = f"the standby of {event['db']}", f"the database of {event['of']}"
    bound, waited = history.profile.d_rep, event.get("waited_s")
    if not event["readable"] or waited is None or ns(waited) > _allowed(history, event):
        expected = f"what {active} commits is readable on {standby} within {bound:.1f} s"
        late = "it was not readable" if waited is None else f"it was after {waited:.1f} s"
        seen = f"{late}, yet the standby streams, says {active}"
        advice = "is replay paused, or blocked by a reader?"
        verdict = Verdict.FAIL
        if waited is None and event.t - _since(history, event) <= _allowed(history, event):
            advice, verdict = "the host stood still for too long: run it again", Verdict.UNKNOWN
        return [_fail(expected, seen, event, advice, verdict)]
    one, two = event.get("active") or {}, event.get("standby") or {}
    if not one or not two:
        return []
    if one["epoch"] != two["epoch"] or two["seq"] < one["seq"]:
        expected = f"{standby} holds what {active} committed before a canary that it holds"
        seen = f"epoch {two['epoch']} seq {two['seq']}, not {one['epoch']} seq {one['seq']}"
        return [_fail(expected, seen, event)]
    if two["seq"] == one["seq"] and one["sha"] != two["sha"]:
        expected = f"{standby} has the same contents as {active} at seq {one['seq']}"
        return [_fail(expected, "their digests differ", event, "rebuild it: it is no copy")]
    return []


def _since(history: History, event: Event) -> int:
    """When the canary was committed (ns); of a history that does not say so, at the latest.

    One that could not be read was looked for that long.
    """
    waited = event.get("waited_s")
    looked = _PATIENCE * history.profile.d_rep if waited is None else waited
    return int(event.get("since", event.t - ns(looked)))


def _allowed(history: History, event: Event) -> int:
    """How long it may take (ns): the bound, the slack, and what the host stood still meanwhile."""
    profile, since = history.profile, _since(history, event)
    return extended(history, since, since + ns(profile.d_rep + profile.eps)) - since


def _fail(
    expected: str, seen: str, event: Event, advice: str = "", verdict: Verdict = Verdict.FAIL
) -> Finding:
    return Finding("S6", verdict, expected, seen, (event,), advice)
