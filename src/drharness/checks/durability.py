"""Durability: D1 for synchronous replication; D2 and D3 for asynchronous."""

from __future__ import annotations

from drharness.checks.episodes import episodes, ns
from drharness.checks.form import NotExercised
from drharness.checks.models import acked, database_final
from drharness.checks.rpo import lost_writes
from drharness.checks.verdict import Finding, Verdict
from drharness.history.records import Operation
from drharness.history.view import NS, History

Findings = list[Finding] | NotExercised


def _premise(history: History, invariant: str, replication: str) -> Findings | None:
    """Why the check cannot judge this history; None if it can."""
    if history.topology.replication != replication:
        return NotExercised(f"replication is {history.topology.replication}")
    if not acked(history):
        return NotExercised("no write was acknowledged")
    if database_final(history) is None:
        expected = "a read-back from the database, with its history log"
        return [Finding(invariant, Verdict.UNKNOWN, expected, "there is none")]
    return None


def nothing_lost(history: History) -> Findings:
    """D1. Under synchronous replication every acknowledged write is in the final state.

    Premise: replication ``sync``, acknowledged writes, a read-back from the database. Rule: each
    write acknowledged before that is in its history log. Slack: none.
    """
    premise = _premise(history, "D1", "sync")
    if premise is not None:
        return premise
    lost = lost_writes(history) or []
    if not lost:
        return []
    seen = f"{len(lost)} acknowledged writes are gone, the first {lost[0].opid} ({lost[0].key})"
    return [_finding(history, "D1", "every acknowledged write survives", seen, lost)]


def _finding(
    history: History, invariant: str, expected: str, seen: str, lost: list[Operation]
) -> Finding:
    final = database_final(history)
    proof = [w.events[-1] for w in lost]
    shown = [*proof[:5], *([final.event] if final else []), *proof[5:]]
    advice = "see the RPO list; was each write acknowledged by the standby before the client's ok?"
    return Finding(invariant, Verdict.FAIL, expected, seen, tuple(shown), advice)


def bounded_loss(history: History) -> Findings:
    """D2. Under asynchronous replication only the youngest acknowledged writes may be lost.

    Premise: as D1, replication ``async``, a disturbance. Rule: a lost write was acknowledged later
    than lag before the first fault that preceded the loss. Slack: lag is the profile's ``d_rep``.
    """
    premise = _premise(history, "D2", "async")
    if premise is not None:
        return premise
    lag = ns(history.profile.d_rep)
    lost = [w for w in lost_writes(history) or [] if w.done <= _broken_from(history, w) - lag]
    if not lost:
        return []
    ahead = (_broken_from(history, lost[0]) - lost[0].done) / NS
    seen = (
        f"{len(lost)} writes were lost though acknowledged at least {history.profile.d_rep:g} s "
        f"before anything broke; the first is {lost[0].opid}, {ahead:.2f} s before"
    )
    return [_finding(history, "D2", "loss is bounded by the lag", seen, lost)]


def _broken_from(history: History, w: Operation) -> int:
    """When the disturbance began that ended with the promotion after a write's acknowledgement."""
    found = episodes(history)
    for episode in found:
        promoted = [p.step_ok("promote") for p in episode.plans]
        if any(t is not None and t > w.done for t in promoted):
            return episode.since
    return found[0].since if found else history.end + ns(history.profile.d_rep)


def loss_is_suffix(history: History) -> Findings:
    """D3. What is lost of an epoch is its end: nothing with a higher seq survives.

    Premise: as D2. Rule: in each epoch, no lost write has a lower seq than a survivor, unknown
    writes that survived included. Slack: none; seq is the commit order.
    """
    premise = _premise(history, "D3", "async")
    if premise is not None:
        return premise
    final = database_final(history)
    ops = (final.ops if final else None) or {}
    findings = []
    lost = lost_writes(history) or []
    for epoch in dict.fromkeys(w.epoch for w in lost):
        mine = [w for w in lost if w.epoch == epoch and w.seq is not None]
        top = max((ops[w.opid] for w in _survivors(history, epoch, ops)), default=-1)
        holes = [w for w in mine if w.seq is not None and w.seq < top]
        if holes:
            seen = (
                f"{len(holes)} lost writes of epoch {epoch} are older than survivors "
                f"(up to seq {top}); the first is {holes[0].opid}, seq {holes[0].seq}"
            )
            findings.append(_finding(history, "D3", "the loss has no hole", seen, holes))
    return findings


def _survivors(history: History, epoch: str, ops: dict[str, int]) -> list[Operation]:
    """Surviving writes certainly of an epoch: unknown ones if over before the next promotion."""
    mine = [w.done for w in acked(history) if w.epoch == epoch]
    promotions = [s.invoked for p in history.plans for s in p.steps if s.id == "promote"]
    over = min((t for t in promotions if mine and t > min(mine)), default=None)
    if over is None:
        later = any(w.epoch not in ("", epoch) and w.done > min(mine) for w in acked(history))
        over = 0 if later else history.end + 1
    return [
        w
        for w in history.writes
        if w.opid in ops
        and (w.epoch == epoch or (not w.epoch and w.type == "info" and w.done <= over))
    ]
