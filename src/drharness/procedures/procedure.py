"""A procedure as a value, its variations, and its run: every step recorded, timed and proven."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from drharness.checks.models import acked
from drharness.checks.rto import recoveries, slowest
from drharness.deployment.deployment import Deployment
from drharness.errors import DrHarnessError
from drharness.history.records import Operation
from drharness.kernel import clock, rng, validate
from drharness.procedures.step import Context, Step, StepRefused


@dataclass(frozen=True)
class StepResult:
    """How a step ended: ``ok``, ``fail`` or ``refused``, with its text; seconds it took."""

    id: str
    type: str
    seconds: float
    text: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a run of a procedure ended.

    :ivar status: ``ok``, ``fail`` or ``refused``; ``text`` says why, ``step`` where
    :ivar steps: how each step that was begun ended
    :ivar rto: seconds from the fault's beginning until every living region could write again; None
        if there was no fault or that never came
    :ivar lost: acknowledged changes that are not there any more (all, if no database answers)
    """

    procedure: str
    status: str
    steps: tuple[StepResult, ...]
    rto: float | None
    lost: tuple[Operation, ...]
    step: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether every step succeeded."""
        return self.status == "ok"


@dataclass(frozen=True, repr=False)
class Procedure:
    """A sequence of steps towards making region ``to`` the active one.

    :ivar variations: how it differs from the shipped one, as code
    """

    name: str
    to: str
    steps: tuple[Step, ...]
    variations: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"procedures.{self.name}(to={self.to!r})" + "".join(self.variations)

    def _index(self, step: str) -> int:
        ids = [s.id for s in self.steps]
        return ids.index(validate.choice("step", step, ids))

    def _varied(self, steps: Sequence[Step], code: str) -> Procedure:
        return dataclasses.replace(
            self, steps=tuple(steps), variations=(*self.variations, f".{code}")
        )

    def without(self, step: str) -> Procedure:
        """The same without one step.

        :raises UsageError: no such step
        """
        index = self._index(step)
        return self._varied(self.steps[:index] + self.steps[index + 1 :], f"without({step!r})")

    def swapped(self, one: str, other: str) -> Procedure:
        """The same with two steps in each other's place.

        :raises UsageError: no such step
        """
        a, b = self._index(one), self._index(other)
        steps = list(self.steps)
        steps[a], steps[b] = steps[b], steps[a]
        return self._varied(steps, f"swapped({one!r}, {other!r})")

    def carry_out(self, deployment: Deployment) -> Outcome:
        """Run all steps; the first that fails or refuses ends the run. Can be run again."""
        topology = deployment.topology
        topology.number(self.to)
        deployment.plans += 1
        operations = deployment.operations
        context = Context(
            operations, self.to, topology.other(self.to), deployment.plans, rng.token()
        )
        plan = {"plan": context.plan, "procedure": self.name, "to": self.to}
        ids = [s.id for s in self.steps]
        operations.recorder.record("plan", type="invoke", steps=ids, code=repr(self), **plan)
        done: list[StepResult] = []
        for step in self.steps:
            done.append(_carry_out(step, context))
            if done[-1].type != "ok":
                break
        last = done[-1] if done else StepResult("", "ok", 0.0)
        operations.recorder.record("plan", type=last.type, steps=ids, **plan)
        if any(r.id == "promote" and r.type == "ok" for r in done):
            operations.active = self.to
        return self._outcome(deployment, done, last)

    def _outcome(
        self, deployment: Deployment, done: Sequence[StepResult], last: StepResult
    ) -> Outcome:
        asked = clock.now_ns()
        present = _present(deployment)
        history = deployment.history
        failed = last.type != "ok"
        return Outcome(
            procedure=repr(self),
            status=last.type,
            steps=tuple(done),
            rto=slowest(recoveries(history)),
            lost=tuple(w for w in acked(history) if w.done < asked and w.opid not in present),
            step=last.id if failed else "",
            text=last.text if failed else "",
        )


def _present(deployment: Deployment) -> Collection[str]:
    """Operation ids in the active database; traffic may go on meanwhile."""
    try:
        dump = deployment.operations.database(deployment.active, "contents:dump")
    except DrHarnessError as error:
        deployment.recorder.record("note", text=f"no database to read back from: {error}")
        return ()
    ops: dict[str, int] = dump["ops"]
    return ops


def _carry_out(step: Step, context: Context) -> StepResult:
    record = context.operations.recorder.record
    target = step.target.format(to=context.to, old=context.old)
    fields = {"plan": context.plan, "id": step.id, "clause": step.clause, "target": target}
    record("step", type="invoke", **fields)
    started = clock.Deadline(0)
    try:
        result = step.action(context)
    except StepRefused as refusal:
        record("step", type="refused", text=str(refusal), **fields)
        return StepResult(step.id, "refused", started.waited, str(refusal))
    except DrHarnessError as error:
        record("step", type="fail", text=str(error), **fields)
        return StepResult(step.id, "fail", started.waited, str(error))
    record("step", type="ok", result=result, **fields)
    return StepResult(step.id, "ok", started.waited)
