"""The correct system under every fault: each run must end as the table says, without a false alarm.

    python bench/bench_matrix.py [--runs N] [--spinners N] [--only PATTERN ...] [--evidence DIR]

Every scenario of the table in matrix.py, with synchronous and asynchronous replication: traffic,
faults, what they entitle the system to (a heal, a procedure, a refusal and another run), a verdict.
A run is right if it went as the table says and no check found anything but what that allows.
Spinners are processes that compute for ever beside the runs. What was right leaves no evidence.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from matrix import MODES, Scenario, table
from spinners import spinning

from drharness.deployment import deploy
from drharness.errors import DrHarnessError
from drharness.faults import BY_NAME
from drharness.kernel import clock
from drharness.topology import Topology


@dataclass(frozen=True)
class Ran:
    """A run: its verdict (or ``raised``), what was wrong with it, seconds, its evidence."""

    verdict: str
    wrong: str
    seconds: float
    evidence: Path | None = None


def run(scenario: Scenario, mode: str, evidence: Path) -> Ran:
    """One deployment, one play, one verdict."""
    started = clock.Deadline(0)
    topology = Topology.guide(replication=mode, return_fence="boot-deny")
    kept = None
    try:
        with deploy(topology, evidence_dir=evidence) as deployment:
            kept = deployment.evidence
            with deployment.traffic():
                otherwise = scenario.play(deployment)
            verdict = deployment.judge()
    except DrHarnessError as error:
        return Ran("raised", f"{type(error).__name__}: {error}", started.waited, kept)
    found = [f for f in verdict.findings if f"{f.verdict} {f.invariant}" not in scenario.allowed]
    if otherwise or found:
        text = "\n".join(t for t in (otherwise, verdict.findings_text if found else "") if t)
        return Ran(str(verdict.status), text, started.waited, kept)
    shutil.rmtree(kept)
    return Ran(str(verdict.status), "", started.waited)


def row(scenario: Scenario, mode: str, runs: int, evidence: Path) -> bool:
    """Run a scenario so often and print a line; what was wrong follows it."""
    done = [run(scenario, mode, evidence) for _ in range(runs)]
    right = sum(not r.wrong for r in done)
    verdicts = " ".join(r.verdict for r in done)
    seconds = " ".join(f"{r.seconds:.1f}" for r in done)
    mark = "as the table says" if right == runs else "OTHERWISE"
    print(f"{scenario.name:55} {mode:5} {right}/{runs} {mark}  {verdicts}  {seconds} s", flush=True)
    for one in done:
        if one.wrong:
            print(f"    {one.evidence}\n    " + one.wrong.replace("\n", "\n    "), flush=True)
    return right == runs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each row")
    parser.add_argument("--spinners", type=int, default=2, help="processes that compute for ever")
    parser.add_argument("--only", nargs="*", default=["*"], help="names, with * for anything")
    parser.add_argument("--modes", nargs="*", default=MODES, choices=MODES, help="of replication")
    parser.add_argument("--evidence", type=Path, default=Path(".drharness"), help="of what is not")
    parser.add_argument("--list", action="store_true", help="only print the scenarios' names")
    return parser.parse_args()


def main() -> None:
    """Run the table; exit 1 if anything was otherwise than it says."""
    given = _arguments()
    rows = [s for s in table() if any(fnmatch.fnmatch(s.name, p) for p in given.only)]
    if given.list or not rows:
        print("\n".join(s.name for s in rows or table()))
        sys.exit(0 if rows else 2)
    forgotten = [name for name in BY_NAME if not any(s.name.startswith(name) for s in table())]
    if forgotten:
        sys.exit(f"matrix.py has no scenario of {', '.join(forgotten)}")
    started, good, count = clock.Deadline(0), 0, 0
    with spinning(given.spinners):
        for scenario in rows:
            for mode in given.modes:
                if mode in scenario.modes:
                    good += row(scenario, mode, given.runs, given.evidence)
                    count += 1
    spent = f"{given.runs} runs each, {given.spinners} spinners, {started.waited / 60:.1f} min"
    print(f"{good} of {count} rows as the table says; {spent}, load {os.getloadavg()[0]:.1f}")
    sys.exit(0 if good == count else 1)


if __name__ == "__main__":
    main()
