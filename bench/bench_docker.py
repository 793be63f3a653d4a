"""The docker engine: deployments up, resets, a whole drill, an image build, and the naive way.

    python bench/bench_docker.py [ROUNDS] [--cold]

In one run on one machine, alternating: a deployment of the whole guide (11 VMs, replication, DNS,
Framework, proxies, firewall) against a plain testcontainers script that starts a primary, a standby
and a DNS server from the same images (``naive_docker.py``), and against the same script tuned for
speed. ``--cold`` also builds the images
without any layer of an earlier build.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_docker import Naive

from drharness.deployment import Pool, deploy
from drharness.engines.docker import daemon, images
from drharness.faults import RegionDown
from drharness.kernel import clock, proc
from drharness.procedures import full_failover

_DRILL_S = 120.0
_WHAT = ("up", "a failover", "down")


def line(name: str, seconds: list[float]) -> str:
    """Median and worst."""
    worst = max(seconds)
    return f"{name:<44} median {statistics.median(seconds):6.2f}  worst {worst:6.2f} s"


def guide(base: Path) -> tuple[float, float, float]:
    """Seconds up, of a failover and down, of the whole guide."""
    begun = clock.Deadline(0)
    with deploy(engine="docker", evidence_dir=base) as d:
        up = begun.waited
        with d.traffic():
            d.inject(RegionDown("region1"))
            begun = clock.Deadline(0)
            assert d.run(full_failover(to="region2")).ok
            failover = begun.waited
        begun = clock.Deadline(0)
    return up, failover, begun.waited


def naive(made: images.Images, *, tuned: bool) -> tuple[float, float, float]:
    """The same of the script."""
    begun = clock.Deadline(0)
    one = Naive(made.dbms, made.vm, tuned=tuned)
    try:
        one.up()
        up, begun = begun.waited, clock.Deadline(0)
        one.fail_over()
        failover = begun.waited
    finally:
        begun = clock.Deadline(0)
        one.down()
    return up, failover, begun.waited


def resets(base: Path, rounds: int) -> list[float]:
    """Seconds between drills: until the pool's next deployment is there."""
    waits = []
    with Pool(engine="docker", evidence_dir=base) as pool:
        for _ in range(rounds):
            begun = clock.Deadline(0)
            with pool.lease() as d:
                waits.append(begun.waited)
                with d.traffic():
                    d.inject(RegionDown("region1"))
                    assert d.run(full_failover(to="region2")).ok
                d.judge()
    return waits[1:]


def drill() -> float:
    """Seconds of the whole command."""
    begun = clock.Deadline(0)
    argv = [sys.executable, "-m", "drharness", "drill", "full-failover", "--engine", "docker"]
    proc.run(argv, timeout=_DRILL_S)
    return begun.waited


def main() -> None:
    """Print all figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 5
    client = daemon.reach()
    made = images.ensure(client)
    if "--cold" in sys.argv:
        for image in (made.dbms, f"{made.dbms}-plain", made.vm, made.dns):
            client.images.remove(image, force=True)
        client.images.prune(filters={"dangling": True})
        begun = clock.Deadline(0)
        images.build(client, made, lambda _line: None)
        print(f"{'image build, cold':<44} {begun.waited:.1f} s", flush=True)
    client.close()
    ours, theirs, tuned = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        for _ in range(rounds):
            ours.append(guide(base))
            theirs.append(naive(made, tuned=False))
            tuned.append(naive(made, tuned=True))
        for name, found in (
            ("the whole guide", ours),
            ("three containers by a script", theirs),
            ("three containers, the script tuned", tuned),
        ):
            for what, seconds in zip(_WHAT, zip(*found, strict=True), strict=True):
                print(line(f"{name}: {what}", list(seconds)), flush=True)
        print(line("a reset between drills", resets(base, rounds + 1)), flush=True)
    print(line("drill full-failover, the whole process", [drill() for _ in range(rounds)]))


if __name__ == "__main__":
    main()
