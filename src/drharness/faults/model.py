"""What every fault has: injection with proof, a receipt, and a guard that heals it."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drharness.deployment.operations import Operations
from drharness.errors import FaultNotProven
from drharness.kernel import clock

Target = tuple[str, int]
_PATIENT_S = 2.0  # what answers does so at once; a busy machine may be slow to notice
_IMPATIENT_S = 0.3  # what is dead is silent: each probe waits that long


@dataclass(frozen=True)
class Receipt:
    """Proof that a fault took effect.

    :ivar since: ns of CLOCK_MONOTONIC just before the effect began; times count from here
    :ivar before: probe to result while all was well; ``after``: the same probes, now
    """

    since: int
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def lost(self) -> list[str]:
        """Probes that succeeded before and do not now."""
        return [k for k, seen in self.before.items() if seen == "ok" and self.after[k] != "ok"]

    @property
    def still(self) -> list[str]:
        """Probes that succeeded before and still do."""
        return [k for k, seen in self.before.items() if seen == "ok" and self.after[k] == "ok"]


@dataclass
class Guard:
    """A fault in force; as a context it heals at the end of the block."""

    fault: Fault
    receipt: Receipt
    _heal: Callable[[], None]
    healed: bool = False

    def heal(self) -> None:
        """Undo the fault, once."""
        if not self.healed:
            self._heal()
            self.healed = True

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


@dataclass(frozen=True)
class Breakage:
    """What a fault is about to do to one deployment, fixed before anything is touched.

    :ivar probes: which VM is to try which (address, port) targets, before and after
    :ivar apply: makes it so; ``undo``: undoes exactly that
    """

    probes: Mapping[str, Sequence[Target]]
    apply: Callable[[], None]
    undo: Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """Base of all faults; ``repr`` is Python code. Subclasses plan a :class:`Breakage`."""

    @property
    def f(self) -> str:
        """Name in histories: the class name in snake case, ``region_down``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @abc.abstractmethod
    def breakage(self, operations: Operations) -> Breakage:
        """Say what would be done.

        :raises UsageError: a bad target; names the argument, its value and what was expected
        """

    def inject(self, operations: Operations) -> Guard:
        """Probe, break, probe again, and record all of it.

        :raises FaultNotProven: a probe that succeeded before succeeds still, or none did before;
            what was done is undone
        """
        breakage = self.breakage(operations)
        arguments = asdict(self)
        operations.recorder.record("fault", type="invoke", f=self.f, args=arguments)
        before = _probe(operations, breakage, timeout=_PATIENT_S)
        since = clock.now_ns()
        breakage.apply()
        receipt = Receipt(since, before, _probe(operations, breakage, timeout=_IMPATIENT_S))
        proof: dict[str, Any] = {"before": dict(before), "after": dict(receipt.after)}
        fields = {"f": self.f, "args": arguments, "since": since, "proof": proof}
        if receipt.still or not receipt.lost:
            breakage.undo()
            operations.recorder.record("fault", type="info", **fields)
            still = ", ".join(receipt.still)
            why = f"still reachable: {still}" if still else f"no probe worked before: {before}"
            raise FaultNotProven(f"{self!r}: its effect was not seen; {why}")
        operations.recorder.record("fault", type="ok", **fields)

        def heal() -> None:
            breakage.undo()
            operations.recorder.record("fault", type="heal", f=self.f, args=arguments)

        return Guard(self, receipt, heal)


def _probe(operations: Operations, breakage: Breakage, *, timeout: float) -> dict[str, str]:
    seen: dict[str, str] = {}
    for source, targets in breakage.probes.items():
        results = operations.reach(source, targets, timeout)
        for (host, port), outcome in zip(targets, results, strict=True):
            seen[f"{source} -> {host}:{port}"] = outcome
    return seen
