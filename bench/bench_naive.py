"""Up, reset and failover beside those of a plain script, in one run: what the machinery costs.

    python bench/bench_naive.py [ROUNDS]     # about 20 s a round

The plain script is ``naive.py``: three processes that share an interface. A deployment has 11 VMs
in networks of their own, with firewalls, management components, proxies and clients. Both go once
through it all in every round, in turn, so that whatever else the machine does hits both alike;
figures are medians of the rounds.

=========  ============================================  ===========================================
           drharness                                     the plain script
=========  ============================================  ===========================================
up         ``deploy()``, until every region can write    initdb … until a write through the name
reset      what a lease from a pool waits after a drill  data directories put back, both started,
           (the next deployment came up meanwhile)       until a write through the name
renewed    ``deploy()`` down and up again, without pool  down and up again
failover   a region is lost under traffic; until all     the primary is killed; until a write
           eight steps are done and proven, and writes   through the name
           of clients are acknowledged
=========  ============================================  ===========================================
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from naive import Naive, place

from drharness.dbms import binaries
from drharness.deployment import Deployment, Pool, deploy
from drharness.faults import RegionDown
from drharness.kernel import clock
from drharness.procedures import full_failover

Times = dict[str, float]


def taken(what: Callable[[], object]) -> float:
    """Seconds of it."""
    begun = clock.Deadline(0)
    what()
    return begun.waited


def failover(deployment: Deployment) -> float:
    """Seconds from the loss of a region until clients write again.

    :raises SystemExit: the failover did not succeed
    """
    with deployment.traffic() as traffic:
        begun = clock.Deadline(0)
        deployment.inject(RegionDown("region1"))
        outcome = deployment.run(full_failover(to="region2"))
        traffic.wait_writes(1, timeout=10.0)
        seconds = begun.waited
    if not outcome.ok or not deployment.judge().ok:
        raise SystemExit(f"the failover: {outcome}")
    return seconds


def ours(base: Path) -> Times:
    """Once through it all: by itself, then from a pool."""
    times: Times = {}
    begun = clock.Deadline(0)
    with deploy(evidence_dir=base) as deployment:
        times["up"] = begun.waited
        times["failover"] = failover(deployment)
        ending = clock.Deadline(0)
    times["renewed"] = ending.waited + times["up"]
    with Pool(evidence_dir=base) as pool:
        with pool.lease() as deployment:
            failover(deployment)
        asked = clock.Deadline(0)
        with pool.lease(staged=0):
            times["reset"] = asked.waited
    return times


def plain(pg_bin: Path) -> Times:
    """Once through it all."""
    times: Times = {}
    with place() as directory:
        naive = Naive(Path(directory), pg_bin)
        try:
            times["up"] = taken(naive.up)
            naive.save()
            naive.lose()
            times["failover"] = taken(naive.fail_over)
            times["reset"] = taken(naive.reset)
        finally:
            down = taken(naive.down)
        times["renewed"] = down + times["up"]
    return times


def main() -> None:
    """Print the medians side by side."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    pg_bin = Path(binaries.find().directory)
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        with deploy(evidence_dir=base):
            pass  # starts the launcher and, the first time on a machine, makes the template
        both = [(ours(base), plain(pg_bin)) for _ in range(rounds)]
    print(f"{rounds} rounds in turn, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print("            drharness (11 VMs)        plain script (3 processes)   drharness / it")
    for what in ("up", "reset", "renewed", "failover"):
        columns = [sorted(one[side][what] for one in both) for side in (0, 1)]
        middle = [statistics.median(column) for column in columns]
        cells = [
            f"{m:6.3f} s ({column[0]:.3f} - {column[-1]:.3f})"
            for m, column in zip(middle, columns, strict=True)
        ]
        ratio = statistics.median(a[what] / b[what] for a, b in both)
        print(f"{what:10}  {cells[0]:24}  {cells[1]:24}   {ratio:8.2f}")


if __name__ == "__main__":
    main()
