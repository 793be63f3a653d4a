"""Which procedure the operator of a schedule carries out, and where he slips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from drharness import procedures
from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.procedures import Procedure
from drharness.topology import Topology

SLIPS = ("without", "repeated", "swapped", "delayed")


@dataclass(frozen=True)
class Slip:
    """A slip of the operator: one of the procedure's own variations.

    :ivar kind: ``without``, ``repeated``, ``swapped`` or ``delayed``
    :ivar step: id of the step; ``other``: the one it is swapped with
    :ivar seconds: how long the pause before a delayed step is
    """

    kind: str
    step: str
    other: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        validate.choice("kind", self.kind, SLIPS)
        if bool(self.other) != (self.kind == "swapped"):
            raise UsageError(f"other: expected a step if, and only if, kind is 'swapped': {self}.")
        if self.seconds and self.kind != "delayed":
            raise UsageError(f"seconds: expected only if kind is 'delayed': {self!r}.")

    def __str__(self) -> str:
        more = [self.other] if self.other else [f"{self.seconds:g} s"] if self.seconds else []
        return " ".join([self.kind, self.step, *more])

    def of(self, procedure: Procedure) -> Procedure:
        """The procedure with this slip.

        :raises UsageError: no such step, or no number of seconds
        """
        if self.kind == "without":
            return procedure.without(self.step)
        if self.kind == "repeated":
            return procedure.repeated(self.step)
        if self.kind == "swapped":
            return procedure.swapped(self.step, self.other)
        return procedure.delayed(self.step, self.seconds)


@dataclass(frozen=True)
class ProcedureUse:
    """A procedure by name, as a schedule uses it.

    :ivar name: ``full-failover`` …
    :ivar to: region that is to become active
    :ivar options: further arguments of the procedure, by name
    :ivar slips: where the operator slips, one after the other
    """

    name: str = "full-failover"
    to: str = "region2"
    options: Mapping[str, Any] = field(default_factory=dict)
    slips: tuple[Slip, ...] = ()

    def __post_init__(self) -> None:
        self.procedure  # noqa: B018 - bad values are told now

    @classmethod
    def on(cls, topology: Topology, name: str, slips: Sequence[Slip] = ()) -> ProcedureUse:
        """The procedure of that name, as it moves what is active to a topology's second region.

        :raises UsageError: no such procedure or step
        """
        number = len(topology.regions)
        options = {"regions": number} if number > 2 else {}
        return cls(name, topology.regions[1], options, tuple(slips))

    @property
    def procedure(self) -> Procedure:
        """It, slips included.

        :raises UsageError: no such procedure, option or step
        """
        made = procedures.BY_NAME[validate.choice("name", self.name, procedures.BY_NAME)]
        for option in self.options:
            validate.choice("option", option, options_of(self.name))
        procedure = made(to=self.to, **self.options)
        for slip in self.slips:
            procedure = slip.of(procedure)
        return procedure


def options_of(name: str) -> list[str]:
    """Names of the arguments that a procedure takes beside ``to``."""
    return [p for p in signature(procedures.BY_NAME[name]).parameters if p != "to"]
