"""What tests of schedules have in common."""

from __future__ import annotations

import json
from typing import Any

from drharness import faults, topology
from drharness.schedule import actions, procedure
from drharness.schedule.schedule import Schedule

NAMES: dict[str, Any] = {
    **{name: getattr(faults, name) for name in faults.__all__},
    **vars(actions),
    **vars(procedure),
    "Schedule": Schedule,
    "Topology": topology.Topology,
}


def evaluated(code: str) -> Any:
    """What a ``repr`` gives when it is run with the public names around."""
    return eval(code, dict(NAMES))


def text(*actions: object, **top: object) -> str:
    """A schedule's file with these actions, and anything else at its top."""
    return json.dumps({"version": 1, "actions": list(actions), **top})
