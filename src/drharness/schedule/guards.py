"""The faults of a schedule that are in force, by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from drharness.errors import DrHarnessError, EngineLost
from drharness.faults import ComponentFrozen, VmFrozen
from drharness.faults.model import Fault


class Guarded(Protocol):
    """A fault in force, as :class:`drharness.faults.Guard` is."""

    fault: Fault
    healed: bool

    @property
    def targets(self) -> Sequence[str]:
        """Ids of what it touched."""

    def heal(self) -> None:
        """Undo it."""


class Guards:
    """What was injected, in order; an injection that was passed over has its number, too."""

    def __init__(self) -> None:
        self._guards: list[Guarded | None] = []

    def expect(self) -> None:
        """One more was to be injected."""
        self._guards.append(None)

    def add(self, guard: Guarded) -> None:
        """That one was."""
        self._guards[-1] = guard

    def in_force(self) -> list[Guarded]:
        """Those not healed, oldest first."""
        return [g for g in self._guards if g is not None and not g.healed]

    def in_the_way(self, fault: Fault) -> str:
        """Why another fault in force leaves no room for this one; empty if none does."""
        for guard in self.in_force():
            if guard.fault == fault:
                return f"{fault!r} is in force already"
        return ""

    def not_healable(self, which: int) -> str:
        """Why the fault of that number cannot be healed now; empty if it can."""
        if which > len(self._guards):
            return f"nothing was injected as number {which} yet"
        guard = self._guards[which - 1]
        if guard is None:
            return f"number {which} was not injected"
        if guard.healed:
            return f"number {which} is healed already"
        mine = _vms(guard)
        for later in self._guards[which:]:
            stops = later is not None and isinstance(later.fault, VmFrozen | ComponentFrozen)
            if later is not None and stops and not later.healed and mine & _vms(later):
                return f"{later.fault!r} came later: who is frozen cannot say that all is well"
        return ""

    def heal(self, which: int) -> str:
        """Heal the fault of that number; why it could not be, or empty."""
        guard = self._guards[which - 1]
        return "" if guard is None else _heal(guard)

    def heal_all(self) -> str:
        """Heal all, the last one first, and those that would not once more; what is left, or empty.

        What one needs to be healed another may have broken before it.
        """
        for _ in range(2):
            left = [why for guard in reversed(self.in_force()) if (why := _heal(guard))]
            if not left:
                return ""
        return "; ".join(left)


def _vms(guard: Guarded) -> set[str]:
    """Ids of the VMs that a fault touched (and of regions)."""
    return {name.partition(".")[0] for name in guard.targets}


def _heal(guard: Guarded) -> str:
    try:
        guard.heal()
    except EngineLost:
        raise
    except DrHarnessError as error:
        return f"{guard.fault!r} could not be healed: {error}"
    return ""
