"""How many examples a hunt tries in a minute, each with a fault and a failover, and how long it is.

    python bench/bench_hunt.py [EXAMPLES] [JOBS ...]     # default: 20 examples, one job and two

Schedules are drawn as ``drharness hunt`` draws them, of those with a fault whose operator finishes
a full failover. Every example is judged, and its history looked through for goals, as the command
does. The rate is that of all examples; beside it is said in how many a fault was really proven and
a failover really carried out to its end. Times are seconds per example, medians. CPU is that of the
controller and of all processes below it, of examples tried alone, from their deployment's start to
the verdict: two processors try no more than 120 s / CPU in a minute, however many at once.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from bench_pool import everyone, used
from hypothesis.strategies import SearchStrategy

from drharness.deployment import Pool
from drharness.history import store
from drharness.kernel import clock, waiting
from drharness.schedule.actions import Finish, Inject
from drharness.schedule.interpreter import play
from drharness.schedule.outcome import Acted
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial, attempt
from drharness.search.goals import Coverage
from drharness.search.hunt import Example, Hunt, examples, generated

SEED = 1
GOALS = {1: 15.0, 2: 25.0}  # examples a minute, by jobs
PHASES = ("lease and traffic", "actions", "settling", "judging")


class Drills(Hunt):
    """A hunt whose every schedule breaks something and finishes a failover."""

    @property
    def strategy(self) -> SearchStrategy[Schedule]:
        """The hunt's own, without the others."""

        def drill(schedule: Schedule) -> bool:
            return {Inject, Finish} <= {type(action) for action in schedule.actions}

        return super().strategy.filter(drill)


def proven(act: Acted) -> bool:
    """Whether it is a fault that was seen to work."""
    return isinstance(act.action, Inject) and act.type == "ok"


def phases(trial: Trial) -> list[float]:
    """Seconds of each."""
    acts, settled = trial.play.acts, trial.play.settled
    times = [
        (acts[-1].ended - acts[0].begun) / 1e9,
        (settled.ended - settled.begun) / 1e9,
    ]
    events = store.load(trial.run / "history.jsonl").events
    judged = (events[-1].t - settled.ended) / 1e9
    return [trial.seconds - sum(times) - judged, *times, judged]


def hunt(base: Path, count: int, jobs: int) -> bool:
    """Hunt, and print what it took; whether the goal is met."""
    reached, tried, measured = Coverage(), list[Example](), list[list[float]]()
    with Pool(evidence_dir=base, staged=jobs) as pool:
        begun = clock.Deadline(0)
        for example in examples(Drills(SEED, count), partial(attempt, pool=pool), jobs=jobs):
            tried.append(example)
            if example.trial is not None:
                reached.add(store.load(example.trial.run / "history.jsonl"))
                measured.append(phases(example.trial))  # now: old runs are removed
        rate = 60 * count / begun.waited
    trials = [example.trial for example in tried if example.trial is not None]
    broken = sum(any(proven(act) for act in t.play.acts) for t in trials)
    moved = sum(any(run.status == "ok" for run in t.play.runs) for t in trials)
    said = ", ".join(f"{n} {status}" for status, n in Counter(e.status for e in tried).items())
    print(f"{jobs} at once: {rate:.1f} examples a minute; {count} examples: {said}")
    for trial in trials:
        if not trial.ok:
            print(f"  {trial!r}")
    print(f"  with a proven fault {broken}, with a whole failover {moved}")
    columns = zip(*measured, strict=True)
    for name, column in zip(PHASES, columns, strict=True):
        print(f"  {name:18} {statistics.median(column):6.2f}  (max {max(column):.2f})")
    goal = GOALS.get(jobs, 0.0)
    met = rate >= goal
    print(f"  goal: at least {goal:g} a minute: {'met' if met else 'NOT met'}")
    return met


def alone(base: Path, count: int) -> float:
    """CPU seconds of an example that nothing else runs beside."""
    seconds = []
    with Pool(evidence_dir=base, staged=0) as pool:
        for schedule in generated(Drills(SEED, count)):
            waiting.wait_until(lambda: pool.settled, "the last deployment's end", timeout=60)
            before = used(everyone())
            with pool.lease() as deployment:
                play(schedule, deployment)
                deployment.judge()
                seconds.append(used(everyone()) - before)
    return statistics.median(seconds)


def main() -> None:
    """One hunt for each number of jobs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    numbers = [int(text) for text in sys.argv[2:]] or [1, 2]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        with Pool(evidence_dir=directory) as pool, pool.lease(staged=0):
            pass  # starts the launcher
        print(f"CPU of an example: {alone(Path(directory), min(count, 5)):.2f} s")
        met = [hunt(Path(directory), count, jobs) for jobs in numbers]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
