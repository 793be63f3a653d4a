"""How long a deployment takes to come up and to be gone: medians over several rounds, one machine.

    python bench/bench_deployment.py [ROUNDS]

Up: from the call of ``deploy`` until every region can write (template warm, launcher running but
for the first round, which is shown apart). Down: from leaving the context until nothing is left.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from drharness.deployment import deploy
from drharness.kernel import clock


def one_round(evidence: Path) -> tuple[float, float]:
    """Seconds up and seconds down."""
    started = clock.Deadline(0)
    with deploy(evidence_dir=evidence):
        up = started.waited
        ending = clock.Deadline(0)
    return up, ending.waited


def main() -> None:
    """Print minimum, median and maximum of each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as directory:
        first = one_round(Path(directory))
        figures = [one_round(Path(directory)) for _ in range(rounds)]
    print(f"first round (starts the launcher): up {first[0]:.3f} s")
    for name, column in (("up", 0), ("down", 1)):
        values = sorted(f[column] for f in figures)
        low, middle, high = values[0], statistics.median(values), values[-1]
        print(f"{name}: min {low:.3f}  median {middle:.3f}  max {high:.3f} s  ({rounds} rounds)")


if __name__ == "__main__":
    main()
