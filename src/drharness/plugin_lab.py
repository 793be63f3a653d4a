"""What ``dr_lab`` does with schedules and state machines.

Loaded with the plugin, so nothing heavy is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drharness.deployment import Deployment
    from drharness.schedule import Schedule, Trial
    from drharness.search.machine import DrMachine, Lab
    from drharness.topology import Topology

Lease = Callable[["Topology | None"], AbstractContextManager["Deployment", "bool | None"]]


def attempt(schedule: Schedule, lease: Lease, *, known: MutableMapping[str, Trial]) -> Trial:
    """Play a schedule on a deployment of its own, and judge it.

    Hypothesis repeats a failing example once, only to print it; then the trial that failed is
    given again. The evidence of one that did not pass is never dropped.

    :param known: trials that did not pass, by their schedule as JSON; this one's is added
    :raises DrHarnessError: the deployment did not come up, or has gone: there is no result
    """
    from drharness.deployment import evidence
    from drharness.kernel import clock
    from drharness.schedule import play, trial
    from drharness.search.drills import is_last_look

    key = schedule.to_json()
    if key in known and is_last_look():
        return known[key]
    begun = clock.Deadline(0)
    with lease(schedule.topology) as deployment:
        trial.write(schedule, deployment.evidence)
        tried = trial.judged(play(schedule, deployment), deployment, begun)
    if not tried.ok:
        evidence.keep(tried.run)
        known[key] = tried
    return tried


def run(machine: type[DrMachine], lab: Lab, settings: Any) -> None:
    """Run a state machine's examples on deployments of the lab."""
    from drharness.search import machine as machines

    machines.run(machine, lab, settings=settings)
