"""A controller killed with SIGKILL at random moments: what is left, and after how long nothing is.

    python bench/bench_kill.py [KILLS] [SEED] [docker]

Each kill hits ``drharness drill full-failover`` at an instant drawn from the first 4.5 seconds of
its life, 18 on the docker engine. Left: processes, mounts, shared memory and interfaces that were
not there before; in the daemon containers, networks and volumes with our label, but for
networks that the daemon itself does not remove.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from drharness.engines.docker import daemon
from drharness.kernel import clock, proc, rng
from drharness.kernel.waiting import wait_until
from fixtures import leaks

LIMIT_S = {"local": 1.0, "docker": 10.0}
LONGEST_S = {"local": 4.5, "docker": 18.0}


def left(engine: str, before: dict[str, set[object]], controller: int) -> dict[str, object]:
    """What is there and was not before, by kind; of a daemon what is labelled."""
    found: dict[str, object] = dict(leaks.new_since(before, controller))
    if engine == "docker":
        client = daemon.reach()
        found |= daemon.left(client)
        client.close()
    return found


def one_kill(moment: float, evidence: str, engine: str) -> float:
    """Seconds until nothing was left.

    :raises WaitTimeout: something was left after a second (docker: ten)
    """
    before = leaks.everything()
    argv = [sys.executable, "-m", "drharness", "drill", "full-failover", "--engine", engine]
    with open(os.devnull, "w") as nowhere:
        argv += ["--keep-evidence", evidence]
        controller = proc.popen(argv, env=os.environ, stderr=nowhere.fileno())
    started = clock.Deadline(moment)
    wait_until(lambda: started.passed, "the moment", timeout=moment + 1, interval=0.002)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    killed = clock.Deadline(0)
    wait_until(
        lambda: not left(engine, before, controller.pid),
        f"nothing left after a kill at {moment:.2f} s",
        timeout=LIMIT_S[engine],
        describe=lambda: str(left(engine, before, controller.pid)),
    )
    return killed.waited


def main() -> None:
    """Kill that often; print the slowest clean-up."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else rng.fresh_seed()
    engine = "docker" if "docker" in sys.argv else "local"
    draws = rng.stream(seed, "kill")
    with tempfile.TemporaryDirectory() as evidence:
        moments = [draws.uniform(0.0, LONGEST_S[engine]) for _ in range(kills)]
        times = [one_kill(moment, evidence, engine) for moment in moments]
    longest = f"nothing but evidence left after {max(times):.3f} s at most"
    print(f"{engine}: {kills} kills, seed {seed}: {longest}")


if __name__ == "__main__":
    main()
