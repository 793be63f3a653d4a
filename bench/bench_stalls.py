"""How long a machine keeps a process waiting that has something to do, calm and busy.

    python bench/bench_stalls.py [SECONDS] [SPINNERS ...]

Per number of spinners (processes that compute for ever at the same priority): sleepers, as many as
a deployment has processes that keep time, each wake up every 10 ms and note how late. A timeout
below the longest of these stalls gives false alarms; docs/calm.md says which floors follow.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from spinners import spinning

from drharness.kernel import proc

_SLEEPERS = 40
_SLEEP = """
import asyncio, json, sys
async def main(seconds, gap):
    loop = asyncio.get_running_loop()
    due, end, late = loop.time(), loop.time() + seconds, []
    while due < end:
        due += gap
        await asyncio.sleep(max(0.0, due - loop.time()))
        now = loop.time()
        late.append(now - due)
        due = max(due, now)
    print(json.dumps(late))
asyncio.run(main(float(sys.argv[1]), 0.01))
"""


def measure(seconds: float, spinners: int) -> tuple[list[float], list[float]]:
    """Every lateness, in seconds; and the longest of each sleeper."""
    with spinning(spinners):
        argv = [sys.executable, "-c", _SLEEP, str(seconds)]
        script = " & ".join(f'"$@" >{{dir}}/{n}' for n in range(_SLEEPERS))
        with tempfile.TemporaryDirectory() as folder:
            command = script.replace("{dir}", folder) + " & wait"
            proc.run(["sh", "-c", command, "sh", *argv], timeout=seconds + 120.0)
            found = [json.loads(Path(folder, str(n)).read_text()) for n in range(_SLEEPERS)]
    return sorted(x for late in found for x in late), [max(late) for late in found]


def main() -> None:
    """Print a line per number of spinners, in milliseconds."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    counts = [int(n) for n in sys.argv[2:]] or [0, 2, 4, 8]
    print(f"{_SLEEPERS} sleepers, {seconds:g} s each, {os.cpu_count()} cores; late by, in ms")
    print("spinners   median      p99    p99.9      max   median of each sleeper's max   load")
    for spinners in counts:
        late, worst = measure(seconds, spinners)
        figures = [late[int(len(late) * q)] for q in (0.5, 0.99, 0.999)] + [late[-1]]
        text = "  ".join(f"{1000 * x:7.1f}" for x in figures)
        middle = 1000 * statistics.median(worst)
        print(f"{spinners:>8}  {text}   {middle:>28.1f}   {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
