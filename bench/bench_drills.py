"""Whole drills in a row, alone and with both cores kept busy: all must pass.

    python bench/bench_drills.py [DRILLS] [SPINNERS]

Each drill is the user's command, ``drharness drill full-failover``, timed as a whole process. A
spinner is a process that computes for ever at the same priority.
"""

from __future__ import annotations

import collections
import statistics
import sys
import tempfile

from spinners import spinning

from drharness.kernel import clock, proc


def drill(evidence: str) -> tuple[int, float, str]:
    """Exit code, seconds, output."""
    argv = [sys.executable, "-m", "drharness", "drill", "full-failover"]
    started = clock.Deadline(0)
    done = proc.run([*argv, "--keep-evidence", evidence], timeout=120.0, check=False)
    return done.returncode, started.waited, done.output


def main() -> None:
    """Run them, and print exit codes and times; a drill that does not pass is shown."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    spinners = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    codes: collections.Counter[int] = collections.Counter()
    times = []
    with spinning(spinners), tempfile.TemporaryDirectory() as evidence:
        for _ in range(count):
            code, seconds, output = drill(evidence)
            codes[code] += 1
            times.append(seconds)
            if code:
                print(output)
    print(f"{count} drills, {spinners} spinners: exit codes {dict(codes)}")
    low, middle, high = min(times), statistics.median(times), max(times)
    print(f"whole process: min {low:.2f}  median {middle:.2f}  max {high:.2f} s")
    sys.exit(0 if set(codes) == {0} else 1)


if __name__ == "__main__":
    main()
