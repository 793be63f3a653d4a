"""Deployments from a pool: how long a lease waits, what it costs, and whether anything grows.

    python bench/bench_pool.py [RESETS] [DRILLS]

Two kinds of examples: empty ones (the next deployment has had no time to come up) and failover
drills. CPU is that of the controller and of all processes below it, from before a deployment's
start to its end. PSS is the sum over one deployment's processes. Growth is what the controller and
its launcher have more after all resets than after the first tenth.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from drharness.deployment import Deployment, Pool
from drharness.engines.local import launching, remains
from drharness.faults import RegionDown
from drharness.kernel import clock
from drharness.procedures import full_failover

_TICK = os.sysconf("SC_CLK_TCK")


def drill(deployment: Deployment) -> None:
    """A full failover under traffic, judged."""
    with deployment.traffic():
        deployment.inject(RegionDown("region1"))
        deployment.run(full_failover(to="region2"))
    judgement = deployment.judge()
    if not judgement.ok:
        raise SystemExit(f"{judgement}")


def nothing(deployment: Deployment) -> None:
    """An example that does nothing."""


def leases(
    base: Path, count: int, example: Callable[[Deployment], None]
) -> tuple[list[float], float]:
    """Seconds that each lease but the first waited, and seconds per example in all."""
    waits = []
    with Pool(evidence_dir=base) as pool:
        for number in range(count + 1):
            if number == 1:
                begun = clock.Deadline(0)
            asked = clock.Deadline(0)
            with pool.lease(staged=int(number < count)) as deployment:
                waits.append(asked.waited)
                example(deployment)
        total = begun.waited / count
    return waits[1:], total


def used(pids: Iterable[int]) -> float:
    """CPU seconds of processes and of their children that have ended, in nanoseconds' precision."""
    seconds = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            own = [p.read_text().split()[0] for p in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        except OSError:  # it has ended; its parent has its time
            continue
        seconds += sum(map(int, own)) / 1e9 + (int(fields[13]) + int(fields[14])) / _TICK
    return seconds


def everyone() -> set[int]:
    """This process and all below it."""
    return {os.getpid(), *remains.below(os.getpid(), remains.processes())}


def cost(base: Path) -> tuple[float, float, float]:
    """Of one deployment: seconds up, CPU seconds until then, PSS in MB."""
    before, begun = used(everyone()), clock.Deadline(0)
    with Pool(evidence_dir=base, staged=0) as pool, pool.lease():
        up = begun.waited
        cpu = used(everyone()) - before
        launcher = launching.running()
        assert launcher is not None
        own = remains.below(launcher.process.pid, remains.processes())
        return up, cpu, sum(pss(pid) for pid in own) / 1024


def pss(pid: int) -> int:
    """kB of memory in proportion to the processes that share it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def held() -> dict[str, int]:
    """What the controller and its launcher hold now."""
    launcher = launching.running()
    assert launcher is not None
    pid = launcher.process.pid
    return {
        "kB of the controller (PSS)": pss(os.getpid()),
        "kB of the launcher (PSS)": pss(pid),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "descriptors of the launcher": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "processes": len(everyone()),
    }


def growth(base: Path, resets: int) -> dict[str, tuple[int, int]]:
    """Held after a tenth of the resets, and after all."""
    seen = []
    for count in (max(1, resets // 10), resets - max(1, resets // 10)):
        with Pool(evidence_dir=base) as pool:
            for number in range(count):
                with pool.lease(staged=int(number + 1 < count)):
                    pass
                if pool.remains.left or pool.remains.grown:
                    print(f"left after reset {number}: {pool.remains}")
        seen.append(held())
    first, last = seen
    return {name: (first[name], last[name]) for name in first}


def line(name: str, seconds: list[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return f"{name}: median {statistics.median(ordered):.3f}  p95 {high:.3f} s"


def main() -> None:
    """Print all figures."""
    resets = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    drills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        cost(base)  # starts the launcher
        figures = [cost(base) for _ in range(max(3, min(10, drills)))]
        for name, column in (("up", 0), ("CPU of it", 1)):
            print(line(name, [f[column] for f in figures]))
        print(f"PSS of a deployment: {statistics.median(f[2] for f in figures):.0f} MB")
        for name, example in (("drills", drill), ("empty examples", nothing)):
            waits, total = leases(base, drills, example)
            print(f"{line(f'wait between {name}', waits)}  ({drills}; {total:.2f} s each in all)")
        print(f"growth over {resets} resets:")
        for what, (first, last) in growth(base, resets).items():
            print(f"  {what}: {first} -> {last}")


if __name__ == "__main__":
    main()
