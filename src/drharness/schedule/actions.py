"""What can happen next to a deployment: one frozen value per kind of action, ``repr`` is code."""

from __future__ import annotations

from dataclasses import dataclass

from drharness.deployment.targets import WORDS
from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.kernel import validate

# Times that matter: less than any timer of the fast profile, about one of its retries, its TTL
# and keep-alive, and what outlasts both.
WAITS = (0.1, 0.3, 1.0, 2.0)
OPERATIONS = ("read", "write")
VIAS = WORDS
MOST_CALLS = 1000
MOST_STEPS = 100
LONGEST_S = 600.0


@dataclass(frozen=True)
class Action:
    """Base of all actions."""

    @property
    def name(self) -> str:
        """What it is called in files: ``inject``, ``next`` …"""
        return type(self).__name__.lower()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Inject(Action):
    """Something breaks.

    :ivar fault: what; targets such as ``active.dbms`` mean what is active when it is injected
    """

    fault: Fault

    def __post_init__(self) -> None:
        if not isinstance(self.fault, Fault):
            raise UsageError(
                f"fault: expected a fault, like RegionDown('region1'), got {self.fault!r}."
            )
        if self.fault.kebab == "controller-killed":
            raise UsageError("fault: expected one that can be injected; a controller dies by Crash")

    def __str__(self) -> str:
        given = [str(v) for v in vars(self.fault).values() if v not in ("", 0)]
        return " ".join([self.fault.kebab, *given])


@dataclass(frozen=True)
class Heal(Action):
    """What was broken is mended.

    :ivar which: number of the ``Inject`` in its schedule, from 1; None: all faults in force
    """

    which: int | None = None

    def __post_init__(self) -> None:
        if self.which is not None and (type(self.which) is not int or self.which < 1):
            raise UsageError(
                f"which: expected the number of an Inject, from 1, got {self.which!r}."
            )

    def __str__(self) -> str:
        return "heal all" if self.which is None else f"heal number {self.which}"


@dataclass(frozen=True)
class Next(Action):
    """The operator takes the next steps of the procedure; the first one begins it.

    One that failed, was refused or lost its controller is begun again; so is one that succeeded,
    if something broke since.

    :ivar steps: how many, unless it ends before
    """

    steps: int = 1

    def __post_init__(self) -> None:
        if type(self.steps) is not int or not 1 <= self.steps <= MOST_STEPS:
            raise UsageError(f"steps: expected 1 to {MOST_STEPS}, got {self.steps!r}.")

    def __str__(self) -> str:
        return "next step" if self.steps == 1 else f"next {self.steps} steps"


@dataclass(frozen=True)
class Finish(Action):
    """The operator takes all steps that are left, as :class:`Next` does."""

    def __str__(self) -> str:
        return "finish the procedure"


@dataclass(frozen=True)
class Crash(Action):
    """The controller dies: nobody ends the procedure, and whoever goes on begins it again.

    :ivar call: 0: now, between two steps; else in the next step, at its request of that number to
        a VM (at its end if it has fewer)
    :ivar sent: that request has left and its answer is not read; false: it does not leave
    """

    call: int = 0
    sent: bool = True

    def __post_init__(self) -> None:
        if type(self.call) is not int or not 0 <= self.call <= MOST_CALLS:
            raise UsageError(f"call: expected 0 to {MOST_CALLS}, got {self.call!r}.")

    def __str__(self) -> str:
        if not self.call:
            return "the controller dies"
        how = "" if self.sent else "not "
        return f"the controller dies in the next step, request {self.call} {how}sent"


@dataclass(frozen=True)
class Wait(Action):
    """Nobody does anything; clients go on.

    :ivar seconds: how long, on a fast timing profile best one of :data:`WAITS`
    """

    seconds: float

    def __post_init__(self) -> None:
        validate.number("seconds", self.seconds, low=0.0, high=LONGEST_S)

    def __str__(self) -> str:
        return f"wait {self.seconds:g} s"


@dataclass(frozen=True)
class Operate(Action):
    """A client does one operation, beside the traffic.

    :ivar f: ``read``, or ``write`` of a value that no other action of its schedule gives
    :ivar key: of the object; ``via``: whose client it is: the ``active`` or ``dormant`` region's,
        or that of a region by name
    """

    f: str
    key: str
    via: str = "active"

    def __post_init__(self) -> None:
        validate.choice("f", self.f, OPERATIONS)
        for name, value in (("key", self.key), ("via", self.via)):
            if not isinstance(value, str) or not value:
                raise UsageError(f"{name}: expected a text, got {value!r}.")

    def __str__(self) -> str:
        return f"{self.f} {self.key} via {self.via}"
