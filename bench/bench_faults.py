"""How fast faults are in force and proven, and how fast they are healed.

    python bench/bench_faults.py [ROUNDS]

Injecting counts from the instant just before the effect begins to its proof; healing is all of
``heal()``. A killed component comes back after its agent's retry pause: that is waited for first,
and told apart, for it is the system's time and not the fault's.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence

from drharness.deployment import Deployment, deploy
from drharness.deployment.operations import NOT_YET
from drharness.faults import ComponentFrozen, ComponentKilled, LinkCut, RegionsCut, VmFrozen
from drharness.faults.model import Fault
from drharness.kernel import clock
from drharness.kernel.waiting import wait_until

GOAL_MS = 30.0
PROXY = "region2-application-b.csproxy"
FAULTS: Sequence[Fault] = (
    RegionsCut(),
    LinkCut("region2-application-b", "region1-framework-b", how="reject"),
    LinkCut("region2-application-b", "region1-framework-b"),
    ComponentKilled(PROXY),
    ComponentFrozen(PROXY),
    VmFrozen("region2-application-b"),
)


def one_round(deployment: Deployment, fault: Fault) -> tuple[float, float, float]:
    """Milliseconds to inject, to come back by itself, and to heal."""
    wait_until(
        lambda: deployment.operations.component_status(PROXY),
        PROXY,
        timeout=10.0,
        interval=0.002,
        retry_on=NOT_YET,
    )
    guard = fault.inject(deployment.operations)
    away = clock.Deadline(0)
    if isinstance(fault, ComponentKilled):
        wait_until(
            lambda: deployment.operations.component_status(PROXY),
            PROXY,
            timeout=10.0,
            interval=0.002,
            retry_on=NOT_YET,
        )
    absent = away.waited
    healing = clock.Deadline(0)
    guard.heal()
    receipt = guard.receipt
    return (receipt.proven - receipt.since) / 1e6, absent * 1000, healing.waited * 1000


def _row(name: str, times: Sequence[float]) -> str:
    return f"{name} median {statistics.median(times):6.1f}  max {max(times):6.1f} ms"


def main() -> None:
    """Print each fault's times, the load of the machine, and whether the goal is met."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    met = True
    with tempfile.TemporaryDirectory() as evidence, deploy(evidence_dir=evidence) as deployment:
        for fault in FAULTS:
            times = [one_round(deployment, fault) for _ in range(rounds)]
            inject, absent, heal = zip(*times, strict=True)
            met &= max(statistics.median(inject), statistics.median(heal)) <= GOAL_MS
            print(f"{fault}\n  {_row('inject', inject)}\n  {_row('heal  ', heal)}")
            if isinstance(fault, ComponentKilled):
                print(f"  {_row('absent', absent)} (its agent's pause, and its start)")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {rounds} rounds")
    print(f"goal: medians within {GOAL_MS:.0f} ms: {'met' if met else 'NOT met'}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
