"""``drharness hunt``: examples as they are tried, and the first failure with all that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from drharness import procedures
from drharness.checks.verdict import Verdict
from drharness.cli import duration, failure
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.place import Place
from drharness.cli.screen import Screen, mark_of
from drharness.errors import UsageError
from drharness.history import store
from drharness.kernel import clock, rng, validate
from drharness.schedule.trial import attempt
from drharness.search.goals import GOALS, Coverage
from drharness.search.hunt import MOST_EXAMPLES, Example, Hunt, examples
from drharness.topology import Topology

_EXAMPLES = 100
_UNITS = ("", "s", "m", "h")


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
    seconds = duration.seconds_in(text, units=_UNITS)
    if seconds is None:
        raise UsageError(f"--time: expected a duration like 90s, 5m or 1h, got {text!r}.")
    return seconds


@dataclass(frozen=True)
class Way:
    """How a hunt goes on.

    :ivar failure: what is made of the first failure
    :ivar goals: names of the goals that must be reached
    :ivar keep_going: also after one failed
    """

    failure: failure.Wanted
    goals: Sequence[str] = ()
    keep_going: bool = False

    def check(self) -> None:
        """:raises UsageError: names the option, its value and what was expected"""
        for goal in self.goals:
            validate.choice("--goal", goal, GOALS)
        validate.number("--shrink", self.failure.replays, low=0, high=10_000)
        self.failure.check()


def carry_out(hunt: Hunt, place: Place, screen: Screen, errors: Screen, way: Way) -> int:
    """Try examples, a line for each, until one fails; the exit code."""
    for text in _title(hunt, place.jobs):
        screen.say(text)
    screen.say()
    tried: list[Example] = []
    reached, begun = Coverage(way.goals), clock.Deadline(0)
    INTERRUPTS.unshield()
    try:
        with place.pool(hunt.topology, trials=hunt.examples) as pool:
            trying = partial(attempt, pool=pool)
            for example in examples(hunt, trying, jobs=place.jobs):
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
    if reached.missing:
        screen.say(f"never reached, and should be: {', '.join(reached.missing)}", "bold")
    return _code(tried) or (0 if reached.ok else 3)


def _title(hunt: Hunt, jobs: int) -> list[str]:
    topology = hunt.topology
    bound = f"{hunt.examples} examples" if hunt.seconds is None else f"{hunt.seconds:g} s"
    return [
        f"hunt {hunt.procedure}{' with slips' if hunt.slips else ''}, seed {hunt.seed}, {bound}"
        f"{f', {jobs} at once' if jobs > 1 else ''}",
        f"  topology  {topology.replication} replication, {topology.timing} timing, "
        f"TTL {topology.ttl} s, return fence {topology.return_fence}",
    ]


def _show(example: Example, screen: Screen, reached: Coverage) -> None:
    mark = mark_of(example.status)
    failed = " ".join(example.trial.failed) if example.trial else ""
    verdict = failed or ("" if mark == "ok" else str(example.status))
    text = failure.line(example.schedule)
    screen.mark(mark, f"{example.number:>4}  {verdict:<8}", text, example.seconds)
    for note in _notes(example):
        screen.say(f"       {note}")
    if example.trial is None:
        return
    new = reached.add(store.load(example.trial.run / store.HISTORY))
    if new:
        screen.say(f"       for the first time: {'; '.join(GOALS[g].text for g in sorted(new))}")


def _notes(example: Example) -> list[str]:
    """Why it was tried again, has no result, is not at rest, or was not judged; a line each."""
    notes = []
    if example.unjudged is not None:
        why = failure.unjudged(example.unjudged.judgement)
        notes = [f"tried again, as it could not be judged before: {text}" for text in why]
    if example.trial is None:
        return [*notes, example.error.splitlines()[0]]
    if not example.trial.play.settled.ok:
        notes.append(example.trial.play.settled.text.splitlines()[0])
    return notes + failure.unjudged(example.trial.judgement)


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
