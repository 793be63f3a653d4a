"""What a schedule could be made into that is simpler, in the order in which it is tried.

Taking away comes before changing: what is gone nobody has to read. A fault that goes takes its
heals with it, and the numbers of later heals change, so that they still mean the same faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import MISSING, fields
from typing import TypeVar

from drharness.errors import UsageError
from drharness.faults.model import Fault
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
from drharness.topology import Topology

T = TypeVar("T")
_PAIRS = ("framework", "application")  # two VMs each; one of them is narrower
_PLACES = ("target", "source")
_LINE = ("one", "other")
_ENDS = (_LINE, ("source", "target"))  # of a cut or a line: two different ones


def without(schedule: Schedule, places: Collection[int]) -> Schedule:
    """The schedule without the actions at these places, counted from 0."""
    injected = [i for i, a in enumerate(schedule.actions) if isinstance(a, Inject)]
    stay = [n for n, i in enumerate(injected, start=1) if i not in places]
    numbers = {old: new for new, old in enumerate(stay, start=1)}
    left: list[Action] = []
    for i, action in enumerate(schedule.actions):
        if i in places:
            continue
        if isinstance(action, Heal) and action.which is not None:
            # One that heals what was never injected says nothing, and goes as well.
            if action.which not in numbers:
                continue
            action = Heal(numbers[action.which])
        left.append(action)
    return dataclasses.replace(schedule, actions=tuple(left))


def procedures(use: ProcedureUse) -> Iterator[ProcedureUse]:
    """A procedure with fewer slips, then with fewer options, then with milder slips."""
    if use.slips:
        yield from _used(use, slips=())
    if len(use.slips) > 1:
        for i in reversed(range(len(use.slips))):
            yield from _used(use, slips=_dropped(use.slips, i))
    if use.options:
        yield from _used(use, options={})
    if len(use.options) > 1:
        for name in reversed(list(use.options)):
            yield from _used(use, options={k: v for k, v in use.options.items() if k != name})
    for i, slip in enumerate(use.slips):
        for milder in _milder(slip):
            yield from _used(use, slips=(*use.slips[:i], milder, *use.slips[i + 1 :]))


def _used(use: ProcedureUse, **changes: object) -> Iterator[ProcedureUse]:
    """It, unless such a procedure cannot be: a step may have been there by another slip only."""
    try:
        yield dataclasses.replace(use, **changes)  # type: ignore[arg-type]
    except UsageError:
        return


def _dropped(values: Sequence[T], index: int) -> tuple[T, ...]:
    return (*values[:index], *values[index + 1 :])


def _milder(slip: Slip) -> Iterator[Slip]:
    for seconds in WAITS:
        if slip.kind == "delayed" and seconds < slip.seconds:
            yield dataclasses.replace(slip, seconds=seconds)


def surroundings(schedule: Schedule) -> Iterator[Schedule]:
    """The usual rate of writes; the guide's deployment, where nothing was replaced."""
    if schedule.rate is not None:
        yield dataclasses.replace(schedule, rate=None)
    usual = Topology.guide()
    if schedule.topology != usual and not schedule.topology.replaced:
        yield dataclasses.replace(schedule, topology=usual)


def merged(actions: Sequence[Action]) -> Iterator[tuple[Action, ...]]:
    """Two neighbours as one: steps with the steps after them, a wait with a wait."""
    for i in reversed(range(len(actions) - 1)):
        one = _together(actions[i], actions[i + 1])
        if one is not None:
            yield (*actions[:i], one, *actions[i + 2 :])


def _together(a: Action, b: Action) -> Action | None:
    if isinstance(a, Next | Finish) and isinstance(b, Finish):
        return b
    if isinstance(a, Next) and isinstance(b, Next):
        return Next(a.steps + b.steps)
    if isinstance(a, Wait) and isinstance(b, Wait):
        return Wait(max(a.seconds, b.seconds))
    if isinstance(a, Heal) and isinstance(b, Heal):
        return Heal()
    return None


def actions(action: Action) -> Iterator[Action]:
    """Simpler ones of the same kind, the simplest first."""
    if isinstance(action, Wait):
        yield from (Wait(s) for s in WAITS if s < action.seconds)
    elif isinstance(action, Heal) and action.which is not None:
        yield Heal()
    elif isinstance(action, Next):
        yield from map(Next, _fewer(action.steps, 1))
    elif isinstance(action, Crash):
        yield from _crashes(action)
    elif isinstance(action, Operate):
        if action.via != VIAS[0]:
            yield dataclasses.replace(action, via=VIAS[0])
        if action.f != OPERATIONS[0]:
            yield dataclasses.replace(action, f=OPERATIONS[0])
    elif isinstance(action, Inject):
        yield from map(Inject, faults(action.fault))


def _fewer(count: int, least: int) -> Iterator[int]:
    """The least, about half, one less."""
    found = (least, (least + count) // 2, count - 1)
    yield from dict.fromkeys(n for n in found if least <= n < count)


def _crashes(crash: Crash) -> Iterator[Crash]:
    if crash.call:
        yield Crash()
        yield from (Crash(n, crash.sent) for n in _fewer(crash.call, 1))
    if not crash.sent:
        yield Crash(crash.call)


def faults(fault: Fault) -> Iterator[Fault]:
    """The same fault with the usual arguments, then each by itself, then with a narrower target."""
    usual = {
        f.name: f.default
        for f in fields(fault)
        if f.default is not MISSING and getattr(fault, f.name) != f.default
    }
    lines = {n: usual.pop(n) for n in _LINE if n in usual}  # one end alone makes another line
    parts = [lines] * bool(lines) + [{name: value} for name, value in usual.items()]
    if len(parts) > 1:
        yield from _changed(fault, **lines, **usual)
    for part in parts:
        yield from _changed(fault, **part)
    for name in _PLACES:
        for narrower in _narrower(getattr(fault, name, "")):
            yield from _changed(fault, **{name: narrower})


def _changed(fault: Fault, **values: object) -> Iterator[Fault]:
    try:
        changed = dataclasses.replace(fault, **values)
    except UsageError:  # these arguments do not go together
        return
    ends = [getattr(changed, name) for pair in _ENDS for name in pair if hasattr(changed, name)]
    if len(ends) == len(set(ends)):
        yield changed


def _narrower(target: str) -> Iterator[str]:
    """``active.framework-p`` for ``active.framework``; a component of one for those of both."""
    where, _, what = target.partition(".")
    role, _, kind = what.partition(".")
    if role in _PAIRS:
        for side in ("p", "b"):
            yield ".".join(part for part in (where, f"{role}-{side}", kind) if part)
