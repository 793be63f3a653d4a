"""Which steps of a procedure matter: each one slipped in every way, alone and with one fault.

The plan is data: a cell per step, slip and fault, each with the schedule that tries it. What fails
is tried again, so that a bound that was missed once by a busy host does not make a step critical.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from drharness.checks.verdict import Verdict
from drharness.faults.model import Fault
from drharness.kernel import clock, validate
from drharness.procedures import Procedure
from drharness.schedule.actions import MOST_CALLS, Action, Crash, Finish, Inject, Next
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial
from drharness.search.alphabet import DISASTERS
from drharness.search.attempts import Try, at_once, tried
from drharness.search.critical_table import COLUMNS, INTACT, SLIPS, Judged, Outcome, Table
from drharness.search.shrink import Rule
from drharness.topology import Topology

MAJORITY = Rule(2, 3)
_MOST_REPEATS = 99


@dataclass(frozen=True)
class Cell:
    """One step, slipped in one way, with a fault or without.

    :ivar fault: what breaks right before the step, besides what the procedure is for
    """

    step: str
    slip: str
    fault: Fault | None
    schedule: Schedule

    def __str__(self) -> str:
        return " ".join(
            [self.step, self.slip, *([f"with {_named(self.fault)}"] if self.fault else [])]
        )


@dataclass(frozen=True)
class Plan:
    """What is tried.

    :ivar steps: ids; empty: all of the procedure; ``slips``: some of :data:`SLIPS`
    :ivar faults: each is tried with every step and slip, besides no fault
    :ivar disaster: what the procedure answers; default: what it is for
    :ivar delay: s, of a delayed step; default: what outlasts every timer, TTL and keep-alive
    :ivar call: request to a VM, from 1, at which the controller dies in an interrupted step; it has
        left, its answer is not read
    """

    procedure: str = "full-failover"
    topology: Topology = field(default_factory=Topology.guide)
    steps: Sequence[str] = ()
    slips: Sequence[str] = SLIPS
    faults: Sequence[Fault] = ()
    disaster: Fault | None = None
    delay: float | None = None
    call: int = 1

    def __post_init__(self) -> None:
        known = [step.id for step in self.intact.steps]
        for step in self.steps:
            validate.choice("steps", step, known)
        for slip in self.slips:
            validate.choice("slips", slip, SLIPS)
        validate.count("call", self.call, low=1, high=MOST_CALLS)
        if self.delay is not None:
            validate.number("delay", self.delay, low=0, high=86400)
        for fault in (self.breaks, *self.faults):
            Inject(fault)  # one that cannot be injected is told now

    @property
    def intact(self) -> Procedure:
        """The procedure without a slip."""
        return self._use().procedure

    @property
    def breaks(self) -> Fault:
        """What the procedure answers."""
        return self.disaster or DISASTERS[self.procedure][0]

    @property
    def pause(self) -> float:
        """Seconds by which a delayed step is late."""
        if self.delay is not None:
            return self.delay
        return max(self.topology.ttl, self.topology.profile.alive_timeout) + 1.0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All of them: the intact procedure first in each row."""
        chosen = [s.id for s in self.intact.steps if not self.steps or s.id in self.steps]
        slips = [s for s in COLUMNS if s == INTACT or s in self.slips]
        return tuple(
            Cell(step, slip, fault, self._schedule(step, slip, fault))
            for fault in dict.fromkeys([None, *self.faults])
            for step in chosen
            for slip in slips
        )

    def table(self, rows: Sequence[Judged], rule: Rule = MAJORITY) -> Table:
        """What came of the cells so far, in their order."""
        order = {(c.step, c.slip, _named(c.fault)): n for n, c in enumerate(self.cells)}
        return Table(
            procedure=repr(self.intact).removeprefix("procedures."),
            disaster=str(Inject(self.breaks)),
            replication=self.topology.replication,
            timing=self.topology.timing,
            delay=self.pause,
            call=self.call,
            again=(rule.k, rule.n),
            planned=len(order),
            rows=tuple(sorted(rows, key=lambda r: order[r.step, r.slip, r.fault])),
        )

    def _use(self, *slips: Slip) -> ProcedureUse:
        return ProcedureUse.on(self.topology, self.procedure, slips)

    def _schedule(self, step: str, slip: str, fault: Fault | None) -> Schedule:
        at, slips = self._slip(step, slip)
        interrupted = slip == "interrupted"
        actions: list[Action] = [Inject(self.breaks)]
        if at and (fault or interrupted):
            actions.append(Next(at))
        if fault:
            actions.append(Inject(fault))
        if interrupted:
            actions.append(Crash(self.call))
        return Schedule((*actions, Finish()), self._use(*slips), self.topology)

    def _slip(self, step: str, slip: str) -> tuple[int, tuple[Slip, ...]]:
        """How many steps go before the slip, and the slip as the procedure knows it."""
        ids = [s.id for s in self.intact.steps]
        at = ids.index(step)
        if slip == "skipped":
            return at, (Slip("without", step),)
        if slip == "repeated":
            return at, (Slip("repeated", step),)
        if slip == "delayed":
            return at, (Slip("delayed", step, seconds=self.pause),)
        if slip == "swapped":  # with the next one; the last with the one before it
            at = min(at, len(ids) - 2)
            return at, (Slip("swapped", ids[at], ids[at + 1]),)
        return at, ()


def majority(repeats: int) -> Rule:
    """More than half of so many trials.

    :raises UsageError: names the option, its value and what was expected
    """
    validate.count("--repeats", repeats, low=1, high=_MOST_REPEATS)
    return Rule(repeats // 2 + 1, repeats)


@dataclass(frozen=True)
class Seen:
    """One trial of a cell.

    :ivar text: why it says nothing, or empty; ``final``: no other trial would say more
    """

    verdict: Verdict
    failed: tuple[str, ...] = ()
    text: str = ""
    run: str = ""
    final: bool = False


def seen(cell: Cell, trial: Trial) -> Seen:
    """What a trial says of a cell: nothing, if what was planned could not be done."""
    run = str(trial.run)
    why = _not_as_planned(cell, trial)
    if why:
        return Seen(Verdict.UNKNOWN, (), why, run, final=True)
    if trial.status in (Verdict.PASS, Verdict.FAIL):
        return Seen(trial.status, trial.failed, "", run)
    said = [f"{f.invariant} {f.seen}" for f in trial.judgement.findings]
    return Seen(Verdict.UNKNOWN, (), _line([*said, trial.play.settled.text][0]), run)


def _not_as_planned(cell: Cell, trial: Trial) -> str:
    """The action before the last one that did not come to what was planned; else empty."""
    for act in trial.play.acts:
        if isinstance(act.action, Finish):
            continue
        elsewhere = isinstance(act.action, Crash) and act.step not in ("", cell.step)
        if act.type != "ok" or elsewhere:
            return f"action {act}"
    return ""


def judged(cell: Cell, trials: Sequence[Seen], rule: Rule, *, seconds: float = 0.0) -> Judged:
    """What all trials of a cell come to.

    Broken are the invariants that failed in ``rule.k`` of them; if as many failed, but each for
    another reason, all. Safe is what passed at once, or ``rule.k`` times.
    """
    bad = [t for t in trials if t.verdict is Verdict.FAIL]
    passed = sum(t.verdict is Verdict.PASS for t in trials)
    ids = sorted({i for t in bad for i in t.failed})
    often = [i for i in ids if sum(i in t.failed for t in bad) >= rule.k]
    broken = (often or ids) if len(bad) >= rule.k else []
    outcome = Outcome.UNKNOWN
    if broken:
        outcome = Outcome.BROKEN
    elif passed >= rule.k or (passed and len(trials) == 1):
        outcome = Outcome.SAFE
    unclear = [t for t in trials if t.verdict not in (Verdict.PASS, Verdict.FAIL)]
    telling = [*bad, *unclear, *trials]
    return Judged(
        step=cell.step,
        slip=cell.slip,
        fault=_named(cell.fault),
        outcome=outcome,
        broken=tuple(broken),
        rare=tuple(i for i in ids if i not in broken),
        failed=len(bad),
        tried=len(trials),
        text=unclear[0].text if unclear else "",
        run=telling[0].run if telling else "",
        seconds=round(seconds, 2),
    )


def examine(plan: Plan, attempt: Try, *, rule: Rule = MAJORITY, jobs: int = 1) -> Iterator[Judged]:
    """Try the cells, each as often as it takes; as they end. Cells with one schedule share it.

    :param attempt: tries a schedule; an error of it leaves a trial without a result, unless it is
        one of usage or of the host: that ends it all
    :param jobs: how many cells are tried at once, each in a thread
    """
    alike: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        alike.setdefault(cell.schedule.to_json(), []).append(cell)
    for rows in at_once((partial(_tried, it, attempt, rule) for it in alike.values()), jobs):
        yield from rows


def _tried(alike: Sequence[Cell], attempt: Try, rule: Rule) -> list[Judged]:
    """What cells with one schedule come to."""
    cell, begun = alike[0], clock.Deadline(0)
    trials: list[Seen] = []
    while not _decided(trials, rule):
        trial, error = tried(attempt, cell.schedule)
        trials.append(seen(cell, trial) if trial else Seen(Verdict.UNKNOWN, (), _line(error)))
    return [judged(it, trials, rule, seconds=begun.waited) for it in alike]


def _decided(trials: Sequence[Seen], rule: Rule) -> bool:
    """Whether another trial would change nothing: a pass at once is believed, all else not."""
    if not trials:
        return False
    counts = [sum(t.verdict is v for t in trials) for v in (Verdict.PASS, Verdict.FAIL)]
    at_once = trials[0].verdict is Verdict.PASS
    return at_once or trials[-1].final or max(counts) >= rule.k or len(trials) >= rule.n


def _named(fault: Fault | None) -> str:
    return "" if fault is None else str(Inject(fault))


def _line(text: str) -> str:
    return text.partition("\n")[0]
