"""What an operator does, as values: frozen sequences of steps that can be varied and run again."""

from drharness.procedures.full_failover import full_failover
from drharness.procedures.procedure import Procedure
from drharness.procedures.run import Outcome, Run, StepResult
from drharness.procedures.step import Step, StepFailed, StepRefused

BY_NAME = {"full-failover": full_failover}

__all__ = [
    "BY_NAME",
    "Outcome",
    "Procedure",
    "Run",
    "Step",
    "StepFailed",
    "StepRefused",
    "StepResult",
    "full_failover",
]
