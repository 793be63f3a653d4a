"""Planted mistakes that need several events in their order: how soon a hunt finds each.

    python bench/bench_interleavings.py [--mistakes a,b] [--examples N] [--seed N] [--replays N]

Schedules are drawn as ``drharness hunt`` draws them, from the ordinary alphabet, and tried one by
one on a system with the mistake until one fails by an invariant that the mistake may break. It is
found if it fails so again, and the right system passes the same events. Then it is made smaller as
a hunt does it, and what came out is played on the right system, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from drharness.checks import Verdict
from drharness.deployment import Pool
from drharness.errors import DrHarnessError
from drharness.kernel import clock
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial, attempt
from drharness.search.hunt import Example, Hunt, examples
from drharness.search.shrink import Shrunk, Tried, by_replay, shrink
from drharness.selftest.interleavings import BY_ID, Interleaving

_SMALLER_S = 600.0
_CONTROLS = 2  # plays of the small schedule on the right system


@dataclass(frozen=True)
class Row:
    """What came of a mistake.

    :ivar examples: tried until it was found, or all; ``others``: of them failed otherwise: by other
        invariants, not again, or on the right system as well
    :ivar hunting: seconds until then; ``shrinking``: seconds from there
    :ivar control: verdicts of the small schedule on the right system
    """

    mistake: str
    found: str
    examples: int
    others: int
    hunting: float
    shrunk: Shrunk | None = None
    before: int = 0
    shrinking: float = 0.0
    control: str = ""

    def __str__(self) -> str:
        small = self.shrunk
        actions = f"{self.before} -> {len(small.schedule.actions)}" if small else "-"
        again = f"{small.failed}/{small.of} in {small.replays}" if small else "-"
        return (
            f"{self.mistake:<12} {self.found:<10} {self.examples:>8} {self.others:>6} "
            f"{self.hunting:>9.0f} {actions:>8} {again:>11} {self.shrinking:>9.0f} {self.control}"
        )


_HEAD = (
    f"{'mistake':<12} {'found by':<10} {'examples':>8} {'others':>6} {'hunting s':>9} "
    f"{'actions':>8} {'again':>11} {'shrink s':>9} right system"
)


def hunted(one: Interleaving, given: argparse.Namespace, base: Path) -> Row:
    """Hunt for one mistake, and make what was found small."""
    hunt = Hunt(given.seed, given.examples, None, one.procedure, topology=one.topology)
    begun = clock.Deadline(0)
    count = others = 0
    with Pool(one.topology, evidence_dir=base) as pool:
        trying = partial(attempt, pool=pool)
        for example in examples(hunt, trying):
            count += 1
            found = _by(example, one)
            _say(example, one)
            if example.trial is not None and found:
                row = Row(one.id, found, count, others, begun.waited)
                row = _smaller(row, one, example.trial, pool, base, given.replays)
                if row.shrunk is not None:
                    return row
            others += example.status is Verdict.FAIL
    return Row(one.id, "not found", count, others, begun.waited)


def _by(example: Example, one: Interleaving) -> str:
    """The invariant that names the mistake, the first that it may break."""
    failed = example.trial.failed if example.trial is not None else ()
    return next((name for name in one.invariants if name in failed), "")


def _smaller(
    row: Row, one: Interleaving, trial: Trial, pool: Pool, base: Path, replays: int
) -> Row:
    """The row with what came of it; without if the mistake is not to blame."""
    begun = clock.Deadline(0)
    right = _control(trial.schedule, base)
    if right != str(Verdict.PASS):
        print(f"  the right system: {right}", file=sys.stderr, flush=True)
        return row
    small = shrink(
        trial.schedule,
        by_replay(partial(attempt, pool=pool)),
        reason=row.found,
        replays=replays,
        seconds=_SMALLER_S,
        skipped=trial.play.skipped,
        on_try=_told,
    )
    if not small.failed:
        print(f"  {small}", file=sys.stderr, flush=True)
        return row
    seconds = begun.waited
    print(f"  {small}\n  {_line(small.schedule)}", file=sys.stderr)
    control = " ".join(_control(small.schedule, base) for _ in range(_CONTROLS))
    before = len(trial.schedule.actions)
    return replace(row, shrunk=small, before=before, shrinking=seconds, control=control)


def _control(schedule: Schedule, base: Path) -> str:
    """The verdict on the same events without the mistake."""
    right = Schedule(schedule.actions, schedule.procedure)
    with Pool(evidence_dir=base, staged=0) as plain:
        try:
            trial = attempt(right, plain)
        except DrHarnessError as error:
            return f"{type(error).__name__}"
    return " ".join([str(trial.status), *trial.failed])


def _say(example: Example, one: Interleaving) -> None:
    failed = " ".join(example.trial.failed) if example.trial is not None else example.error
    text = f"{example.number:>4} {example.status!s:<8} {failed:<8} {_line(example.schedule)}"
    print(f"{one.id} {text}  {example.seconds:.1f} s", file=sys.stderr, flush=True)


def _told(tried: Tried) -> None:
    text = f"{tried.replays:>4} {tried.failed}/{tried.of} {'kept' if tried.kept else '--'}"
    print(f"  {text} {_line(tried.schedule)}", file=sys.stderr, flush=True)


def _line(schedule: Schedule) -> str:
    return "; ".join(map(str, schedule.actions))


def main() -> None:
    """Print a line per mistake as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mistakes", default=",".join(BY_ID), help="names, default all")
    parser.add_argument("--examples", type=int, default=300, help="at most, for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replays", type=int, default=60, help="at most, to make one smaller")
    parser.add_argument("--evidence", type=Path, help="directory, default one that is removed")
    given = parser.parse_args()
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        base = given.evidence or Path(directory)
        for name in given.mistakes.split(","):
            print(hunted(BY_ID[name], given, base), flush=True)


if __name__ == "__main__":
    main()
