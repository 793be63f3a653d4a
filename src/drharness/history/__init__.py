"""What happened: typed events, one JSON line each; recorded, merged, read. Pure but ``store``."""

from drharness.history.event import Event, check_event
from drharness.history.recorder import Recorder
from drharness.history.records import Fault, Final, Operation, Plan, Step
from drharness.history.store import AppendFile, load, merge, open_recorder, read, write
from drharness.history.view import History

__all__ = [
    "AppendFile",
    "Event",
    "Fault",
    "Final",
    "History",
    "Operation",
    "Plan",
    "Recorder",
    "Step",
    "check_event",
    "load",
    "merge",
    "open_recorder",
    "read",
    "write",
]
