"""What every fault has: injection with proof, a receipt, and a guard that heals it."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError, FaultNotProven
from drharness.kernel import clock

Target = tuple[str, int]
Seen = Mapping[str, str]
Look = Callable[[bool], Seen]
_PATIENT_S = 2.0  # what answers does so at once; a busy machine may be slow to notice
_IMPATIENT_S = (0.01, 0.3)  # what is dead is silent: each probe waits that long


@dataclass(frozen=True)
class Receipt:
    """Proof that a fault took effect.

    :ivar since: ns of CLOCK_MONOTONIC just before the effect began; times count from here
    :ivar before: probe to result while all was well; ``after``: the same probes, now
    :ivar proven: ns at which the effect had been seen
    """

    since: int
    before: Seen
    after: Seen
    proven: int

    @property
    def lost(self) -> list[str]:
        """Probes that succeeded before and do not now."""
        return [k for k, seen in self.before.items() if seen == "ok" and self.after[k] != "ok"]

    @property
    def changed(self) -> list[str]:
        """Probes whose result is another one now."""
        return [k for k, seen in self.before.items() if self.after.get(k) != seen]


@dataclass
class Guard:
    """A fault in force; as a context it heals at the end of the block.

    :ivar targets: ids of what it touched
    """

    fault: Fault
    receipt: Receipt
    _heal: Callable[[], None]
    healed: bool = False
    targets: Sequence[str] = ()

    def heal(self) -> None:
        """Undo the fault, once."""
        if not self.healed:
            self._heal()
            self.healed = True

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


def silenced(before: Seen, after: Seen) -> str:
    """Proven if every probe that succeeded before fails now, and one did succeed."""
    still = [k for k, seen in before.items() if seen == "ok" and after.get(k) == "ok"]
    if still:
        return f"still reachable: {', '.join(still)}"
    return "" if "ok" in before.values() else f"no probe worked before: {dict(before)}"


def changed(before: Seen, after: Seen) -> str:
    """Proven if every probe has another result than before."""
    same = [f"{k}: {seen}" for k, seen in before.items() if after.get(k) == seen]
    if same:
        return f"as before: {', '.join(same)}"
    return "" if before else "nothing was probed"


@dataclass(frozen=True)
class Breakage:
    """What a fault is about to do to one deployment, fixed before anything is touched.

    :ivar look: probes the deployment, probe name to result; called with true before (be patient,
        what is well answers) and with false after
    :ivar apply: makes it so, or raises and has changed nothing
    :ivar undo: undoes exactly that, and sees it undone
    :ivar targets: ids of the VMs, components or regions that are touched, for the history
    :ivar missing: compares what was seen before and after; what is missing to the proof, else ""
    """

    look: Look
    apply: Callable[[], None]
    undo: Callable[[], None]
    targets: Sequence[str] = ()
    missing: Callable[[Seen, Seen], str] = silenced


@dataclass(frozen=True)
class Fault:
    """Base of all faults; ``repr`` is Python code. Subclasses plan a :class:`Breakage`."""

    @property
    def f(self) -> str:
        """Name in histories: the class name in snake case, ``region_down``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def kebab(self) -> str:
        """What it is called in files and on the command line: ``region-down``."""
        return self.f.replace("_", "-")

    @abc.abstractmethod
    def breakage(self, operations: Operations) -> Breakage:
        """Say what would be done.

        :raises UsageError: a bad target; names the argument, its value and what was expected
        """

    def inject(self, operations: Operations) -> Guard:
        """Probe, break, probe again, and record all of it.

        :raises FaultNotProven: its effect was not seen; what was done is undone
        """
        breakage = self.breakage(operations)
        record = operations.recorder.record
        fields: dict[str, Any] = {
            "f": self.f,
            "args": asdict(self),
            "targets": list(breakage.targets),
        }
        record("fault", type="invoke", **fields)
        try:
            before = breakage.look(True)
            since = clock.now_ns()
            breakage.apply()
        except DrHarnessError:  # it has changed nothing
            record("fault", type="info", **fields)
            raise
        try:
            receipt = Receipt(since, before, breakage.look(False), clock.now_ns())
        except DrHarnessError:
            breakage.undo()
            record("fault", type="info", **fields)
            raise
        fields["since"] = receipt.since
        fields["proof"] = {"before": dict(receipt.before), "after": dict(receipt.after)}
        missing = breakage.missing(receipt.before, receipt.after)
        if missing:
            breakage.undo()
            record("fault", type="info", **fields)
            raise FaultNotProven(f"{self!r}: its effect was not seen; {missing}")
        record("fault", type="ok", **fields)

        def heal() -> None:
            breakage.undo()
            healed = {name: fields[name] for name in ("f", "args", "targets")}
            record("fault", type="heal", **healed)

        return Guard(self, receipt, heal, targets=tuple(breakage.targets))


def tcp(operations: Operations, probes: Mapping[str, Sequence[Target]]) -> Look:
    """New TCP connections: which VM tries which (address, port) targets, before and after.

    What is dead is silent, so the probes after wait; how long is measured by those before: what
    answered them all in a few milliseconds does not need longer now.
    """
    took = [_IMPATIENT_S[1]]

    def look(patient: bool) -> Seen:
        started = clock.now()
        low, high = _IMPATIENT_S
        timeout = _PATIENT_S if patient else min(high, max(low, took[0]))
        found = operations.reach_all(probes, timeout)
        if patient:
            took[0] = clock.now() - started
        return found

    return look
