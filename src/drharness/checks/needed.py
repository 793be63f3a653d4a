"""Which steps each procedure needs, and in which order they come."""

from __future__ import annotations

from collections.abc import Mapping

from drharness.history.records import Plan

ORDER = (
    "preflight",
    "fence",
    "promote",
    "unblock",
    "repoint",
    "start-framework",
    "switch-names",
    "flush",
    "reconnect",
    "follow",
)
# Due only with more than two regions, wherever a database is promoted.
FURTHER = "follow"
_FULL = tuple(step for step in ORDER if step not in ("repoint", FURTHER))
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "full_failover": _FULL,
    "framework_failover": _FULL,
    "framework_failover(database='stay')": tuple(s for s in ORDER if s not in ("promote", FURTHER)),
    "dbms_failover": ("preflight", "fence", "promote", "unblock", "repoint", "reconnect"),
}


def required_of(plan: Plan) -> tuple[str, ...]:
    """Ids of the steps that a procedure needs; what it set out to do if it is not known."""
    return REQUIRED.get(plan.procedure) or REQUIRED.get(plan.name, plan.planned)
