"""Actions and procedures as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drharness.schedule.actions import Action, Inject
from drharness.schedule.procedure import ProcedureUse, Slip


def action(it: Action) -> dict[str, Any]:
    """``{"do": "inject", "fault": "vm-down", "args": {"target": "active.dbms"}}`` and the like."""
    if isinstance(it, Inject):
        return {"do": it.name, "fault": it.fault.kebab, "args": asdict(it.fault)}
    return {"do": it.name, **asdict(it)}


def procedure(use: ProcedureUse) -> dict[str, Any]:
    """Its name, region, options and slips."""
    return {
        "name": use.name,
        "to": use.to,
        "options": dict(use.options),
        "slips": [_slip(s) for s in use.slips],
    }


def _slip(slip: Slip) -> dict[str, Any]:
    more = {"other": slip.other, "seconds": slip.seconds}
    return {"kind": slip.kind, "step": slip.step, **{k: v for k, v in more.items() if v}}


def plain(values: Mapping[str, object]) -> dict[str, Any]:
    """The same with lists for tuples, as it comes back from JSON."""
    return {k: _listed(v) for k, v in values.items()}


def _listed(value: object) -> object:
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value
