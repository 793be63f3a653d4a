"""The judge: runs checks over a history; a check that raises is UNKNOWN, never a pass."""

from __future__ import annotations

from collections.abc import Collection

from drharness.checks.budget import Budget
from drharness.checks.episodes import episodes
from drharness.checks.form import NotExercised
from drharness.checks.registry import CHECKS, Check
from drharness.checks.rpo import measure
from drharness.checks.rto import recoveries
from drharness.checks.stalls import told
from drharness.checks.validity import lost_vms
from drharness.checks.verdict import Finding, Judgement, Result, Verdict, worst
from drharness.errors import UsageError
from drharness.history.view import History


def judge(
    history: History,
    *,
    invariants: Collection[str] | None = None,
    checks: Collection[Check] = CHECKS,
    budget: Budget | None = None,
) -> Judgement:
    """Judge a run.

    :param invariants: ids of the checks to run; None: all
    :param checks: further or other checks than the shipped ones
    :param budget: limits on RTO and RPO, judged as ``RTO`` and ``RPO``
    :raises UsageError: no check has one of the ids
    """
    known = {c.id for c in checks}
    for wanted in invariants or ():
        if wanted not in known:
            raise UsageError(
                f"invariants: expected ids among {', '.join(sorted(known))}, got {wanted!r}."
            )
    chosen = [c for c in checks if invariants is None or c.id in invariants]
    results = tuple(_run(check, history) for check in chosen)
    t0, name = _origin(history)
    times, rpo = recoveries(history), measure(history)
    if budget is not None:
        results += budget.results(times, rpo, disturbed=bool(history.faults or history.plans))
    return Judgement(history.run_id, results, t0, name, times, rpo, told(history))


def _run(check: Check, history: History) -> Result:
    lost = [event["id"] for event in lost_vms(history)]
    if lost and check.id.startswith("L"):
        reason = f"{', '.join(lost)} ended by itself; bounds hold for what is recorded as a fault"
        return Result(check.id, check.title, Verdict.PASS, (), False, reason)
    try:
        found = check.run(history)
    except Exception as error:  # noqa: BLE001 - becomes a finding: a broken check must not hide the others
        finding = Finding(
            check.id,
            Verdict.UNKNOWN,
            "the check runs to its end",
            f"it raised {type(error).__name__}: {error}",
            advice="this is a defect of the check or of the history, not of the deployment",
        )
        return Result(check.id, check.title, Verdict.UNKNOWN, (finding,))
    if isinstance(found, NotExercised):
        return Result(check.id, check.title, Verdict.PASS, (), False, found.reason)
    verdict = worst([Verdict.PASS, *(f.verdict for f in found)])
    return Result(check.id, check.title, verdict, tuple(found))


def _origin(history: History) -> tuple[int, str]:
    found = episodes(history)
    if not found:
        return history.events[0].t, "start of run"
    return found[0].t_fail, found[0].cause
