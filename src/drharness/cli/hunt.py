"""``drharness hunt``: examples as they are tried, and the first failure with all that is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drharness import procedures
from drharness.checks.verdict import Verdict
from drharness.cli import failure
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.screen import Screen
from drharness.deployment.pool import Pool
from drharness.errors import UsageError
from drharness.history import store
from drharness.kernel import clock, rng, validate
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial, attempt
from drharness.search.goals import GOALS, Coverage
from drharness.search.hunt import MOST_EXAMPLES, Example, Hunt, examples
from drharness.topology import Topology

_EXAMPLES = 100
_MOST_JOBS = 8
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Place:
    """Where deployments run, and where their evidence goes: None for the default."""

    engine: str
    evidence: Path | None

    def pool(self, topology: Topology, *, trials: int, jobs: int = 1) -> Pool:
        """Where so many trials get their deployments from: the next comes up while one is used."""
        staged = jobs if trials > 1 else 0
        return Pool(topology, engine=self.engine, evidence_dir=self.evidence, staged=staged)


def planned(
    procedure: str,
    topology: Topology,
    *,
    examples: int | None,
    seed: int | None,
    time: str,
    slips: bool,
) -> Hunt:
    """The hunt that the options describe.

    :raises UsageError: names the option, its value and what was expected
    """
    name = validate.choice("--procedure", procedure.replace("_", "-"), procedures.BY_NAME)
    seconds = _seconds(time) if time else None
    if examples is None:
        examples = _EXAMPLES if seconds is None else MOST_EXAMPLES
    validate.number("--examples", examples, low=1, high=MOST_EXAMPLES)
    chosen = rng.fresh_seed() if seed is None else seed
    return Hunt(chosen, examples, seconds, name, slips, topology)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise UsageError(f"--time: expected a duration like 90s, 5m or 1h, got {text!r}.")
    return float(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Way:
    """How a hunt goes on.

    :ivar failure: what is made of the first failure
    :ivar goals: names of the goals that must be reached
    :ivar jobs: how many examples are tried at once
    :ivar keep_going: also after one failed
    """

    failure: failure.Wanted
    goals: Sequence[str] = ()
    jobs: int = 1
    keep_going: bool = False

    def check(self) -> None:
        """:raises UsageError: names the option, its value and what was expected"""
        for goal in self.goals:
            validate.choice("--goal", goal, GOALS)
        validate.number("--jobs", self.jobs, low=1, high=_MOST_JOBS)
        validate.number("--shrink", self.failure.replays, low=0, high=10_000)
        self.failure.check()


def carry_out(hunt: Hunt, place: Place, screen: Screen, errors: Screen, way: Way) -> int:
    """Try examples, a line for each, until one fails; the exit code."""
    for text in _title(hunt, way):
        screen.say(text)
    screen.say()
    tried: list[Example] = []
    reached, begun = Coverage(), clock.Deadline(0)
    INTERRUPTS.unshield()
    try:
        with place.pool(hunt.topology, trials=hunt.examples, jobs=way.jobs) as pool:
            trying = partial(_attempt, pool)
            for example in examples(hunt, trying, jobs=way.jobs):
                tried.append(example)
                _show(example, screen, reached)
                if example.status is Verdict.FAIL and _is_first(tried) and example.trial:
                    failure.follow(example.trial, way.failure, trying, screen)
                    if not way.keep_going:
                        break
    except Interrupted:
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        _sum_up(hunt, tried, begun.waited, reached, screen)
        return INTERRUPTS.EXIT_CODE
    _sum_up(hunt, tried, begun.waited, reached, screen)
    missing = [goal for goal in way.goals if not reached.counts[goal]]
    if missing:
        screen.say(f"never reached, and should be: {', '.join(missing)}", "bold")
    return _code(tried) or (3 if missing else 0)


def _attempt(pool: Pool, schedule: Schedule) -> Trial:
    return attempt(schedule, pool)


def _title(hunt: Hunt, way: Way) -> list[str]:
    topology = hunt.topology
    bound = f"{hunt.examples} examples" if hunt.seconds is None else f"{hunt.seconds:g} s"
    return [
        f"hunt {hunt.procedure}{' with slips' if hunt.slips else ''}, seed {hunt.seed}, {bound}"
        f"{f', {way.jobs} at once' if way.jobs > 1 else ''}",
        f"  topology  {topology.replication} replication, {topology.timing} timing, "
        f"TTL {topology.ttl} s, return fence {topology.return_fence}",
    ]


def _show(example: Example, screen: Screen, reached: Coverage) -> None:
    mark = {Verdict.PASS: "ok", Verdict.FAIL: "FAIL"}.get(example.status, "--")
    failed = " ".join(example.trial.failed) if example.trial else ""
    verdict = failed or ("" if mark == "ok" else str(example.status))
    text = failure.line(example.schedule)
    screen.mark(mark, f"{example.number:>4}  {verdict:<8}", text, example.seconds)
    if example.trial is None:
        screen.say(f"       {example.error.splitlines()[0]}")
        return
    if not example.trial.play.settled.ok:
        screen.say(f"       {example.trial.play.settled.text.splitlines()[0]}")
    new = reached.add(store.load(example.trial.run / "history.jsonl"))
    if new:
        screen.say(f"       for the first time: {'; '.join(GOALS[g].text for g in sorted(new))}")


def _is_first(tried: list[Example]) -> bool:
    return sum(e.status is Verdict.FAIL for e in tried) == 1


def _sum_up(
    hunt: Hunt, tried: list[Example], seconds: float, reached: Coverage, screen: Screen
) -> None:
    failed = [e for e in tried if e.status is Verdict.FAIL]
    unjudged = [e for e in tried if e.status in (Verdict.UNKNOWN, Verdict.INVALID)]
    proven = sum(a.type == "ok" for e in tried if e.trial for a in e.trial.play.acts)
    text = f"{len(tried)} examples, seed {hunt.seed}: {len(failed)} failed"
    if unjudged:
        text += f", {len(unjudged)} could not be judged"
    screen.say(text, "bold red" if failed else "")
    if tried:
        screen.say(f"{60 * len(tried) / seconds:.1f} examples a minute, {proven} actions done")
        never = [name for name in GOALS if not reached.counts[name]]
        screen.say(f"goals     {len(GOALS) - len(never)} of {len(GOALS)} reached")
        if never:
            screen.say(f"          not {', '.join(never)}")


def _code(tried: list[Example]) -> int:
    seen = {example.status for example in tried}
    if Verdict.FAIL in seen:
        return 1
    return 3 if seen != {Verdict.PASS} else 0
