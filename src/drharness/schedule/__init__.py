"""What happens to a deployment, as a value: written down, played, and played again."""

from drharness.schedule.actions import (
    WAITS,
    Action,
    Crash,
    Finish,
    Heal,
    Inject,
    Next,
    Operate,
    Wait,
)
from drharness.schedule.interpreter import play
from drharness.schedule.outcome import Acted, Ended, Play, Settled
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial, attempt

__all__ = [
    "WAITS",
    "Acted",
    "Action",
    "Crash",
    "Ended",
    "Finish",
    "Heal",
    "Inject",
    "Next",
    "Operate",
    "Play",
    "ProcedureUse",
    "Schedule",
    "Settled",
    "Slip",
    "Trial",
    "Wait",
    "attempt",
    "play",
]
