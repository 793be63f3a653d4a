"""A run as lines of text: steps with their times, RTO by phase and region, RPO."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from drharness.checks import Judgement, Lost, Recovery
from drharness.history import History, Plan, Step

SHOWN = 10
NS = 1_000_000_000
_INDENT: dict[str, Any] = {"initial_indent": " " * 5, "subsequent_indent": " " * 5}


def step_lines(history: History, judgement: Judgement) -> list[str]:
    """The table of steps of every procedure run, timed from the disturbance it answers."""
    lines: list[str] = []
    for plan in history.plans:
        before = [r for r in judgement.recoveries if r.t0 <= plan.invoked]
        lines += _table(plan, before[-1] if before else None)
    return lines


def _table(plan: Plan, recovery: Recovery | None) -> list[str]:
    t0 = recovery.t0 if recovery else plan.invoked
    cause = recovery.cause if recovery else f"the start of {plan.procedure}"
    rows = [(_since(t0, step.invoked), _row(step, t0)) for step in plan.steps]
    if plan.invoked > t0:
        waited = _since(t0, plan.invoked)
        rows.append((0.0, f"{0:>+8.3f}  {waited:>7.3f} s  until the procedure began"))
    for region, seconds in (recovery.regions if recovery else {}).items():
        if seconds is not None:
            text = f"{seconds:>+8.3f}  {'':>9}  first change acknowledged through {region}"
            rows.append((seconds, text))
    head = [f"in seconds from {cause}:", f"{'at':>8}  {'took':>9}  {'phase':<16}  clause"]
    return [*head, *(text for _, text in sorted(rows, key=lambda row: row[0]))]


def _since(t0: int, t: int) -> float:
    return (t - t0) / NS


def _row(step: Step, t0: int) -> str:
    at = _since(t0, step.invoked)
    took = "       - " if step.ended is None else f"{(step.ended - step.invoked) / NS:>7.3f} s"
    state = {"ok": "", "fail": "FAIL", "invoke": "not ended"}.get(step.type, step.type)
    clause = step.events[0].get("clause") or ""
    return f"{at:>+8.3f}  {took}  {step.id:<16}  {clause:<6}  {state}".rstrip()


def rto_lines(judgement: Judgement) -> list[str]:
    """RTO: the slowest region's, each region's, its phases, and each proxy host's way back."""
    if not judgement.recoveries:
        return ["RTO  not measured: nothing had to be overcome"]
    return [line for recovery in judgement.recoveries for line in _rto(recovery)]


def _rto(recovery: Recovery) -> list[str]:
    whole = "not reached" if recovery.seconds is None else f"{recovery.seconds:.3f} s"
    each = (
        f"{region} {'never' if seconds is None else f'{seconds:.3f} s'}"
        for region, seconds in recovery.regions.items()
    )
    lines = [f"RTO  {whole} ({', '.join(each) or 'no living region'})"]
    lines += wrap(", ".join(f"{n} {s:.3f}" for n, s in recovery.phases), 76, **_INDENT)
    for host in recovery.hosts:
        last = ", the last" if host is recovery.hosts[-1] and len(recovery.hosts) > 1 else ""
        noticed = f" (noticed at {host.noticed:.3f})" if host.noticed is not None else ""
        lines.append(f"     proxy host {host}{noticed}{last}")
    return lines


def lost_lines(judgement: Judgement) -> list[str]:
    """RPO: how many acknowledged changes are lost, and which (at most 10)."""
    rpo = judgement.rpo
    if rpo is None:
        return ["RPO  not known: nothing could be read back from the database"]
    lost = rpo.lost
    more = [f"     ... and {len(lost) - SHOWN} more"] if len(lost) > SHOWN else []
    return [f"RPO  {rpo}", *(f"     {_change(c)}" for c in lost[:SHOWN]), *more]


def _change(change: Lost) -> str:
    when = change.acked_before_s
    side = "before" if when is not None and when >= 0 else "after"
    acked = "" if when is None else f"  acknowledged {abs(when):.3f} s {side} the fault"
    return f"{change.key}={change.val!r:.40}{acked}"
