"""Recorded runs: read from a file or a run's directory, collected and judged after an early end."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from drharness.checks import Judgement, Verdict, judge
from drharness.deployment import evidence
from drharness.errors import DrHarnessError, HistoryError, UsageError
from drharness.history import History, store

EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3, Verdict.INVALID: 3}


def load(path: Path) -> History:
    """The history in a file, or of a run's directory (collected there if that was not done).

    :raises HistoryError: names file, line, field, value and what was expected
    """
    if path.is_dir():
        path = _inside(path)
    try:
        if path.name == store.RECORD:
            return History(store.merge(path, evidence.event_files(path.parent)))
        return store.load(path)
    except UsageError as error:
        raise HistoryError(f"{path} line 1 (run): field 'topology': {error}") from error


def _inside(run: Path) -> Path:
    for name in (store.HISTORY, store.RECORD):
        if (run / name).is_file():
            return run / name
    raise HistoryError(f"{run}: expected a run's directory with {store.HISTORY}, found none in it")


def collect(run: Path) -> Judgement | None:
    """Merge what a run that ended early has recorded, and judge it so far.

    Leaves ``history.jsonl`` and ``verdict.txt``; None if there is too little to judge.
    """
    try:
        merge(run)
        judgement = judge(store.load(run / store.HISTORY))
        (run / "verdict.txt").write_text(f"{judgement}\n")
    except (DrHarnessError, OSError):
        return None
    return judgement


def merge(run: Path) -> None:
    """Write the history of a run from what its components have recorded until now."""
    store.merge(run / store.RECORD, evidence.event_files(run), run / store.HISTORY)


def where(run: Path) -> list[str]:
    """The evidence of a run and the command that judges it again."""
    shown = typed(run)
    return [f"evidence  {shown}", f"re-check  drharness check {shown}"]


def typed(path: Path | str) -> str:
    """A path as one types it from here."""
    return shlex.quote(short(Path(path)))


def short(path: Path) -> str:
    """Relative to the current directory if it lies below it."""
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):
        return str(path)
