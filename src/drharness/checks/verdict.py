"""Verdicts, findings and the text that a person under pressure reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from drharness.checks.rpo import Lost, Rpo
from drharness.checks.rto import Recovery, slowest
from drharness.checks.text import describe, seconds_from
from drharness.history.event import Event

SHOWN = 6  # proving events per finding; more do not make it clearer


class Verdict(Enum):
    """What a check, or a whole run, comes to; merged by :func:`worst`."""

    PASS = "PASS"
    UNKNOWN = "UNKNOWN"
    INVALID = "INVALID"
    FAIL = "FAIL"

    def __str__(self) -> str:
        return self.value


SEVERITY = {Verdict.PASS: 0, Verdict.UNKNOWN: 1, Verdict.INVALID: 2, Verdict.FAIL: 3}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL > INVALID > UNKNOWN > PASS; nothing at all is UNKNOWN: no evidence is not a pass."""
    return max(verdicts, key=SEVERITY.__getitem__, default=Verdict.UNKNOWN)


@dataclass(frozen=True)
class Finding:
    """Something that was not as expected.

    :ivar invariant: id of the check, ``D1``
    :ivar expected: what the invariant demands, here
    :ivar seen: what the history shows instead
    :ivar events: the events that prove it
    :ivar advice: where to look or what to do, may be empty
    """

    invariant: str
    verdict: Verdict
    expected: str
    seen: str
    events: tuple[Event, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Result:
    """What one check came to; ``note`` says why when it was not exercised."""

    id: str
    title: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    exercised: bool = True
    note: str = ""


@dataclass(frozen=True, repr=False)
class Judgement:
    """All results of a run. ``ok`` only if every exercised check passed; ``str()`` is the report.

    :ivar t0: ns, what times in the text count from
    :ivar t0_name: what happened then
    :ivar recoveries: RTO figures, one per disturbance
    :ivar rpo: what is lost; None if nothing was read back from the database
    :ivar host: a sentence about how long the host kept processes waiting; empty if it did not
    """

    run_id: str
    results: tuple[Result, ...]
    t0: int
    t0_name: str
    recoveries: tuple[Recovery, ...] = field(default=())
    rpo: Rpo | None = None
    host: str = ""

    @property
    def status(self) -> Verdict:
        """The worst verdict of all exercised checks."""
        return worst(r.verdict for r in self.results if r.exercised)

    @property
    def ok(self) -> bool:
        """Whether the status is PASS."""
        return self.status is Verdict.PASS

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, worst first."""
        found = [f for r in self.results for f in r.findings]
        return tuple(sorted(found, key=lambda f: -SEVERITY[f.verdict]))

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the invariants that failed."""
        return tuple(r.id for r in self.results if r.exercised and r.verdict is Verdict.FAIL)

    @property
    def rto(self) -> float | None:
        """Seconds of the slowest recovery, None if there was none or one never came."""
        return slowest(self.recoveries)

    @property
    def lost(self) -> tuple[Lost, ...] | None:
        """Lost acknowledged changes; None if nothing was read back from the database."""
        return None if self.rpo is None else self.rpo.lost

    def __repr__(self) -> str:
        """In a line, for the assertion that shows it: what failed, and in which run."""
        bad = [f"{f.invariant} {f.seen.splitlines()[0]}" for f in self.findings]
        return f"<{self.status} {self.run_id}{': ' if bad else ''}{'; '.join(bad)}>"

    def __str__(self) -> str:
        lines = [self.findings_text, *(str(r) for r in self.recoveries)]
        if self.rpo is not None:
            lines.append(f"RPO: {self.rpo}")
            lines += [f"    {change}" for change in self.rpo.lost[:SHOWN]]
            lines += _more(len(self.rpo.lost))
        return "\n".join(lines)

    @property
    def findings_text(self) -> str:
        """The report without RTO and RPO: what failed, with proof; what passed, what was idle."""
        lines = [f"{self.status}: run {self.run_id}"]
        for result in sorted(self.results, key=lambda r: -SEVERITY[r.verdict]):
            lines += self._result_lines(result)
        passed = [r.id for r in self.results if r.exercised and r.verdict is Verdict.PASS]
        if passed:
            lines.append(f"PASS: {', '.join(passed)}")
        idle = [f"{r.id} ({r.note})" for r in self.results if not r.exercised]
        if idle:
            lines.append(f"not exercised: {', '.join(idle)}")
        if self.host:
            lines.append(f"note: {self.host}")
        return "\n".join(lines)

    def _result_lines(self, result: Result) -> list[str]:
        lines = []
        for finding in result.findings:
            lines.append(f"{finding.verdict} {result.id} {result.title}")
            lines.append(f"  expected: {finding.expected}")
            lines.append(f"  seen:     {finding.seen}")
            if finding.events:
                lines.append(f"  proof (seconds from {self.t0_name}):")
            for event in sorted(finding.events[:SHOWN], key=lambda e: e.t):
                lines.append(f"    {seconds_from(self.t0, event.t)}  {describe(event)}")
            lines += _more(len(finding.events))
            if finding.advice:
                lines.append(f"  advice:   {finding.advice}")
        return lines


def _more(count: int) -> list[str]:
    return [f"    ... and {count - SHOWN} more"] if count > SHOWN else []
