"""Faults of the lines between regions: slow, lossy, narrow. Established connections feel them too.

Proven by echo requests from a VM of one region to a VM of the other: their kernels answer, however
busy the programs are, so that load can make no line look better than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drharness.deployment.operations import Operations
from drharness.engines.protocol import POWER_OF, RegionDelay, RegionLoss, RegionRate, Shape
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, Seen
from drharness.faults.network import two_regions
from drharness.kernel import validate
from drharness.kernel.waiting import wait_until

_CLEAR = 0.8  # of a delay asked for must be seen, at least
_WIDER = 1.2  # than the rate asked for may be what is measured, at most
_EXPECTED_LOST = 40.0  # packets: so many are sent that no loss hides behind chance
_FEWEST_SENT = 100
_SIGMAS = 6.0  # of the binomial distribution: one false alarm in a billion
_LOOK_S, _HEAL_S = 20.0, 5.0


@dataclass(frozen=True)
class _Line:
    """Who looks at the line between two regions, and what for.

    :ivar measure: function of the measuring module, with its arguments; ``unit`` of what it returns
    :ivar missing: (number before, number now) to what is missing to the proof, else ""
    """

    one: str
    other: str
    measure: str
    arguments: Mapping[str, Any]
    unit: str
    missing: Callable[[float, float], str]

    def look(self, operations: Operations) -> float | None:
        """The number measured now; None: nothing came back, or nobody is on to look."""
        found = _observers(operations, self.one, self.other)
        if found is None:
            return None
        vm, address = found
        seen = operations.measure(vm, self.measure, timeout=_LOOK_S, host=address, **self.arguments)
        return float(seen) if seen else None


def _observers(operations: Operations, one: str, other: str) -> tuple[str, str] | None:
    """A VM of one region that is on, and the address of one of the other."""
    found = []
    for region in (one, other):
        ready = [vm for vm in operations.topology.vms_of(region) if operations.is_on(vm.id)]
        ready.sort(key=lambda vm: vm.role != "application")
        found += ready[:1]
    return (found[0].id, found[1].address) if len(found) == 2 else None


def _ways(operations: Operations, one: str, other: str, both: bool) -> list[tuple[str, str]]:
    way = two_regions(operations, one, other)
    return [way, (way[1], way[0])] if both else [way]


def _breakage(operations: Operations, shapes: Sequence[Shape], line: _Line) -> Breakage:
    """Measure one number; apply; measure it again. Undone, it is not as bad any more."""
    for shape in shapes:
        operations.require_power(POWER_OF[type(shape)])
    if _observers(operations, line.one, line.other) is None:
        raise UsageError(f"{line.one}, {line.other}: no VM is on in one of them to see the line.")
    numbers: list[float] = []

    def look(_patient: bool) -> Seen:
        number = line.look(operations)
        numbers.append(0.0 if number is None else number)
        seen = "nothing" if number is None else f"{number:.4g} {line.unit}"
        return {f"{line.one} -> {line.other}": seen}

    def undo() -> None:
        operations.unshape(*shapes)
        if operations.is_shaped(line.one, line.other):
            return  # by another fault: the line cannot be as it was
        last: list[float | None] = []

        def restored() -> bool:
            # What answers nothing is cut or off by now: it cannot show that the line is as it was.
            last[:] = [line.look(operations)]
            return last[0] is None or line.missing(numbers[0], last[0]) != ""

        wait_until(restored, f"{shapes[0]} undone", timeout=_HEAL_S, describe=lambda: str(last))

    return Breakage(
        look=look,
        apply=lambda: operations.shape(*shapes),
        undo=undo,
        targets=[line.one, line.other],
        missing=lambda _before, _after: line.missing(numbers[0], numbers[-1]),
    )


@dataclass(frozen=True)
class Delay(Fault):
    """What goes between two regions arrives later; order is kept, nothing is lost.

    :ivar seconds: one way, 0.005 to 1
    :ivar both_ways: false: only from ``one`` to ``other``
    """

    one: str = "active"
    other: str = "dormant"
    seconds: float = 0.05
    both_ways: bool = True

    def breakage(self, operations: Operations) -> Breakage:
        """A round trip takes longer by the delay of each way."""
        validate.number("seconds", self.seconds, low=0.005, high=1)
        ways = _ways(operations, self.one, self.other, self.both_ways)
        expected = 1000 * self.seconds * len(ways)

        def missing(before: float, after: float) -> str:
            if not before or not after:
                return f"a round trip took {before:.4g} ms before, {after:.4g} ms now (0: none)"
            if after - before >= _CLEAR * expected:
                return ""
            return f"a round trip takes {after:.4g} ms, {before:.4g} before; {expected:g} more due"

        line = _Line(*ways[0], "round_trip", {"count": 7}, "ms", missing)
        return _breakage(operations, [RegionDelay(s, t, self.seconds) for s, t in ways], line)


@dataclass(frozen=True)
class Loss(Fault):
    """Some packets between two regions are lost, by chance.

    :ivar share: of each way, 0.005 to 0.9
    :ivar both_ways: false: only from ``one`` to ``other``
    """

    one: str = "active"
    other: str = "dormant"
    share: float = 0.3
    both_ways: bool = True

    def breakage(self, operations: Operations) -> Breakage:
        """Of many echo requests that share goes unanswered, within what chance allows."""
        validate.number("share", self.share, low=0.005, high=0.9)
        ways = _ways(operations, self.one, self.other, self.both_ways)
        lost = 1 - (1 - self.share) ** len(ways)
        count = max(_FEWEST_SENT, math.ceil(_EXPECTED_LOST / lost))

        def missing(before: float, after: float) -> str:
            expected = before * (1 - lost)
            spread = _SIGMAS * math.sqrt(max(before, 1.0) * lost * (1 - lost))
            if after < before and after <= expected + spread:
                return ""
            return f"of {count} packets {after:g} were answered, {before:g} before"

        line = _Line(*ways[0], "answered", {"count": count}, f"of {count}", missing)
        return _breakage(operations, [RegionLoss(s, t, self.share) for s, t in ways], line)


@dataclass(frozen=True)
class Rate(Fault):
    """Little passes between two regions; the rest waits in a short queue, and then is lost.

    :ivar bits_per_s: of each way, 64,000 to 20,000,000
    :ivar both_ways: false: only from ``one`` to ``other``
    """

    one: str = "active"
    other: str = "dormant"
    bits_per_s: float = 1_000_000
    both_ways: bool = True

    def breakage(self, operations: Operations) -> Breakage:
        """A line kept busy carries that much and no more."""
        validate.number("bits_per_s", self.bits_per_s, low=64_000, high=2e7)
        ways = _ways(operations, self.one, self.other, self.both_ways)

        def missing(before: float, after: float) -> str:
            if after <= _WIDER * self.bits_per_s < before:
                return ""
            return f"the line carries {after:.4g} bit/s, {before:.4g} before"

        line = _Line(*ways[0], "throughput", {}, "bit/s", missing)
        return _breakage(operations, [RegionRate(s, t, self.bits_per_s) for s, t in ways], line)
