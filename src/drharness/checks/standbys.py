"""Which standbys the active database is meant to have: all at first, then those that follow it."""

from __future__ import annotations

from drharness.checks.needed import FURTHER
from drharness.history.view import History


def followers(history: History, t: int) -> tuple[str, ...]:
    """Regions whose databases are standbys of the active one at ``t`` (ns).

    Before any promotion all others are; after one, those that its last procedure let follow. Where
    that is not over, or left it out, nobody knows of any.
    """
    for plan in reversed(history.plans):
        if not any(s.id == "promote" and s.invoked <= t for s in plan.steps):
            continue
        for step in plan.steps:
            if step.id == FURTHER and step.type == "ok" and step.ended and step.ended <= t:
                result = step.events[-1].get("result") or {}
                return tuple(result.get("following") or ())
        if plan.promoted:
            return ()
    return history.topology.others(history.active)
