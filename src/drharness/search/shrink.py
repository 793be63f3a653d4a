"""Making a failing schedule small: simpler ones are played, and kept while they fail the same way.

A system in real time may fail the same way only now and then. So a candidate counts as failing by
``k`` of ``n`` replays; ``n`` grows with what is seen of passes, and what comes out at last has to
fail again in replays that nobody chose it for. If it does not, what was kept by luck is given back.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from drharness.errors import UsageError
from drharness.kernel import clock
from drharness.schedule.schedule import Schedule
from drharness.search import simpler
from drharness.search.attempts import Try, tried

# Ids of the invariants that fail when a schedule is played; None: there was no result.
Fails = Callable[[Schedule], Collection[str] | None]
_AGAIN = 5  # replays in which a failure must show up again to be worked on
_MISS = 0.1  # a schedule that fails as often as seen may be taken for a good one so often
_MOST_TRIES = 5  # of one candidate: what fails more rarely costs too much to make smaller
_MOST_CONFIRM = 8
_LOST = 3  # replays in a row without a result: the machinery is broken, not the system


@dataclass(frozen=True)
class Rule:
    """What counts as failing: ``k`` of ``n`` replays; none is made that decides nothing."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise UsageError(f"rule: expected 1 <= k <= n, got {self.k} of {self.n}.")

    def decided(self, failed: int, of: int) -> bool | None:
        """Whether it fails, after ``failed`` of ``of`` replays; None while that is open."""
        if failed >= self.k:
            return True
        return False if of - failed > self.n - self.k else None


@dataclass(frozen=True)
class Tried:
    """A candidate that was decided on.

    :ivar replays: spent until now, by all candidates
    :ivar failed: how often it failed of ``of`` replays
    :ivar kept: whether it counts as failing
    :ivar again: it was kept before, and this was its confirmation
    """

    replays: int
    schedule: Schedule
    failed: int
    of: int
    kept: bool
    again: bool = False


@dataclass(frozen=True)
class Shrunk:
    """What came of it.

    :ivar schedule: the smallest one that fails for the reason
    :ivar failed: how often it did in the last ``of`` replays of it
    :ivar confirmed: whether that is as often as was asked for, in replays of their own
    :ivar replays: spent on all candidates
    :ivar why: why it went no further
    :ivar others: what else failed on the way: id of an invariant to the smallest such schedule
    """

    schedule: Schedule
    failed: int
    of: int
    confirmed: bool
    replays: int
    why: str
    others: dict[str, Schedule] = field(default_factory=dict)

    def __str__(self) -> str:
        count = len(self.schedule.actions)
        actions = f"{count} action{'s' * (count != 1)}"
        often = f"failed {self.failed} of {self.of} times" if self.of else "not played again"
        return f"{actions}, {often}; {self.replays} replays, then {self.why}"


def by_replay(attempt: Try) -> Fails:
    """What :func:`shrink` asks, by playing on deployments.

    :param attempt: tries a schedule; an error of it is no result, unless it is one of usage or of
        the host
    """

    def fails(schedule: Schedule) -> Collection[str] | None:
        trial, _ = tried(attempt, schedule)
        return None if trial is None else trial.failed

    return fails


class _Spent(Exception):
    """There is no budget for another replay."""


def shrink(
    schedule: Schedule,
    fails: Fails,
    *,
    reason: str,
    confirms: Fails | None = None,
    explore: Rule = Rule(1, 1),
    confirm: Rule = Rule(2, 3),
    replays: int = 100,
    seconds: float | None = None,
    skipped: Collection[int] = (),
    on_try: Callable[[Tried], None] | None = None,
) -> Shrunk:
    """The smallest schedule that was found to fail for the same reason.

    The same answers of ``fails`` give the same result.

    :param schedule: it failed once
    :param fails: plays one
    :param reason: id of the invariant that must fail; others that fail are only noted
    :param confirms: plays one for the last word; default: as ``fails`` does
    :param explore: when a simpler schedule is gone on with; more often replayed once one was seen
        to fail only now and then
    :param confirm: how often the result must fail, in replays of its own
    :param replays: budget; ``seconds``: another, None for any
    :param skipped: numbers of actions, from 1, that were passed over when it failed
    :param on_try: told of every candidate
    """
    plays = (fails, confirms or fails)
    work = _Shrinking(plays, reason, explore, confirm, replays, seconds, on_try)
    return work.run(schedule, skipped)


class _Shrinking:
    """One piece of work.

    :ivar chain: the schedule and what was kept after it, each simpler than the one before
    :ivar trusted: how much of the chain does not rest on exploring alone
    """

    def __init__(
        self,
        plays: tuple[Fails, Fails],
        reason: str,
        explore: Rule,
        confirm: Rule,
        replays: int,
        seconds: float | None,
        on_try: Callable[[Tried], None] | None,
    ) -> None:
        self._explores, self._confirms = plays
        self._reason, self._on_try = reason, on_try
        self._explore, self._confirm = explore, confirm
        self._budget, self._seconds = replays, seconds
        self._begun = clock.Deadline(0)
        self._reserve = 0
        self._lost = 0
        self._counts: dict[str, list[int]] = {}
        self._refuted: set[str] = set()
        self._proof = self._looked = (0, 0)
        self._confirmed = False
        self.spent = 0
        self.chain: list[Schedule] = []
        self.trusted = 1
        self.others: dict[str, Schedule] = {}

    @property
    def best(self) -> Schedule:
        """The smallest one so far."""
        return self.chain[-1]

    def run(self, schedule: Schedule, skipped: Collection[int]) -> Shrunk:
        """All of it."""
        self.chain = [schedule]
        try:
            if not self._fails_again():
                return self._result(f"it did not fail again in {_AGAIN} replays")
            self._descend([i - 1 for i in skipped])
            while not self._settled():
                self._descend()
        except _Spent as why:
            return self._closed(str(why))
        return self._result("nothing simpler fails")

    # -- replays ---------------------------------------------------------------------------

    def _replay(self, schedule: Schedule, fails: Fails) -> bool:
        """Whether it fails for the reason, once.

        :raises _Spent: the budget is over, or there is no result any more
        """
        while True:
            self._afford()
            self.spent += 1
            found = fails(schedule)
            if found is not None:
                self._lost = 0
                for name in found:
                    known = self.others.get(name)
                    if name != self._reason and (known is None or _size(schedule) < _size(known)):
                        self.others[name] = schedule
                return self._reason in found
            self._lost += 1
            if self._lost >= _LOST:
                raise _Spent(f"{_LOST} replays in a row had no result")

    def _afford(self) -> None:
        if self.spent + self._reserve >= self._budget:
            raise _Spent(f"the budget of {self._budget} replays was over")
        if self._seconds is not None:
            each = self._begun.waited / self.spent if self.spent else 0.0
            if self._begun.waited + self._reserve * each >= self._seconds:
                raise _Spent(f"the budget of {self._seconds:g} s was over")

    def _fails_again(self) -> bool:
        """Replay the first one until it fails; how long that takes says how often it does."""
        for tries in range(1, _AGAIN + 1):
            if self._replay(self.best, self._explores):
                self._proof = (1, tries)
                self._expect(2, tries + 1)  # it has failed before
                self._reserve = self._confirm.n
                return True
        self._proof = (0, _AGAIN)
        return False

    def _expect(self, failed: int, of: int) -> bool:
        """Replay more from now on if it fails so rarely; whether that is more than before."""
        passes = 1 - failed / of
        if passes <= 0:
            return False
        confirm = min(_MOST_CONFIRM, math.ceil(2 * self._confirm.k * of / failed))
        tries = min(_MOST_TRIES, math.ceil(math.log(_MISS) / math.log(passes)))
        before = (self._explore, self._confirm)
        self._confirm = replace(self._confirm, n=max(confirm, self._confirm.n))
        self._explore = replace(self._explore, n=max(tries, self._explore.n))
        return before != (self._explore, self._confirm)

    def _holds(self, schedule: Schedule) -> bool:
        """Whether a candidate is kept; one that was decided on before costs nothing."""
        key = schedule.to_json()
        if key in self._refuted or schedule == self.best:
            return False
        count = self._counts.setdefault(key, [0, 0])
        if self._explore.decided(*count) is not None:
            return False  # what was kept is smaller by now
        kept = None
        while kept is None:
            count[0] += self._replay(schedule, self._explores)
            count[1] += 1
            kept = self._explore.decided(*count)
        if kept:
            self.chain.append(schedule)
        self._tell(Tried(self.spent, schedule, count[0], count[1], kept))
        return kept

    def _tell(self, tried: Tried) -> None:
        if self._on_try is not None:
            self._on_try(tried)

    # -- down ------------------------------------------------------------------------------

    def _descend(self, unneeded: Sequence[int] = ()) -> None:
        """Until nothing simpler is left that fails.

        :param unneeded: places of actions that may well have done nothing
        """
        if unneeded:
            self._holds(simpler.without(self.best, unneeded))
        largest = len(self.best.actions)
        before = None
        while before != self.best:
            before = self.best
            self._first(self._procedures)
            self._drop(largest)
            largest = 1  # the second time only what one more loss made unneeded
            self._first(self._merged)
            self._simplify()
            self._first(lambda: simpler.surroundings(self.best))

    def _procedures(self) -> Iterator[Schedule]:
        for use in simpler.procedures(self.best.procedure):
            yield replace(self.best, procedure=use)

    def _merged(self) -> Iterator[Schedule]:
        for actions in simpler.merged(self.best.actions):
            yield replace(self.best, actions=actions)

    def _first(self, candidates: Callable[[], Iterator[Schedule]]) -> None:
        """Keep the first that holds, and look again, until none does."""
        while any(self._holds(candidate) for candidate in candidates()):
            pass

    def _drop(self, largest: int) -> None:
        """Take chunks of actions away, half as many each time, the last ones first."""
        size = largest
        while size:
            end = len(self.best.actions)
            while end > 0:
                start = max(0, end - size)
                self._holds(simpler.without(self.best, range(start, end)))
                end = min(start, len(self.best.actions))
            size //= 2

    def _simplify(self) -> None:
        for place in range(len(self.best.actions)):
            self._first(partial(self._simpler_at, place))

    def _simpler_at(self, place: int) -> Iterator[Schedule]:
        actions = self.best.actions
        for action in simpler.actions(actions[place]):
            yield replace(self.best, actions=(*actions[:place], action, *actions[place + 1 :]))

    # -- and up again ----------------------------------------------------------------------

    def _settled(self) -> bool:
        """Confirm the smallest one; false if there is more to look for."""
        if self._confirmed and self.trusted == len(self.chain):
            return True
        if self._is_confirmed(self.best):
            self._confirmed, self.trusted = True, len(self.chain)
            return not self._expect(*self._proof)
        if len(self.chain) == 1:  # not even the one that it began with, which has failed twice
            failed, of = self._looked
            return not self._expect(failed + 2, of + 2)
        self._give_back()
        return False

    def _is_confirmed(self, schedule: Schedule) -> bool:
        """Replay it by the rule for results, from nothing."""
        reserve, self._reserve = self._reserve, 0
        count = [0, 0]
        try:
            while (decided := self._confirm.decided(count[0], count[1])) is None:
                count[0] += self._replay(schedule, self._confirms)
                count[1] += 1
        finally:
            self._reserve = reserve
        self._looked = (count[0], count[1])
        if decided:
            self._proof = self._looked
        self._tell(Tried(self.spent, schedule, count[0], count[1], decided, again=True))
        return decided

    def _give_back(self) -> None:
        """Go back to the last of the chain that can be confirmed; keep by more than luck then."""
        self._explore = Rule(max(2, self._explore.k), max(3, self._explore.n))
        most = max(_MOST_CONFIRM, self._confirm.n)
        if self._confirm.k < most:
            self._confirm = Rule(self._confirm.k + 1, min(most, self._confirm.n + 2))
        good, bad = self.trusted - 1, len(self.chain) - 1
        try:
            while bad - good > 1:
                middle = (good + bad) // 2
                if self._is_confirmed(self.chain[middle]):
                    good, self._confirmed = middle, True
                else:
                    bad = middle
        finally:
            self._refuted |= {s.to_json() for s in self.chain[bad:]}
            del self.chain[good + 1 :]
            self.trusted = good + 1

    def _closed(self, why: str) -> Shrunk:
        """The result when the budget is over; what was put aside for that confirms it."""
        self._reserve = 0
        with contextlib.suppress(_Spent):
            if self.trusted < len(self.chain):
                if self._is_confirmed(self.best):
                    self._confirmed, self.trusted = True, len(self.chain)
                else:
                    self._give_back()
        return self._result(why)

    def _result(self, why: str) -> Shrunk:
        failed, of = self._proof
        sure = self._confirmed and self.trusted == len(self.chain)
        if self.trusted < len(self.chain):  # there was nothing left to confirm it with
            failed, of = self._counts[self.best.to_json()]
        return Shrunk(self.best, failed, of, sure, self.spent, why, self.others)


def _size(schedule: Schedule) -> tuple[int, int]:
    return len(schedule.actions), len(schedule.to_json())
