"""Budgets: how long a recovery may take and how much it may lose, judged like an invariant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drharness.checks.rpo import Rpo
from drharness.checks.rto import Recovery
from drharness.checks.verdict import Finding, Result, Verdict
from drharness.errors import UsageError
from drharness.kernel import validate

_UNITS = {"": 1, "s": 1, "B": 1, "kB": 1024, "MB": 1024**2}
_EXPECTED = "a count of changes (0, 25), seconds (2s, 0.5s) or bytes of WAL (512B, 64kB, 1MB)"


@dataclass(frozen=True)
class Budget:
    """What a run may cost; None: no limit.

    :ivar rto: seconds, the slowest region's
    :ivar rpo: lost acknowledged changes (``0``), seconds (``2s``) or bytes of WAL (``64kB``)
    """

    rto: float | None = None
    rpo: str | None = None

    @classmethod
    def of(
        cls, max_rto: float | str | None, max_rpo: int | str | None, *, names: tuple[str, str]
    ) -> Budget:
        """A budget from a user's input.

        :param names: what the two are called, for errors
        :raises UsageError: names the option, its value and what was expected
        """
        rto = None
        if max_rto is not None:
            rto = validate.number(names[0], max_rto, low=0, high=86400)
        rpo = None if max_rpo is None else str(max_rpo)
        if rpo is not None:
            limit_of(rpo, names[1])
        return cls(rto, rpo)

    def results(
        self, recoveries: tuple[Recovery, ...], rpo: Rpo | None, *, disturbed: bool
    ) -> tuple[Result, ...]:
        """One result per limit: FAIL beyond it, UNKNOWN if the figure is not known."""
        out = []
        if self.rto is not None:
            out.append(_rto_result(self.rto, recoveries, disturbed=disturbed))
        if self.rpo is not None:
            out.append(_rpo_result(self.rpo, rpo))
        return tuple(out)


def limit_of(text: str, name: str) -> tuple[float, str]:
    """A limit and its unit: ``s``, or ``B``, ``kB``, ``MB`` (in bytes), empty for a count.

    :param name: what it is called, for the error
    :raises UsageError: it is none
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|B|kB|MB|)", text.strip())
    if not match or (match[2] == "" and "." in match[1]):
        raise UsageError(f"{name}: expected {_EXPECTED}, got {text!r}.")
    return float(match[1]) * _UNITS[match[2]], match[2]


def _rto_result(limit: float, recoveries: tuple[Recovery, ...], *, disturbed: bool) -> Result:
    title = f"recovered within {limit:g} s"
    if not recoveries and not disturbed:
        return Result("RTO", title, Verdict.PASS, (), False, "no fault and no procedure")
    expected = f"every living region takes writes again within {limit:g} s"
    late = [r for r in recoveries if r.seconds is None or r.seconds > limit]
    findings = [Finding("RTO", Verdict.FAIL, expected, str(r), (), _longest(r)) for r in late]
    if not recoveries:
        seen = "nothing made a recovery due: no procedure was run and the faults were not healed"
        findings = [Finding("RTO", Verdict.UNKNOWN, expected, seen)]
    verdict = findings[0].verdict if findings else Verdict.PASS
    return Result("RTO", title, verdict, tuple(findings))


def _longest(recovery: Recovery) -> str:
    if not recovery.phases:
        return ""
    name, seconds = max(recovery.phases, key=lambda p: p[1])
    return f"the longest phase was {name}: {seconds:.3f} s"


def _rpo_result(text: str, rpo: Rpo | None) -> Result:
    limit, unit = limit_of(text, "rpo")
    title = f"lost at most {text if unit else f'{text} changes'}"
    if rpo is None:
        seen = "nothing was read back from a database"
        return Result("RPO", title, Verdict.UNKNOWN, (_rpo_finding(title, seen, Verdict.UNKNOWN),))
    figure: float | None = {"": len(rpo.lost), "s": rpo.seconds}.get(unit, rpo.wal_bytes)
    if figure is None:
        seen = "no promotion, or no sample of the former primary: its WAL is not known"
        return Result("RPO", title, Verdict.UNKNOWN, (_rpo_finding(title, seen, Verdict.UNKNOWN),))
    if figure <= limit:
        return Result("RPO", title, Verdict.PASS)
    return Result("RPO", title, Verdict.FAIL, (_rpo_finding(title, str(rpo), Verdict.FAIL),))


def _rpo_finding(expected: str, seen: str, verdict: Verdict) -> Finding:
    return Finding("RPO", verdict, expected, seen)
