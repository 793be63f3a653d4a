"""``drharness replay``: a schedule tried again, and what became of the failure it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drharness.cli import records
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.place import Place
from drharness.cli.screen import Screen, mark_of
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import FILE, Found, Trial, attempt, found_in
from drharness.search.replay import Conclusion, concluded
from drharness.topology import Topology

_CODES = {
    Conclusion.FAILS: 1,
    Conclusion.FIXED: 0,
    Conclusion.NOT_APPLICABLE: 3,
    Conclusion.NOT_JUDGED: 3,
}


@dataclass(frozen=True)
class Read:
    """A schedule's file, read; ``found``: what it says came of it."""

    file: Path
    schedule: Schedule
    found: Found


def read(file: Path, topology: Path | None = None) -> Read:
    """The schedule of a file.

    :param file: or a run's directory with one in it
    :param topology: a TOML file with what is deployed instead of the schedule's own topology
    :raises UsageError: it is no schedule; names the file, the place in it, and what was expected
    """
    file = file / FILE if file.is_dir() else file
    other = None if topology is None else Topology.load(topology)
    schedule = Schedule.load(file, topology=other)
    return Read(file, schedule, found_in(file.read_text(encoding="utf-8"), str(file)))


def carry_out(read: Read, times: int, place: Place, screen: Screen, errors: Screen) -> int:
    """Try a schedule so many times; the exit code."""
    schedule, found = read.schedule, read.found
    screen.say(f"replay {read.file}")
    screen.say(f"  {repr(schedule.procedure.procedure).removeprefix('procedures.')}")
    for number, action in enumerate(schedule.actions, start=1):
        screen.say(f"  {number}. {action}")
    screen.say()
    trials: list[Trial] = []
    INTERRUPTS.unshield()
    try:
        with place.pool(schedule.topology, trials=times) as pool:
            for number in range(1, times + 1):
                screen.begin(f"{number:>4}")
                trials.append(attempt(schedule, pool))
                _show(trials[-1], screen)
    except Interrupted:
        screen.end("--", "interrupted")
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        return INTERRUPTS.EXIT_CODE
    said = concluded(trials, found)
    _explain(trials, screen)
    screen.say(str(said), "bold red" if said.conclusion is Conclusion.FAILS else "bold")
    return _CODES[said.conclusion]


def _show(trial: Trial, screen: Screen) -> None:
    screen.end(mark_of(trial.status), " ".join([str(trial.status), *trial.failed]))


def _explain(trials: list[Trial], screen: Screen) -> None:
    """The last trial that did not pass, in full."""
    bad = [t for t in trials if str(t.status) != "PASS"]
    screen.say()
    for trial in bad[-1:]:
        screen.verdict(trial.judgement.findings_text)
        screen.say()
        for act in trial.play.acts:
            screen.say(f"  {act}")
        if not trial.play.settled.ok:
            screen.say(f"  at rest: {trial.play.settled.text}")
        screen.say()
        for line in records.where(trial.run):
            screen.say(line)
