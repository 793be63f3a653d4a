"""Was it right: pure functions of a history (which carries its topology), and their judge."""

from drharness.checks.budget import Budget
from drharness.checks.judge import judge
from drharness.checks.phases import HostRecovery
from drharness.checks.registry import CHECKS, Check, NotExercised
from drharness.checks.rpo import Lost, Rpo
from drharness.checks.rto import Recovery, recoveries
from drharness.checks.verdict import Finding, Judgement, Result, Verdict, worst

__all__ = [
    "CHECKS",
    "Budget",
    "Check",
    "Finding",
    "HostRecovery",
    "Judgement",
    "Lost",
    "NotExercised",
    "Recovery",
    "Result",
    "Rpo",
    "Verdict",
    "judge",
    "recoveries",
    "worst",
]
