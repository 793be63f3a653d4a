"""Trials without a deployment: what a schedule would have come to, by a recorded history."""

from __future__ import annotations

from pathlib import Path

from drharness.checks import judge
from drharness.history import load
from drharness.schedule.outcome import Acted, Play, Settled
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial

HISTORIES = Path(__file__).resolve().parents[2] / "fixtures" / "histories"


def trial(schedule: Schedule, history: str, *, skipped: int = 0, unsettled: str = "") -> Trial:
    """How a schedule went, if its history had been that one.

    :param history: name of a planted history, ``good_sync``
    :param skipped: number of an action that could not be done
    """
    return _of(schedule, HISTORIES / f"{history}.jsonl", skipped=skipped, unsettled=unsettled)


def broken_off(schedule: Schedule, directory: Path) -> Trial:
    """As if the run of a good history had been interrupted: it cannot be judged."""
    *events, _ = (HISTORIES / "good_sync.jsonl").read_text(encoding="utf-8").splitlines()
    path = directory / "history.jsonl"
    path.write_text("\n".join([*events, ""]), encoding="utf-8")
    return _of(schedule, path)


def _of(schedule: Schedule, path: Path, *, skipped: int = 0, unsettled: str = "") -> Trial:
    acts = tuple(
        Acted(n, action, "skipped" if n == skipped else "ok", "why" if n == skipped else "", 0, 1)
        for n, action in enumerate(schedule.actions, start=1)
    )
    play = Play(schedule, acts, (), Settled(unsettled, 1, 2))
    return Trial(play, judge(load(path)), path.parent, 0.1)
