"""Hypothesis strategies for schedules: short stories around a procedure, the simplest first.

A schedule of these takes a few seconds on the fast timing profile. Times come from a small set and
faults from a list, so that what was found can be told, and made smaller by leaving out.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from drharness.faults.model import Fault
from drharness.kernel import validate
from drharness.procedures import BY_NAME
from drharness.schedule.actions import (
    OPERATIONS,
    VIAS,
    WAITS,
    Action,
    Crash,
    Finish,
    Heal,
    Inject,
    Next,
    Operate,
    Wait,
)
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.search.alphabet import DISASTERS, FAULTS, OUTAGES, STARTS
from drharness.topology import Topology

MOST_FAULTS = 3  # most real failures need no more, and each costs time
MOST_SLIPS = 2
_KEYS = ("board/1", "board/2")
_STEPS = 6  # at a time; the longest procedure has eight, and one that is finished has all
_CALLS = (0, 0, 1, 2, 3, 5)  # 0: between two steps
_DELAYS = (0.3, 1.0)
_PLOT = 6  # actions of a plot with what may come between, at most
# How long something is out, and how long it is back: who does not notice at once has a timer.
_OUT: tuple[tuple[Action, ...], ...] = ((Wait(1.0),), (Wait(0.3),), (Wait(2.0),))
_BACK: tuple[tuple[Action, ...], ...] = ((), (Wait(1.0),))
# How often each kind of action is drawn, the simplest first.
_KINDS = (*["next"] * 4, *["inject"] * 3, *["heal"] * 2, "wait", "crash", "finish", "operate")


def actions(
    *, faults: Sequence[Fault] = FAULTS, kinds: Sequence[str] = _KINDS
) -> SearchStrategy[Action]:
    """One action.

    :param faults: what may break, the simplest first
    :param kinds: names of actions, one as often as it is drawn more than others
    """
    of: dict[str, SearchStrategy[Action]] = {
        "next": st.integers(1, _STEPS).map(Next),
        "inject": st.sampled_from(list(faults)).map(Inject),
        "heal": st.sampled_from([None, 1, 2, 3]).map(Heal),
        "wait": st.sampled_from(WAITS[:3]).map(Wait),
        "crash": st.builds(Crash, st.sampled_from(_CALLS), st.booleans()),
        "finish": st.just(Finish()),
        "operate": st.builds(
            Operate, st.sampled_from(OPERATIONS), st.sampled_from(_KEYS), st.sampled_from(VIAS)
        ),
    }
    names = [validate.choice("kinds", kind, of) for kind in kinds]
    return st.sampled_from(names).flatmap(of.__getitem__)


def slips(
    procedure: str = "full-failover", *, topology: Topology | None = None
) -> SearchStrategy[tuple[Slip, ...]]:
    """Where an operator slips: one or two of leaving out, doing twice, swapping, being late.

    :param topology: of the deployment, default the guide's
    """
    use = ProcedureUse.on(Topology.guide() if topology is None else topology, procedure)
    steps = [s.id for s in use.procedure.steps]
    step = st.sampled_from(steps)
    neighbours = st.integers(0, len(steps) - 2)
    one = st.one_of(
        st.builds(Slip, st.just("without"), step),
        st.builds(Slip, st.just("repeated"), step),
        neighbours.map(lambda i: Slip("swapped", steps[i], steps[i + 1])),
        st.builds(Slip, st.just("delayed"), step, seconds=st.sampled_from(_DELAYS)),
    )
    # Of one step only once: what was left out can neither be late nor change places.
    return st.lists(one, min_size=1, max_size=MOST_SLIPS).map(_apart)


def _apart(found: list[Slip]) -> tuple[Slip, ...]:
    out: list[Slip] = []
    for slip in found:
        taken = {name for one in out for name in (one.step, one.other)}
        if not {slip.step, slip.other} - {""} & taken:
            out.append(slip)
    return tuple(out)


def schedules(
    procedure: str = "full-failover",
    *,
    slips: bool = False,
    topology: Topology | None = None,
    faults: Sequence[Fault] = FAULTS,
    most: int = 8,
) -> SearchStrategy[Schedule]:
    """A schedule: mostly the day that the procedure is for, and other things around its steps.

    A third of it is anything. Two plots are a third each, for what no chance would put together
    often enough: a fault that comes back after it was healed (what is kept from the first time),
    and somebody who starts while something is out (what is taken for granted at a start).

    :param procedure: its name; it moves what is active to the second region
    :param slips: whether the operator slips; without, the procedure is the shipped one
    :param topology: of the deployment, default the guide's
    :param faults: what may break besides, the simplest first
    :param most: actions at most
    """
    topology = Topology.guide() if topology is None else topology
    validate.choice("procedure", procedure, BY_NAME)
    return st.builds(
        partial(_schedule, procedure, topology),
        disaster=st.sampled_from([*DISASTERS.get(procedure, ()), None]),
        at=st.sampled_from((0, 1, 2, most)),
        body=_bodies(faults, most - 2),
        finishes=st.sampled_from((False, True, True)),
        slipped=_slips(procedure, topology=topology) if slips else st.just(()),
    )


_slips = slips


@dataclass(frozen=True)
class _Mend(Action):
    """A heal that names its fault: the number is known once all that is injected is."""

    fault: Fault


def _bodies(faults: Sequence[Fault], most: int) -> SearchStrategy[list[Action]]:
    """What happens around the disaster and the procedure: anything, or a plot."""
    found = [st.lists(actions(faults=faults), min_size=1, max_size=max(1, min(4, most)))]
    if most >= _PLOT:
        outages = [fault for fault in OUTAGES if fault in faults]
        starts = [fault for fault in STARTS if fault in faults]
        needed = st.sampled_from(outages or list(faults))
        during, then = st.sampled_from(_OUT), st.sampled_from(_BACK)
        plots = [st.builds(_again, needed | st.sampled_from(list(faults)), during, then)]
        if outages and starts:
            begins = st.sampled_from(starts)
            plots.append(st.builds(_amid, needed, begins, during, then, st.booleans()))
        between = st.lists(actions(kinds=[k for k in _KINDS if k != "inject"]), max_size=1)
        found += [st.builds(_with, plot, between, st.integers(0, _PLOT - 1)) for plot in plots]
    return st.one_of(found)


def _again(fault: Fault, during: tuple[Action, ...], then: tuple[Action, ...]) -> list[Action]:
    """A fault that is healed and comes back."""
    return [Inject(fault), *during, _Mend(fault), *then, Inject(fault)]


def _amid(
    outage: Fault, start: Fault, during: tuple[Action, ...], then: tuple[Action, ...], ends: bool
) -> list[Action]:
    """Somebody starts while something is out."""
    happens = [Inject(outage), *during, Inject(start), *then]
    return [*happens, *([_Mend(outage)] if ends else [])]


def _with(plot: list[Action], between: list[Action], at: int) -> list[Action]:
    return [*plot[:at], *between, *plot[at:]]


def _schedule(
    procedure: str,
    topology: Topology,
    *,
    disaster: Fault | None,
    at: int,
    body: list[Action],
    finishes: bool,
    slipped: tuple[Slip, ...],
) -> Schedule:
    happens = list(body)
    if disaster is not None:
        happens.insert(min(at, len(body)), Inject(disaster))
    taken = any(isinstance(action, Next | Finish | Crash) for action in happens)
    if finishes or (slipped and not taken):  # an operator who does nothing cannot slip
        happens.append(Finish())
    use = ProcedureUse.on(topology, procedure, slipped)
    return Schedule(tidy(happens), use, topology)


def tidy(body: Sequence[Action]) -> tuple[Action, ...]:
    """Without what says nothing: faults in force or too many, heals and deaths of nothing."""
    out: list[Action] = []
    injected: list[Fault] = []
    broken: set[int] = set()
    for action in body:
        if isinstance(action, Inject):
            if len(injected) == MOST_FAULTS or _number(action.fault, injected, broken):
                continue
            injected.append(action.fault)
            broken.add(len(injected))
        elif isinstance(action, _Mend):
            number = _number(action.fault, injected, broken)
            if not number:
                continue
            broken.discard(number)
            action = Heal(number)
        elif isinstance(action, Heal):
            mended = broken if action.which is None else broken & {action.which}
            if not mended:
                continue
            broken = broken - mended
        elif isinstance(action, Finish) and out and isinstance(out[-1], Finish):
            continue
        elif action in (Crash(), Crash(0, sent=False)):
            action = Crash()
            if not any(isinstance(one, Next) for one in out):
                continue  # no procedure is under way
        out.append(action)
    return tuple(out) or (Next(),)


def _number(fault: Fault, injected: Sequence[Fault], broken: Set[int]) -> int:
    """By which a fault in force is healed; 0 if it is not in force."""
    return next((n for n in broken if injected[n - 1] == fault), 0)
