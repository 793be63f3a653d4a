"""Was it right: pure functions of a history (which carries its topology), and their judge."""

from drharness.checks.judge import judge
from drharness.checks.registry import CHECKS, Check, NotExercised
from drharness.checks.rpo import Lost, lost_changes
from drharness.checks.rto import Recovery, recoveries
from drharness.checks.verdict import Finding, Judgement, Result, Verdict, worst

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Judgement",
    "Lost",
    "NotExercised",
    "Recovery",
    "Result",
    "Verdict",
    "judge",
    "lost_changes",
    "recoveries",
    "worst",
]
