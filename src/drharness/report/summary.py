"""A run as plain values, ready for JSON; made from the history alone, so offline it is the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drharness.checks import Finding, Judgement, Recovery, Result, Rpo
from drharness.history import Fault, History, Plan, Step

VERSION = 1
NS = 1_000_000_000


def summary(history: History, judgement: Judgement) -> dict[str, Any]:
    """All that is known of a run.

    Times are seconds. ``v`` is the version of this format: fields may be added within it.
    """
    run = history.events[0]
    return {
        "v": VERSION,
        "kind": "drharness run",
        "run": history.run_id,
        "status": str(judgement.status),
        "engine": run.get("engine"),
        "topology": history.topology.as_dict(),
        "active_at_start": history.active,
        "faults": [_fault(f) for f in history.faults],
        "procedures": [_procedure(p) for p in history.plans],
        "rto": {
            "seconds": judgement.rto,
            "recoveries": [_recovery(r) for r in judgement.recoveries],
        },
        "rpo": _rpo(judgement.rpo),
        "verdict": {
            "status": str(judgement.status),
            "times_from": judgement.t0_name,
            "results": [_result(r, judgement.t0) for r in judgement.results],
            "text": str(judgement),
        },
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "f": fault.f,
        "args": dict(fault.args),
        "proven": fault.proven is not None,
        "proof": dict(fault.proof),
        "healed": fault.healed is not None,
    }


def _procedure(plan: Plan) -> dict[str, Any]:
    broken = plan.broken_at
    return {
        "name": plan.procedure,
        "code": plan.events[0].get("code"),
        "to": plan.to,
        "status": "unfinished" if plan.type == "invoke" else plan.type,
        "step": broken.id if broken else None,
        "text": broken.text if broken else None,
        "seconds": None if plan.ended is None else (plan.ended - plan.invoked) / NS,
        "steps": [_step(s, plan) for s in plan.steps],
    }


def _step(step: Step, plan: Plan) -> dict[str, Any]:
    return {
        "id": step.id,
        "clause": step.events[0].get("clause"),
        "target": step.target,
        "status": "unfinished" if step.type == "invoke" else step.type,
        "begun_after": (step.invoked - plan.invoked) / NS,
        "seconds": None if step.ended is None else (step.ended - step.invoked) / NS,
        "text": step.text,
    }


def _recovery(recovery: Recovery) -> dict[str, Any]:
    return {
        "after": recovery.cause,
        "seconds": recovery.seconds,
        "regions": dict(recovery.regions),
        "phases": _phases(recovery.phases),
        "hosts": [
            {
                "proxy": h.proxy,
                "seconds": h.seconds,
                "noticed": h.noticed,
                "phases": _phases(h.phases),
            }
            for h in recovery.hosts
        ],
    }


def _phases(phases: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"name": name, "seconds": seconds} for name, seconds in phases]


def _rpo(rpo: Rpo | None) -> dict[str, Any]:
    if rpo is None:
        return dict.fromkeys(("count", "seconds", "wal_bytes", "lost")) | {"known": False}
    fields = ("opid", "key", "val", "seq", "epoch", "acked_before_s")
    listed = [{name: getattr(change, name) for name in fields} for change in rpo.lost]
    return {
        "known": True,
        "count": len(rpo.lost),
        "seconds": rpo.seconds,
        "wal_bytes": rpo.wal_bytes,
        "lost": listed,
    }


def _result(result: Result, t0: int) -> dict[str, Any]:
    return {
        "id": result.id,
        "title": result.title,
        "verdict": str(result.verdict) if result.exercised else None,
        "exercised": result.exercised,
        "note": result.note,
        "findings": [_finding(f, t0) for f in result.findings],
    }


def _finding(finding: Finding, t0: int) -> dict[str, Any]:
    return {
        "verdict": str(finding.verdict),
        "expected": finding.expected,
        "seen": finding.seen,
        "advice": finding.advice,
        "events": [{"at": (e.t - t0) / NS, **e.data} for e in finding.events],
    }
