"""The run of a procedure: every step recorded, timed and proven, and one at a time if wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from drharness.checks.models import acked
from drharness.checks.rto import recoveries, slowest
from drharness.deployment.deployment import Deployment
from drharness.deployment.operations import Operations
from drharness.deployment.requests import Moment
from drharness.errors import ControllerDied, DrHarnessError, UsageError
from drharness.history.records import Operation
from drharness.kernel import clock, rng
from drharness.kernel.waiting import hold
from drharness.procedures.standbys import FOLLOW
from drharness.procedures.step import Context, Options, Step, StepRefused
from drharness.topology import Topology


@dataclass(frozen=True)
class StepResult:
    """How a step ended: ``ok``, ``fail`` or ``refused``, with its text; seconds it took.

    ``interrupted``: the controller died in it. ``seen`` is what proved that it was done.
    """

    id: str
    type: str
    seconds: float
    text: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run of a procedure ended.

    :ivar status: ``ok``, ``fail``, ``refused`` or ``interrupted`` (its controller died); ``text``
        says why, ``step`` where
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


class Runnable(Protocol):
    """What a run needs to know of its procedure."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def to(self) -> str:
        """Region that becomes active."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """What it does."""

    @property
    def options(self) -> Options:
        """Its parameters."""

    @property
    def interruption(self) -> Moment | None:
        """When its controller dies, if it does."""


class Run:
    """One run of a procedure, advanced by :meth:`next` until it is :attr:`done`.

    Between two steps anything may happen to the deployment. A deployment has one run at a time.

    :ivar steps: how each step that was begun ended
    :ivar interrupted: when its controller died; empty while it lives
    """

    def __init__(self, procedure: Runnable, deployment: Deployment) -> None:
        topology, operations = deployment.topology, deployment.operations
        topology.number(procedure.to)
        old, ousted = (_before(operations, procedure, what) for what in ("database", "framework"))
        deployment.plans += 1
        self.steps: list[StepResult] = []
        self.interrupted = ""
        self._deployment = deployment
        self._operations = operations
        self._code = repr(procedure)
        self._left = _steps(procedure, topology)
        self._ids = [s.id for s in self._left]
        self._ended = False
        self._context = Context(
            self._operations,
            procedure.to,
            ousted if procedure.options.database == "stay" else old,
            deployment.plans,
            rng.token(),
            procedure.options,
            ousted,
        )
        # What stays where it is makes it another procedure: other steps are due.
        stays = "(database='stay')" if procedure.options.database == "stay" else ""
        name = f"{procedure.name}{stays}"
        self._plan = {"plan": deployment.plans, "procedure": name, "to": procedure.to}
        self._operations.requests.begin(deployment.plans)
        if procedure.interruption is not None:
            self._operations.requests.at(procedure.interruption, _die)
        self._operations.recorder.record(
            "plan", type="invoke", steps=self._ids, code=self._code, **self._plan
        )
        if not self._left:
            self._end()

    @property
    def done(self) -> bool:
        """Whether it is over: nothing left to do, a step failed or refused, or it was killed."""
        return self._ended

    @property
    def following(self) -> str:
        """Id of the step that :meth:`next` does; empty when it is over."""
        return "" if self._ended else self._left[0].id

    def next(self) -> StepResult:
        """Do the next step.

        :raises UsageError: the run is over
        """
        if self._ended:
            raise UsageError(f"{self._code}: this run is over; begin another one.")
        step = self._left.pop(0)
        started, before = clock.Deadline(0), len(self.steps)
        try:
            _wait(step, self._context)
            with self._operations.requests.of(step.id):
                self.steps.append(_carry_out(step, self._context))
            self._operations.requests.ended(step.id)
        except ControllerDied:
            if len(self.steps) == before:
                self.steps.append(StepResult(step.id, "interrupted", started.waited))
            self.die()
        else:
            if not self._left or self.steps[-1].type != "ok":
                self._end()
        return self.steps[-1]

    def die(self) -> None:
        """The controller dies here: the history has no end of this run, and nobody goes on."""
        self._ended = True
        last = self.steps[-1] if self.steps else None
        how = "within" if last and last.type == "interrupted" else "after"
        self.interrupted = f"{how} step {last.id}" if last else "before the first step"
        self._left = []
        self._over()

    def _end(self) -> None:
        self._ended = True
        type_ = self.steps[-1].type if self.steps else "ok"
        forced = {s.id: s.seen["why"] for s in self.steps if s.seen.get("forced")}
        cause = {"forced": forced} if forced else {}
        self._operations.recorder.record("plan", type=type_, steps=self._ids, **cause, **self._plan)
        self._over()

    def _over(self) -> None:
        for moment in self._operations.requests.end():
            self._operations.recorder.record("note", text=f"this never came: {moment}")
        if any(s.id == "promote" for s in self.steps) and self._promoted():
            self._operations.moved(database=self._context.to)

    def _promoted(self) -> bool:
        """Whether the promotion took effect, whatever its controller has heard of it."""
        if any(s.id == "promote" and s.type == "ok" for s in self.steps):
            return True
        try:
            return bool(self._operations.database_status(self._context.to)["writable"])
        except DrHarnessError:
            return False

    def outcome(self) -> Outcome:
        """How it ended, with what was lost and how long it took, as of now."""
        asked = clock.now_ns()
        present = _present(self._deployment)
        history = self._deployment.history
        last = self.steps[-1] if self.steps else StepResult("", "ok", 0.0)
        status = "interrupted" if self.interrupted else last.type
        died = f"the controller was killed {self.interrupted}" if self.interrupted else ""
        return Outcome(
            procedure=self._code,
            status=status,
            steps=tuple(self.steps),
            rto=slowest(recoveries(history)),
            lost=tuple(w for w in acked(history) if w.done < asked and w.opid not in present),
            step=last.id if status != "ok" else "",
            text=died or last.text,
        )


def _steps(procedure: Runnable, topology: Topology) -> list[Step]:
    """Its steps; one that says nothing of further regions lets their standbys follow at last."""
    options, more = procedure.options, len(topology.regions) > 2
    usual = more and options.regions == 2 and options.database == "move"
    return [*procedure.steps, *([FOLLOW] if usual else [])]


def _before(operations: Operations, procedure: Runnable, what: str) -> str:
    """The region that has the database, or whose Framework is active; before this, if it is ``to``.

    :raises UsageError: it has been ``to`` from the beginning, and which of several is meant to be
        fenced nobody knows
    """
    to, topology = procedure.to, operations.topology
    now = operations.active if what == "database" else operations.framework
    if now != to:
        return now
    others = topology.others(to)
    if what in operations.former or len(others) == 1:
        return operations.former.get(what, others[0])
    kept = procedure.options.database if what == "database" else procedure.options.framework
    if kept == "stay":
        return others[0]
    raise UsageError(
        f"to: {to} is the active region already; expected one of {', '.join(others)}, "
        "which takes over from it."
    )


def _die() -> NoReturn:
    raise ControllerDied


def _present(deployment: Deployment) -> Collection[str]:
    """Operation ids in the active database; traffic may go on meanwhile."""
    try:
        dump = deployment.operations.database(deployment.active, "contents:dump")
    except DrHarnessError as error:
        deployment.recorder.record("note", text=f"no database to read back from: {error}")
        return ()
    ops: dict[str, int] = dump["ops"]
    return ops


def _wait(step: Step, context: Context) -> None:
    if step.delay:
        text = f"step {step.id} is put off for {step.delay:g} s"
        context.operations.recorder.record("note", text=text)
        hold(step.delay, f"the pause before {step.id}")


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
    return StepResult(step.id, "ok", started.waited, seen=result)
