"""``drharness selftest``: planted mistakes to be found by name, and right runs beside them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drharness.cli import records
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.screen import Screen
from drharness.errors import DrHarnessError, UsageError
from drharness.kernel import validate
from drharness.selftest import CORRECT, MISTAKES, Mistake, Tried, attempt


@dataclass(frozen=True)
class Selection:
    """What is to be tried.

    :ivar mistakes: planted mistakes and right runs, in order
    """

    mistakes: tuple[Mistake, ...]
    engine: str
    evidence: Path | None


def selected(only: Sequence[str], *, engine: str, evidence: Path | None) -> Selection:
    """The mistakes of these ids or families; all if none is named.

    :raises UsageError: no such id or family
    """
    everything = (*MISTAKES, *CORRECT)
    known = {m.id for m in everything} | {m.family for m in everything}
    names = [validate.choice("--only", name, known) for name in only]
    chosen = tuple(m for m in everything if not names or {m.id, m.family} & set(names))
    return Selection(chosen, engine, evidence)


def listing() -> list[str]:
    """A line for each mistake, and for each right run."""
    return [
        f"{m.family:<10} {m.id:<22} {' '.join(m.invariants) or 'PASS':<12} {m.title}"
        for m in (*MISTAKES, *CORRECT)
    ]


def carry_out(chosen: Selection, screen: Screen, errors: Screen) -> tuple[int, dict[str, Any]]:
    """Try them one after the other; exit code and the result for programs."""
    tried: list[Tried] = []
    broken: list[str] = []
    INTERRUPTS.unshield()
    try:
        for mistake in chosen.mistakes:
            _one(mistake, chosen, screen, tried=tried, broken=broken)
    except Interrupted:
        screen.end("--", "interrupted")
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        return INTERRUPTS.EXIT_CODE, _summary(tried, broken, INTERRUPTS.EXIT_CODE)
    screen.say()
    for one in tried:
        if not one.ok:
            screen.say(f"{one.mistake.id}: {_wanted(one.mistake)}", "bold red")
            screen.verdict(one.text)
            screen.say(records.where(one.run)[0])
            screen.say()
    for line in _lines(tried, broken):
        screen.say(line)
    code = 0 if tried and all(one.ok for one in tried) and not broken else 1
    return code, _summary(tried, broken, code)


def _one(
    mistake: Mistake, chosen: Selection, screen: Screen, *, tried: list[Tried], broken: list[str]
) -> None:
    screen.begin(f"{mistake.id:<20}")
    try:
        one = attempt(mistake, engine=chosen.engine, evidence=chosen.evidence)
    except DrHarnessError as error:
        if isinstance(error, UsageError):
            raise
        broken.append(mistake.id)
        screen.end("FAIL", f"could not be tried: {error}")
        return
    tried.append(one)
    found = " ".join(one.failed) or str(one.status)
    screen.end("ok" if one.ok else "FAIL", f"{found:<15}  {mistake.title}")


def _wanted(mistake: Mistake) -> str:
    if mistake.invariants:
        return f"expected {' or '.join(mistake.invariants)} to fail, they did not"
    return "nothing is wrong here, yet it did not pass"


def _lines(tried: Sequence[Tried], broken: Sequence[str]) -> list[str]:
    planted = [one for one in tried if one.mistake.invariants]
    right = [one for one in tried if not one.mistake.invariants]
    lines = []
    if planted:
        times = [one.seconds for one in planted]
        lines.append(
            f"{sum(one.ok for one in planted)} of {len(planted)} planted mistakes found by name, "
            f"in {statistics.median(times):.1f} s each (median; {max(times):.1f} s at most)"
        )
    if right:
        alarms = sum(not one.ok for one in right)
        lines.append(f"{alarms} false alarms in {len(right)} right runs")
    if broken:
        lines.append(f"could not be tried: {', '.join(broken)}")
    return lines


def _summary(tried: Sequence[Tried], broken: Sequence[str], code: int) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "drharness selftest",
        "exit_code": code,
        "not_tried": list(broken),
        "tried": [
            {
                "id": one.mistake.id,
                "family": one.mistake.family,
                "title": one.mistake.title,
                "expected": list(one.mistake.invariants),
                "failed": list(one.failed),
                "status": str(one.status),
                "ok": one.ok,
                "seconds": one.seconds,
                "evidence": str(one.run),
            }
            for one in tried
        ],
    }
