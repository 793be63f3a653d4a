"""What an operator does, as values: frozen sequences of steps that can be varied and run again."""

from collections.abc import Callable, Mapping

from drharness.procedures.dbms_failover import dbms_failover
from drharness.procedures.framework_failover import framework_failover
from drharness.procedures.full_failover import full_failover
from drharness.procedures.procedure import Procedure
from drharness.procedures.run import Outcome, Run, StepResult
from drharness.procedures.step import Step, StepFailed, StepRefused

BY_NAME: Mapping[str, Callable[..., Procedure]] = {
    "dbms-failover": dbms_failover,
    "framework-failover": framework_failover,
    "full-failover": full_failover,
}

__all__ = [
    "BY_NAME",
    "Outcome",
    "Procedure",
    "Run",
    "Step",
    "StepFailed",
    "StepRefused",
    "StepResult",
    "dbms_failover",
    "framework_failover",
    "full_failover",
]
