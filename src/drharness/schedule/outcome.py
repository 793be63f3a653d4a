"""How a schedule went: what became of each action, of the procedure, and of the system at rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from drharness.schedule.actions import Action
from drharness.schedule.schedule import Schedule


@dataclass(frozen=True)
class Acted:
    """One action, carried out or not.

    :ivar number: its place in the schedule, from 1
    :ivar type: ``ok``; ``fail``: a step of the procedure, or a heal, did not succeed; ``refused``:
        the procedure did; ``skipped``: it could not be done here and nothing was
    :ivar text: why, unless it was ok
    :ivar step: id of the procedure's step that was taken last by it
    :ivar begun: ns of CLOCK_MONOTONIC; ``ended``: the same
    """

    number: int
    action: Action
    type: str
    text: str
    begun: int
    ended: int
    step: str = ""

    def __str__(self) -> str:
        at = f" ({self.step})" if self.step else ""
        why = f": {self.text.partition(chr(10))[0]}" if self.text else ""
        return f"{self.number}. {self.action}{at}: {self.type}{why}"


@dataclass(frozen=True)
class Ended:
    """A run of the procedure that is over.

    :ivar status: ``ok``, ``fail``, ``refused`` or ``interrupted``
    :ivar step: where, unless it was ok; ``text``: why
    """

    status: str
    step: str = ""
    text: str = ""


@dataclass(frozen=True)
class Settled:
    """How all came to rest after the last action.

    :ivar text: what is not as it should be then; empty if all is
    :ivar begun: ns of CLOCK_MONOTONIC; ``ended``: the same
    """

    text: str
    begun: int
    ended: int

    @property
    def ok(self) -> bool:
        """Whether everything is healed, the procedure done, and writes go on where they must."""
        return not self.text


@dataclass(frozen=True)
class Play:
    """How a schedule went.

    :ivar acts: its actions, in order
    :ivar runs: the runs of the procedure, those of the settling included
    """

    schedule: Schedule
    acts: tuple[Acted, ...]
    runs: tuple[Ended, ...]
    settled: Settled = field(default_factory=lambda: Settled("", 0, 0))

    @property
    def skipped(self) -> tuple[int, ...]:
        """Numbers of the actions that could not be done."""
        return tuple(a.number for a in self.acts if a.type == "skipped")
