"""The controller's own death: between two steps of a procedure, or within one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from drharness.deployment.operations import Operations
from drharness.deployment.requests import Moment
from drharness.errors import ControllerDied, FaultNotProven, UsageError
from drharness.faults.model import Breakage, Fault, Receipt
from drharness.kernel import clock

_PROBE = "controller -> plan"


@dataclass(frozen=True)
class ControllerKilled(Fault):
    """The controller is killed while it carries out the next procedure; all it knew is lost.

    The run ends there with status ``interrupted``, and the history has no end of it.

    :ivar after: id of the step after which it dies (neither given: ``promote``); or
    :ivar within: id of the step while which it dies, at its request number ``call`` to a VM
    :ivar sent: that request has left and its answer is not read; false: it does not leave
    """

    after: str = ""
    within: str = ""
    call: int = 1
    sent: bool = True

    def __post_init__(self) -> None:
        self.moment  # noqa: B018 - bad values are told now

    @property
    def moment(self) -> Moment:
        """When it strikes."""
        after = self.after if self.after or self.within else "promote"
        return Moment(after, self.within, self.call, self.sent)

    def breakage(self, operations: Operations) -> Breakage:
        """Not to be had: it strikes only when a procedure comes to that moment."""
        raise UsageError(f"{self!r} strikes later than it is injected.")

    def inject(self, operations: Operations) -> ControllerGuard:  # type: ignore[override]
        """Arm it for the next run of a procedure; the receipt is made when it strikes."""
        operations.recorder.record("fault", type="invoke", f=self.f, args=asdict(self), targets=[])
        guard = ControllerGuard(self, operations)
        operations.requests.at(self.moment, guard.strike)
        return guard


class ControllerGuard:
    """A controller that will be killed, or was."""

    def __init__(self, fault: ControllerKilled, operations: Operations) -> None:
        self.fault = fault
        self.healed = False
        self._operations = operations
        self._receipt: Receipt | None = None

    @property
    def receipt(self) -> Receipt:
        """Proof that it was killed.

        :raises FaultNotProven: it was not
        """
        if self._receipt is None:
            raise FaultNotProven(f"{self.fault!r}: no procedure has come to that moment")
        return self._receipt

    def strike(self) -> NoReturn:
        """The moment has come."""
        now, moment = clock.now_ns(), self.fault.moment
        state = f"step {moment.step} {'done' if moment.after else 'under way'}"
        plan = f"no end of plan {self._operations.requests.plan}"
        self._receipt = Receipt(now, {_PROBE: state}, {_PROBE: plan}, now)
        proof = {"before": {_PROBE: state}, "after": {_PROBE: plan}}
        self._record("ok", since=now, proof=proof)
        raise ControllerDied

    def _record(self, type_: str, **more: Any) -> None:
        self._operations.recorder.record(
            "fault", type=type_, f=self.fault.f, args=asdict(self.fault), targets=[], **more
        )

    def heal(self) -> None:
        """There is a controller again; it knows nothing of what the other one did.

        :raises FaultNotProven: none was killed: the run proves nothing
        """
        if self.healed:
            return
        self.healed = True
        self._operations.requests.forget(self.strike)
        self._record("heal" if self._receipt else "info")
        if self._receipt is None:
            raise FaultNotProven(f"{self.fault!r}: no procedure came to that moment")

    def __enter__(self) -> ControllerGuard:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
