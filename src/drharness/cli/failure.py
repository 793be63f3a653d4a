"""What a hunt makes of its first failure: its story, a smaller schedule, and a test."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drharness.checks.verdict import Judgement, Verdict
from drharness.cli import records
from drharness.cli.screen import Screen
from drharness.deployment import evidence
from drharness.history import store
from drharness.schedule.regression import check_path, write_test
from drharness.schedule.schedule import Schedule
from drharness.schedule.story import main_finding, story
from drharness.schedule.trial import FILE, Trial
from drharness.search.shrink import Shrunk, Tried, by_replay, shrink

_SMALLER_S = 600.0  # what fails in liveness takes a minute to replay
SMALLER = "smaller.json"  # beside the history of the failure that it was made from


@dataclass(frozen=True)
class Wanted:
    """What is to be made of it.

    :ivar replays: most replays to find a smaller schedule with; 0: none is looked for
    :ivar test: file for a pytest test, not there yet; None: none is written
    """

    replays: int
    test: Path | None

    def check(self) -> None:
        """Nothing is started for a test that could not be written.

        :raises UsageError: names the file and what is wrong with it
        """
        if self.test is not None:
            check_path(self.test)


def follow(trial: Trial, wanted: Wanted, attempt: Callable[..., Trial], screen: Screen) -> None:
    """Tell the failure, keep its evidence, and make of it what is wanted.

    :param attempt: tries a schedule; takes ``enough`` as :func:`drharness.schedule.trial.attempt`
    """
    evidence.keep(trial.run)
    history = store.load(trial.run / store.HISTORY)
    screen.say()
    screen.verdict(str(story(history, trial.judgement) or trial.judgement.findings_text))
    screen.say()
    for act in trial.play.acts:
        screen.say(f"  {act}")
    screen.say()
    for line in records.where(trial.run):
        screen.say(line)
    _say_replay(trial.run / FILE, screen)
    finding = main_finding(trial.judgement)
    if finding is None:
        return
    best = trial.schedule
    if wanted.replays:
        found = _smaller(trial, finding.invariant, wanted.replays, attempt, screen)
        best = found.schedule if found.confirmed else best
    if wanted.test is not None:
        path = write_test(wanted.test, best, invariant=finding.invariant, seen=finding.seen)
        screen.say(f"test      pytest {shlex.quote(str(path))}")
    screen.say()


def unjudged(judgement: Judgement) -> list[str]:
    """Why it could not be judged, a line for each finding; none if it passed or failed."""
    if judgement.status not in (Verdict.UNKNOWN, Verdict.INVALID):
        return []
    return [
        f"{found.invariant}: {found.seen.splitlines()[0]}; expected: {found.expected}"
        f"{f' ({found.advice})' if found.advice else ''}"
        for found in judgement.findings
    ]


def _say_replay(path: Path, screen: Screen) -> None:
    screen.say(f"replay    drharness replay {records.typed(path)}")


def _smaller(
    trial: Trial,
    reason: str,
    replays: int,
    attempt: Callable[..., Trial],
    screen: Screen,
) -> Shrunk:
    """Look for a smaller schedule that fails for the same reason, and write it down."""
    screen.say()
    screen.say(f"smaller   schedules that still fail {reason}, {replays} replays at most:")

    def told(tried: Tried) -> None:
        mark = "ok" if tried.kept else "--"
        screen.mark(mark, f"{tried.replays:>4}  {tried.failed}/{tried.of}", line(tried.schedule))

    found = shrink(
        trial.schedule,
        by_replay(partial(attempt, enough=reason)),
        reason=reason,
        confirms=by_replay(attempt),
        replays=replays,
        seconds=_SMALLER_S,
        skipped=trial.play.skipped,
        on_try=told,
    )
    screen.say(f"  {found}")
    screen.say(f"  {line(found.schedule)}", "bold")
    if found.confirmed and found.schedule != trial.schedule:
        path = trial.run / SMALLER
        path.write_text(found.schedule.to_json(), encoding="utf-8")
        _say_replay(path, screen)
    return found


def line(schedule: Schedule) -> str:
    """A schedule in a line: slips, then actions."""
    return "; ".join(str(it) for it in (*schedule.procedure.slips, *schedule.actions))
