"""``drharness story``: a recorded run that failed, told."""

from __future__ import annotations

from pathlib import Path

from drharness.checks import judge
from drharness.cli import records
from drharness.cli.screen import Screen
from drharness.errors import UsageError
from drharness.schedule.mermaid import mermaid
from drharness.schedule.story import story


def tell(path: Path, screen: Screen, *, about: str, diagram: bool) -> int:
    """Print the story of a history, or its diagram; the exit code of its verdict.

    :param about: id of the invariant to tell of; empty: of those that failed what hurts most
    :raises UsageError: no invariant of that id has a finding in this run
    """
    history = records.load(path)
    judgement = judge(history)
    found = sorted({f.invariant for f in judgement.findings})
    if about and about not in found:
        seen = f"one of {', '.join(found)}" if found else "none: this run has no finding"
        raise UsageError(f"--about: expected {seen}, got {about!r}.")
    told = story(history, judgement, reason=about)
    if diagram:
        screen.say(mermaid(history, judgement, reason=about).rstrip())
    elif told is None:
        screen.say(f"{judgement.status}: run {history.run_id} has nothing to tell, all went well")
    else:
        screen.verdict(str(told))
    return records.EXIT_CODES[judgement.status]
