"""What a search has to have seen for its silence to mean something.

A hunt that finds nothing because nothing ever happened is no proof. Each goal is a situation in
which systems of this kind break; it is read off a history, whatever the schedule had meant to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from drharness.checks.epochs import epoch_order
from drharness.checks.intent import intent
from drharness.checks.models import acked
from drharness.checks.rpo import lost_writes
from drharness.history.event import Event
from drharness.history.records import Fault, Plan, Step
from drharness.history.view import History
from drharness.kernel import validate

# What some dozens of schedules around a failover reach, whatever their seed.
USUAL = (
    "failover-done", "step-refused", "begun-again", "done-again", "died-between-steps",
    "fault-within-run", "two-faults", "region-returned", "write-in-doubt", "write-refused",
    "both-write-again",
)  # fmt: skip
_STALE = ("dns_answers", "resolver_policy")  # while these are in force names may be old ones


@dataclass(frozen=True)
class Goal:
    """A situation that is worth reaching.

    :ivar name: in kebab case; ``text``: as a clause
    :ivar met: whether a history has it
    """

    name: str
    text: str
    met: Callable[[History], bool]


@dataclass
class Coverage:
    """How often a search has reached its goals.

    :ivar wanted: names of the goals it must have reached
    """

    wanted: Collection[str] = USUAL
    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.wanted = tuple(validate.choice("goal", name, GOALS) for name in self.wanted)

    def add(self, history: History) -> frozenset[str]:
        """Count a run; the goals that it is the first to reach."""
        met = reached(history)
        new = met - self.counts.keys()
        self.runs += 1
        self.counts.update(met)
        return frozenset(new)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the wanted goals that no run has reached."""
        return tuple(name for name in self.wanted if not self.counts[name])

    @property
    def ok(self) -> bool:
        """Whether all that is wanted was reached."""
        return not self.missing

    def __str__(self) -> str:
        lines = [
            f"  {self.counts[name]:>4}  {name}: {goal.text}"
            for name, goal in GOALS.items()
            if name in self.wanted or self.counts[name]
        ]
        head = f"goals, reached in so many of {self.runs} runs:"
        bad = f"never reached: {', '.join(self.missing)}"
        return "\n".join([head, *lines, *([bad] if self.missing else [])])


def reached(history: History) -> frozenset[str]:
    """Names of the goals that a history reaches."""
    return frozenset(name for name, goal in GOALS.items() if goal.met(history))


def _steps(history: History) -> Iterator[Step]:
    return (s for p in history.plans for s in p.steps)


def _promotions(history: History) -> Iterator[tuple[Plan, int]]:
    """Runs that promoted a database, and when (ns)."""
    for plan in history.plans:
        at = plan.step_ok("promote")
        if at is not None and plan.promoted:
            yield plan, at


def _succeeded(history: History) -> bool:
    return any(plan.type == "ok" for plan, _ in _promotions(history))


def _done_again(history: History) -> bool:
    """A run that did not succeed was followed by one of the same procedure that did."""
    return any(
        later.type == "ok" and later.name == plan.name and later.invoked > plan.invoked
        for plan in history.plans
        if plan.type != "ok"
        for later in history.plans
    )


def _begun_again(history: History) -> bool:
    names = Counter((p.name, p.to) for p in history.plans)
    return any(count > 1 for count in names.values())


def _died(history: History, within: str = "", *, between: bool = False) -> bool:
    """Whether a controller died: in a step (one in particular, or any), or between two."""
    for plan in history.plans:
        if plan.type != "invoke":
            continue
        open_step = plan.steps[-1] if plan.steps and plan.steps[-1].type == "invoke" else None
        if between and open_step is None and plan.steps:
            return True
        if not between and open_step is not None and within in ("", open_step.id):
            return True
    return False


def _returns(history: History) -> Iterator[Event]:
    """The former primary's machine gets power again after another database was promoted."""
    for plan, at in _promotions(history):
        old = history.topology.dbms(_former(history, plan)).id
        yield from (e for e in history.vms.get(old, ()) if e["state"] == "on" and e.t > at)


def _former(history: History, plan: Plan) -> str:
    """The region that had the active database before a procedure moved it."""
    before = intent(history, plan.invoked).database
    return before if before != plan.to else history.topology.other(plan.to)


def _old_writable(history: History) -> Iterator[Event]:
    """The former primary is seen to be writable again after another database was promoted."""
    for plan, at in _promotions(history):
        old = _former(history, plan)
        samples = [e for e in history.dbs.get(old, ()) if e.t > at]
        yield from (e for e in samples if e["writable"])


def _names_stale(history: History, t: int) -> bool:
    """Whether names may lead elsewhere than to the active Framework at an instant."""
    meant = intent(history, t)
    if meant.names != meant.framework or meant.names != meant.database:
        return True
    return any(f.f in _STALE and f.in_force(t) for f in history.faults)


def _proven(history: History) -> list[Fault]:
    return [f for f in history.faults if f.proven is not None]


def _struck_within(history: History) -> bool:
    return any(
        p.invoked < f.since < (p.ended or history.end)
        for f in _proven(history)
        for p in history.plans
    )


def _healed_within(history: History) -> bool:
    healed = [f.healed for f in _proven(history) if f.healed is not None]
    return any(p.invoked < t < (p.ended or history.end) for t in healed for p in history.plans)


def _two_at_once(history: History) -> bool:
    found = _proven(history)
    return any(f.in_force(g.since) for f in found for g in found if f is not g)


def _both_write_again(history: History) -> bool:
    """Changes in a later epoch were acknowledged through the proxies of all regions."""
    order = epoch_order(history)
    regions = {o.region for o in acked(history) if o.epoch in order[1:]}
    return regions >= set(history.topology.regions)


def _loses(history: History) -> bool:
    return bool(lost_writes(history))


_LIST = (
    Goal("failover-done", "a database was promoted, and the procedure succeeded", _succeeded),
    Goal("step-refused", "a step was refused",
         lambda h: any(s.type == "refused" for s in _steps(h))),
    Goal("step-failed", "a step failed", lambda h: any(s.type == "fail" for s in _steps(h))),
    Goal("died-between-steps", "the controller died between two steps",
         lambda h: _died(h, between=True)),
    Goal("died-within-step", "the controller died within a step", _died),
    Goal("died-within-promote", "the controller died within promote",
         lambda h: _died(h, "promote")),
    Goal("begun-again", "the procedure was begun again", _begun_again),
    Goal("done-again", "a run that did not succeed was followed by one that did", _done_again),
    Goal("forced", "a step went on by force",
         lambda h: any(isinstance(r := s.events[-1].get("result"), dict) and r.get("forced")
                       for s in _steps(h))),
    Goal("fault-within-run", "something broke while the procedure was under way", _struck_within),
    Goal("heal-within-run", "something was healed while it was under way", _healed_within),
    Goal("two-faults", "two faults were in force at once", _two_at_once),
    Goal("region-returned", "the former primary got power again after the promotion",
         lambda h: any(True for _ in _returns(h))),
    Goal("old-primary-writable", "the former primary was writable again after the promotion",
         lambda h: any(True for _ in _old_writable(h))),
    Goal("old-primary-stale-names", "the former primary was back while names were stale",
         lambda h: any(_names_stale(h, e.t) for e in (*_returns(h), *_old_writable(h)))),
    Goal("write-in-doubt", "nobody could know whether a write had happened",
         lambda h: any(w.type == "info" for w in h.writes)),
    Goal("write-refused", "a proxy refused a write in limited mode",
         lambda h: any(w.cls == "limited" for w in h.writes)),
    Goal("write-lost", "an acknowledged write was lost", _loses),
    Goal("both-write-again", "all regions wrote again after the promotion", _both_write_again),
)  # fmt: skip
GOALS: Mapping[str, Goal] = {goal.name: goal for goal in _LIST}
