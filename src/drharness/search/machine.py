"""A state machine of Hypothesis that breaks, heals and carries out a procedure, to be subclassed.

Every rule adds one action, as data, and plays it at once on a deployment of the example's own. At
the end everything is brought to rest and judged. What is drawn depends on the actions before it
alone, never on what they came to: in real time that differs from one time to the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar, Protocol, TypeVar, cast

from hypothesis import settings as Settings
from hypothesis import stateful
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from drharness.deployment import evidence
from drharness.deployment.deployment import Deployment
from drharness.deployment.pool import Pool
from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.kernel import clock
from drharness.schedule import trial
from drharness.schedule.actions import Action, Finish, Heal, Inject, Next
from drharness.schedule.interpreter import Playing
from drharness.schedule.procedure import ProcedureUse
from drharness.schedule.schedule import Schedule
from drharness.search.alphabet import DISASTERS, FAULTS
from drharness.search.drills import SETTINGS, is_last_look
from drharness.search.strategies import MOST_FAULTS, actions
from drharness.topology import Topology

F = TypeVar("F", bound=Callable[..., None])


class Lab(Protocol):
    """What the fixture ``dr_lab`` is."""

    def deployment(
        self, topology: Topology | None = None
    ) -> AbstractContextManager[Deployment, bool | None]:
        """A context with a deployment of its own."""


def _drawn(choose: Callable[[Any], SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Drawn as the machine says, which knows the actions before this one."""
    return st.runner().flatmap(choose)


# Decorators of Hypothesis for rules without bundles, whose results they would type.
_rule = cast("Callable[..., Callable[[F], F]]", stateful.rule)
_first = cast("Callable[..., Callable[[F], F]]", stateful.initialize)
_if: Callable[[Callable[[Any], bool]], Callable[[F], F]] = stateful.precondition


class DrMachine(stateful.RuleBasedStateMachine):
    """The front end: subclass it, change what it says, and run it with :func:`run`.

    :cvar procedure: what the operator carries out, slips included
    :cvar topology: of the deployments; None: the guide's
    :cvar rate: writes per second of the traffic; None: the timing profile's
    :cvar faults: what may break, the simplest first
    :cvar most_faults: how many may be injected in one example
    :cvar source: where deployments come from: a pool of that topology, or the fixture ``dr_lab``
    :ivar actions: what was done in this example, in order
    """

    procedure: ClassVar[ProcedureUse] = ProcedureUse()
    topology: ClassVar[Topology | None] = None
    rate: ClassVar[float | None] = None
    faults: ClassVar[Sequence[Fault]] = FAULTS
    most_faults: ClassVar[int] = MOST_FAULTS
    source: ClassVar[Pool | Lab | None] = None
    # The last failure of this process and its schedule: Hypothesis repeats that to print it.
    _failed: ClassVar[tuple[Schedule, str] | None] = None

    def __init__(self) -> None:
        """Nothing is started before the first action."""
        super().__init__()
        self.actions: list[Action] = []
        self._begun = clock.Deadline(0)
        self._stack = ExitStack()
        self._playing: Playing | None = None
        self._deployment: Deployment | None = None
        self._before = sys.exc_info()[1]
        self._is_last_look = is_last_look()

    # -- what was done, as data ------------------------------------------------------------

    @property
    def schedule(self) -> Schedule:
        """The actions until now, with what is needed to play them again."""
        topology = Topology.guide() if self.topology is None else self.topology
        return Schedule(tuple(self.actions), self.procedure, topology, self.rate)

    @property
    def injected(self) -> list[Fault]:
        """The faults of the actions until now."""
        return [action.fault for action in self.actions if isinstance(action, Inject)]

    @property
    def broken(self) -> list[int]:
        """Numbers (from 1) of the injected faults that no action has healed since."""
        found: set[int] = set()
        count = 0
        for action in self.actions:
            if isinstance(action, Inject):
                count += 1
                found.add(count)
            elif isinstance(action, Heal):
                found -= found if action.which is None else {action.which}
        return sorted(found)

    def _has(self, kind: type[Action]) -> bool:
        return any(isinstance(action, kind) for action in self.actions)

    # -- rules -----------------------------------------------------------------------------

    @_first(fault=_drawn(lambda machine: st.sampled_from([*machine.disasters(), None])))
    def disaster(self, fault: Fault | None) -> None:
        """Mostly, the day begins with what the procedure is for."""
        if fault is not None:
            self.do(Inject(fault))

    @_rule(action=_drawn(lambda machine: actions(faults=machine.left(), kinds=["inject"])))
    @_if(lambda machine: bool(machine.left()))
    def inject(self, action: Action) -> None:
        """Something breaks that is not broken."""
        self.do(action)

    @_rule(action=_drawn(lambda machine: st.sampled_from([None, *machine.broken]).map(Heal)))
    @_if(lambda machine: bool(machine.broken))
    def heal(self, action: Action) -> None:
        """Something of what is broken is mended, or all."""
        self.do(action)

    @_rule(action=actions(kinds=["next"]))
    def next(self, action: Action) -> None:
        """The operator takes the next steps."""
        self.do(action)

    @_rule()
    @_if(lambda machine: not machine.actions or machine.actions[-1] != Finish())
    def finish(self) -> None:
        """The operator takes all steps that are left."""
        self.do(Finish())

    @_rule(action=actions(kinds=["crash"]))
    @_if(lambda machine: machine._has(Next))
    def crash(self, action: Action) -> None:
        """The controller dies."""
        self.do(action)

    @_rule(action=actions(kinds=["wait"]))
    @_if(lambda machine: bool(machine.actions))
    def wait(self, action: Action) -> None:
        """Clients go on, and nothing else."""
        self.do(action)

    @_rule(action=actions(kinds=["operate"]))
    def operate(self, action: Action) -> None:
        """A client does one operation beside the traffic."""
        self.do(action)

    def disasters(self) -> Sequence[Fault]:
        """What an example may begin with: of the procedure's own disasters those in `faults`."""
        return [f for f in DISASTERS.get(self.procedure.name, ()) if f in self.faults]

    def left(self) -> Sequence[Fault]:
        """What may break next; empty if enough has."""
        if len(self.injected) >= self.most_faults:
            return []
        in_force = [self.injected[number - 1] for number in self.broken]
        return [fault for fault in self.faults if fault not in in_force]

    # -- what they come to -----------------------------------------------------------------

    def do(self, action: Action) -> None:
        """Add an action to the schedule, and play it; for rules of one's own.

        :raises DrHarnessError: the deployment did not come up, or has gone
        """
        self.actions.append(action)
        if not self._remembers():
            self._catch_up()

    @property
    def deployment(self) -> Deployment:
        """The example's deployment, for rules and invariants of one's own."""
        self._catch_up()
        assert self._deployment is not None
        return self._deployment

    def teardown(self) -> None:
        """Bring everything to rest, judge, and fail unless it passed.

        :raises AssertionError: with the findings, the schedule's path and how to replay it
        """
        error = sys.exc_info()[1]
        if error is not None and error is not self._before:  # Hypothesis gave up, or a rule failed
            self._stack.__exit__(type(error), error, error.__traceback__)
            return
        said = self._remembers(all_of=True)
        with self._stack:
            if not said and self.actions:
                said = self._verdict()
                DrMachine._failed = (self.schedule, said) if said else DrMachine._failed
            assert not said, said

    def _remembers(self, *, all_of: bool = False) -> str:
        """What an example came to that begins with these actions, if this one only repeats it."""
        if not self._is_last_look or self._playing is not None or DrMachine._failed is None:
            return ""
        failed, text = DrMachine._failed
        count = None if all_of else len(self.actions)
        same = Schedule(failed.actions[:count], failed.procedure, failed.topology, failed.rate)
        return text if same == self.schedule else ""

    def _catch_up(self) -> None:
        """Play what was not played yet."""
        if self._playing is None:
            self._deployment = self._stack.enter_context(_lease(self.source, self.topology))
            self._playing = Playing(self.schedule, self._deployment)
        assert self._deployment is not None
        while len(self._playing.acts) < len(self.actions):
            trial.write(self.schedule, self._deployment.evidence)  # should nobody come to judge
            self._playing.act(self.actions[len(self._playing.acts)])

    def _verdict(self) -> str:
        """What is wrong; empty if nothing is."""
        self._catch_up()
        assert self._playing is not None
        assert self._deployment is not None
        tried = trial.judged(self._playing.settle(), self._deployment, self._begun)
        if tried.ok:
            return ""
        evidence.keep(tried.run)
        return str(tried)


def run(machine: type[DrMachine], source: Pool | Lab, *, settings: Settings | None = None) -> None:
    """Run a machine's examples; a failing one raises what its teardown said.

    :param source: where deployments come from
    :param settings: default :data:`drharness.search.drills.SETTINGS`
    :raises UsageError: not a machine
    """
    if not (isinstance(machine, type) and issubclass(machine, DrMachine)):
        raise UsageError(f"machine: expected a subclass of DrMachine, got {machine!r}.")
    before = machine.source
    machine.source = source
    try:
        stateful.run_state_machine_as_test(machine, settings=settings or SETTINGS)
    finally:
        machine.source = before


def _lease(
    source: Pool | Lab | None, topology: Topology | None
) -> AbstractContextManager[Deployment, bool | None]:
    if source is None:
        raise UsageError(
            "source: expected a Pool or dr_lab, got none; use dr_lab.run(Machine) or "
            "drharness.search.machine.run(Machine, pool)."
        )
    if not isinstance(source, Pool):
        return source.deployment(topology)
    wanted = Topology.guide() if topology is None else topology
    if source.topology != wanted:
        raise UsageError(f"source: expected a pool of {wanted!r}, got one of {source.topology!r}.")
    return source.lease()
