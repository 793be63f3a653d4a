"""The controller killed at every moment of a full failover, which is then run again.

    python bench/bench_interruptions.py [STEP] [async]

Of every step: after it, and at each of its requests to a VM, before that leaves and once it left.
Each case is a deployment of its own, with traffic; it converges if the second run succeeds and the
verdict is PASS. Ends with status 1 if one does not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from drharness import faults, procedures
from drharness.deployment import deploy
from drharness.deployment.requests import Moment
from drharness.errors import DrHarnessError
from drharness.kernel import clock
from drharness.topology import Topology

_PROCEDURE = procedures.full_failover(to="region2")


def attempt(topology: Topology, moment: Moment, evidence: Path) -> tuple[str, str]:
    """How the case ended in one word, and why; empty words if the moment never came."""
    with deploy(topology, evidence_dir=evidence) as d:
        with d.traffic():
            d.inject(faults.RegionDown("region1"))
            first = d.run(replace(_PROCEDURE, interruption=moment))
            if first.status != "interrupted":
                return "", ""
            second = d.run(_PROCEDURE)
        verdict = d.judge()
    if verdict.ok and second.ok:
        return "PASS", ""
    return str(verdict.status), f"{second.status} {second.step} {second.text}\n{verdict}"


def moments(step: str) -> Iterator[tuple[Moment, bool]]:
    """Of one step; with true, those after which a later one is worth trying."""
    yield Moment(after=step), False
    for call in range(1, 100):
        yield Moment(within=step, call=call, sent=False), True
        yield Moment(within=step, call=call), False


def sweep(topology: Topology, step: str, evidence: Path) -> list[str]:
    """One line per case; what did not pass is printed whole."""
    bad = []
    for moment, may_end in moments(step):
        started = clock.Deadline(0)
        try:
            status, why = attempt(topology, moment, evidence)
        except DrHarnessError as error:
            status, why = "ERROR", str(error)
        if not status and may_end:
            break
        print(f"{status:<8} {started.waited:5.1f} s  {moment}", flush=True)
        if status != "PASS":
            bad.append(f"{moment}: {status}\n{why}")
    return bad


def main() -> None:
    """Sweep over the steps named, or all."""
    ids = [s.id for s in _PROCEDURE.steps]
    chosen = [a for a in sys.argv[1:] if a in ids] or ids
    topology = Topology.guide(replication="async" if "async" in sys.argv else "sync")
    with tempfile.TemporaryDirectory() as evidence:
        bad = [line for step in chosen for line in sweep(topology, step, Path(evidence))]
    print("\n".join(bad) or "all converge")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
