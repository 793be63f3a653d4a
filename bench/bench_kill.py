"""A controller killed with SIGKILL at random moments: what is left, and after how long nothing is.

    python bench/bench_kill.py [KILLS] [SEED]

Each kill hits ``drharness drill full-failover`` at an instant drawn from the first 4.5 seconds of
its life. Left: processes, mounts, shared memory and interfaces that were not there before.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from drharness.kernel import clock, proc, rng
from drharness.kernel.waiting import wait_until
from fixtures import leaks

LIMIT_S = 1.0
LONGEST_S = 4.5


def one_kill(moment: float, evidence: str) -> float:
    """Seconds until nothing was left.

    :raises WaitTimeout: something was left after a second
    """
    before = leaks.everything()
    argv = [sys.executable, "-m", "drharness", "drill", "full-failover"]
    with open(os.devnull, "w") as nowhere:
        argv += ["--keep-evidence", evidence]
        controller = proc.popen(argv, env=os.environ, stderr=nowhere.fileno())
    started = clock.Deadline(moment)
    wait_until(lambda: started.passed, "the moment", timeout=moment + 1, interval=0.002)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    killed = clock.Deadline(0)
    wait_until(
        lambda: not leaks.new_since(before, controller.pid),
        f"nothing left after a kill at {moment:.2f} s",
        timeout=LIMIT_S,
        describe=lambda: str(leaks.new_since(before, controller.pid)),
    )
    return killed.waited


def main() -> None:
    """Kill that often; print the slowest clean-up."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else rng.fresh_seed()
    draws = rng.stream(seed, "kill")
    with tempfile.TemporaryDirectory() as evidence:
        times = [one_kill(draws.uniform(0.0, LONGEST_S), evidence) for _ in range(kills)]
    print(f"{kills} kills, seed {seed}: nothing but evidence left after {max(times):.3f} s at most")


if __name__ == "__main__":
    main()
