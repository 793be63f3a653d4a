"""Systems with a known mistake, as functions: which schedules fail, counting who asks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from drharness.faults import ComponentKilled, RegionDown, RegionsCut, VmDown
from drharness.kernel import rng
from drharness.schedule.actions import Action, Crash, Finish, Heal, Inject, Next, Operate, Wait
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule

CUT, DOWN = Inject(RegionsCut()), Inject(RegionDown("region1"))
KILLED = Inject(ComponentKilled("proxies.primary"))
HOST = Inject(VmDown("dormant.application"))
NOISE: tuple[Action, ...] = (
    Operate("write", "both/1", "dormant"), Wait(0.3), HOST, Next(2), Heal(), Wait(1.0), KILLED,
)  # fmt: skip
Holds = Callable[[Schedule], bool]


@dataclass
class Oracle:
    """Fails for S1 where a condition holds, now and then by chance; for L1 where another does.

    :ivar rate: share of the replays in which what holds is seen
    :ivar chance: share in which it fails though it does not hold
    :ivar lost: whether there is no result of the replay of that number, from 1
    """

    holds: Holds
    rate: float = 1.0
    chance: float = 0.0
    seed: int = 1
    other: Holds = lambda schedule: False
    lost: Callable[[int], bool] = lambda number: False
    asked: list[Schedule] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draws = rng.stream(self.seed, "oracle")

    def __call__(self, schedule: Schedule) -> Collection[str] | None:
        """Ids of what fails, once."""
        self.asked.append(schedule)
        seen = self._draws.random() < (self.rate if self.holds(schedule) else self.chance)
        if self.lost(len(self.asked)):
            return None
        return [*(["S1"] if seen else []), *(["L1"] if self.other(schedule) else [])]


def schedule_of(*actions: Action, slips: tuple[Slip, ...] = (), **options: object) -> Schedule:
    """A schedule around a full failover."""
    return Schedule(actions, ProcedureUse("full-failover", "region2", options, slips))


def in_order(*wanted: Action) -> Holds:
    """These actions are there, in this order, whatever is between them."""

    def holds(schedule: Schedule) -> bool:
        left = iter(schedule.actions)
        return all(any(action == want for action in left) for want in wanted)

    return holds


def steps_taken(schedule: Schedule) -> int:
    """How many steps of a procedure a schedule takes."""
    return sum(
        a.steps if isinstance(a, Next) else 8 * isinstance(a, Finish) for a in schedule.actions
    )


def healed_while_cut(schedule: Schedule) -> bool:
    """The first region goes down and is healed by its number, while the regions are cut."""
    injected: list[Action] = []
    for action in schedule.actions:
        if isinstance(action, Inject):
            injected.append(action)
        elif isinstance(action, Heal) and action.which is not None and CUT in injected:
            if len(injected) >= action.which and injected[action.which - 1] == DOWN:
                return True
        elif isinstance(action, Heal) and action.which is None:
            injected = []
    return False


def dies_late(schedule: Schedule) -> bool:
    """The regions are cut, and the controller dies at the second request of a step or later."""
    return CUT in schedule.actions and any(
        isinstance(a, Crash) and a.call >= 2 and steps_taken(schedule) >= 3
        for a in schedule.actions
    )
