"""Replay: a schedule that once failed is tried again, and what that says about the failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from drharness.checks.verdict import Verdict
from drharness.schedule.trial import Found, Trial


class Conclusion(Enum):
    """What becomes of a failure that was written down."""

    FAILS = "still fails"
    FIXED = "fixed"
    NOT_APPLICABLE = "no longer applicable"
    NOT_JUDGED = "not judged"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Replayed:
    """The conclusion, and why it is that."""

    conclusion: Conclusion
    text: str

    def __str__(self) -> str:
        return f"{self.conclusion}: {self.text}"


def concluded(trials: Sequence[Trial], found: Found) -> Replayed:
    """What these trials of one schedule say.

    It still fails if any invariant failed in any of them. Else it is no longer applicable if an
    action was passed over that could be done when the failure was found; else fixed, if all passed.

    :param found: what came of it then
    """
    count = len(trials)
    bad = [t for t in trials if t.status is Verdict.FAIL]
    if bad:
        failed = sorted({i for t in bad for i in t.failed})
        then = f", then {', '.join(found.failed)}" if set(found.failed) - set(failed) else ""
        text = f"{', '.join(failed)}, in {len(bad)} of {count}{then}"
        return Replayed(Conclusion.FAILS, text)
    for trial in trials:
        for act in trial.play.acts:
            if act.type == "skipped" and act.number not in found.skipped:
                return Replayed(Conclusion.NOT_APPLICABLE, f"action {act}")
    unjudged = [t for t in trials if t.status is not Verdict.PASS]
    if unjudged:
        text = f"{unjudged[0].status} in {len(unjudged)} of {count}: {_why(unjudged[0])}"
        return Replayed(Conclusion.NOT_JUDGED, text)
    return Replayed(Conclusion.FIXED, f"{count} of {count} passed")


def _why(trial: Trial) -> str:
    """What kept a trial from being judged, in a line."""
    said = [f"{f.invariant} {f.seen}" for f in trial.judgement.findings]
    return [*said, trial.play.settled.text][0].partition("\n")[0]
