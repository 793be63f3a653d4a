"""The hunt: schedules are drawn, tried one by one, and those that fail are told.

Hypothesis draws; it neither runs nor shrinks: a system in real time may fail the same way only now
and then, so a failing schedule is replayed several times and made smaller by its own means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from threading import BoundedSemaphore
from typing import TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from drharness.checks.verdict import Verdict
from drharness.kernel import clock, validate
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Trial
from drharness.search.attempts import Try, at_once, tried
from drharness.search.strategies import schedules
from drharness.topology import Topology

T = TypeVar("T")
_WAYS = 2**32
_DULL = 1000  # schedules drawn that had been drawn before, until there seem to be no others
MOST_EXAMPLES = 1_000_000


@dataclass(frozen=True)
class Hunt:
    """What is hunted, and for how long.

    :ivar seed: the same seed draws the same schedules (with the same version of Hypothesis)
    :ivar examples: how many are tried at most; ``seconds``: no other one is begun after these
    :ivar slips: whether the operator slips
    """

    seed: int
    examples: int = 100
    seconds: float | None = None
    procedure: str = "full-failover"
    slips: bool = False
    topology: Topology = field(default_factory=Topology.guide)

    def __post_init__(self) -> None:
        validate.number("examples", self.examples, low=1, high=MOST_EXAMPLES)
        if self.seconds is not None:
            validate.number("seconds", self.seconds, low=0, high=1e9)

    @property
    def strategy(self) -> SearchStrategy[Schedule]:
        """What schedules are drawn from."""
        return schedules(self.procedure, slips=self.slips, topology=self.topology)


@dataclass(frozen=True)
class Example:
    """A schedule that was tried.

    :ivar number: from 1
    :ivar trial: how it went; None if the deployment did not come up or was lost
    :ivar error: why there is no trial
    :ivar seconds: what it took
    :ivar unjudged: how it had gone before, if that could not be judged; then it was tried again
    """

    number: int
    schedule: Schedule
    trial: Trial | None
    error: str
    seconds: float
    unjudged: Trial | None = None

    @property
    def status(self) -> Verdict:
        """The verdict; without a trial UNKNOWN."""
        return Verdict.UNKNOWN if self.trial is None else self.trial.status


def drawn(strategy: SearchStrategy[T], *, seed: int | str) -> T:
    """A value of a strategy; nothing is tried.

    Hypothesis begins with the simplest one; the one after it is a random one that takes another
    way from its first choice on, which is why that is made to mean nothing. Those that it would
    draw next are mutants of it, which look for what two equal values do.
    """
    found: list[T] = []

    @hypothesis.settings(
        max_examples=2,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(st.tuples(st.integers(0, _WAYS), strategy))
    def collect(value: tuple[int, T]) -> None:
        found.append(value[1])

    collect()
    return found[-1]


def generated(hunt: Hunt) -> Iterator[Schedule]:
    """The schedules of a hunt, none of them twice; each depends on the seed and its number only."""
    seen: set[str] = set()
    number = 0
    while len(seen) < hunt.examples and number < len(seen) + _DULL:
        number += 1
        schedule = drawn(hunt.strategy, seed=f"{hunt.seed}/{number}")
        text = schedule.to_json()
        if text not in seen:
            seen.add(text)
            yield schedule


def examples(hunt: Hunt, attempt: Callable[..., Trial], *, jobs: int = 1) -> Iterator[Example]:
    """Try one schedule after the other, as they end; who has seen enough stops asking.

    :param attempt: tries a schedule; takes ``turn`` as :func:`drharness.schedule.trial.attempt`; an
        error of it is the example's, and the hunt goes on, unless it is one of usage or of the
        host: that would be every example's
    :param jobs: how many are played at once, each in a thread; one more is judged, or waits
    """
    trying = partial(attempt, turn=BoundedSemaphore(jobs))
    return at_once((partial(_tried, *one, trying) for one in _due(hunt)), jobs + 1)


def _due(hunt: Hunt) -> Iterator[tuple[int, Schedule]]:
    """The schedules with their numbers, as long as there is time for another one."""
    over = clock.Deadline(hunt.seconds) if hunt.seconds is not None else None
    numbered = enumerate(generated(hunt), start=1)
    while over is None or not over.passed:
        one = next(numbered, None)
        if one is None:
            return
        yield one


def _tried(number: int, schedule: Schedule, attempt: Try) -> Example:
    """Try it; once more if the evidence was not enough, as on a host that stood still meanwhile.

    A system that does not come to rest is evidence, however it is judged.
    """
    begun = clock.Deadline(0)
    unjudged = None
    trial, error = tried(attempt, schedule)
    if trial and trial.play.settled.ok and trial.status is Verdict.UNKNOWN:
        unjudged = trial
        trial, error = tried(attempt, schedule)
    seconds = trial.seconds if trial and not unjudged else begun.waited
    return Example(number, schedule, trial, error, seconds, unjudged)
