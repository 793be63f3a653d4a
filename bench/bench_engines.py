"""The same drills on the local and the docker engine: verdicts, and what is said of lost changes.

    python bench/bench_engines.py [DRILLS] [SEED]        # default: 30

A third of the drills with sync and a third with async replication, each a fault and a failover as
a hunt draws them; in the last third the operator slips as well, so that many of them fail. Each is
played on one engine right after the other. Compared: the verdict, the invariants that failed, and
the verdicts of D1 to D5, which say whether what was lost may be lost. How many changes an
asynchronous failover loses is a matter of milliseconds; it is printed, not compared.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_hunt import Drills

from drharness.deployment import Pool
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial, attempt
from drharness.search.hunt import generated
from drharness.topology import Topology

ENGINES = ("local", "docker")


@dataclass(frozen=True)
class Said:
    """What is compared."""

    status: str
    failed: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]


def said(trial: Trial) -> Said:
    """Of one drill on one engine."""
    judged = trial.judgement
    durable = [(r.id, str(r.verdict)) for r in judged.results if r.id[0] == "D" and r.exercised]
    return Said(str(trial.status), judged.failed, tuple(durable))


def kinds(count: int, seed: int) -> Iterator[tuple[str, Topology, Schedule]]:
    """A name, the topology and the schedule of each drill."""
    third = -(-count // 3)
    for name, replication, slips in (
        ("sync", "sync", False),
        ("async", "async", False),
        ("slips", "sync", True),
    ):
        topology = Topology.guide(replication=replication)
        hunt = Drills(seed, third, topology=topology, slips=slips)
        for schedule in generated(hunt):
            yield name, topology, schedule


def main() -> None:
    """Print a line for each drill; status 1 if one was judged differently."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    differ = 0
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, topology, schedule) in enumerate(kinds(count, seed), start=1):
            found = []
            for engine in ENGINES:
                base = Path(directory, engine)
                with Pool(topology, engine=engine, evidence_dir=base, staged=0) as pool:
                    found.append(attempt(schedule, pool))
            same = said(found[0]) == said(found[1])
            differ += not same
            counts = " / ".join(str(len(trial.judgement.lost or ())) for trial in found)
            verdicts = " / ".join(f"{t.status} {' '.join(t.failed)}".strip() for t in found)
            mark = "same  " if same else "DIFFER"
            print(f"{number:3} {name:6} {mark} {verdicts}; lost {counts}", flush=True)
            if not same:
                for engine, trial in zip(ENGINES, found, strict=True):
                    print(f"      {engine}: {said(trial)}\n{trial.judgement}", flush=True)
    print(f"{number} drills on both engines: {differ} judged differently")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
