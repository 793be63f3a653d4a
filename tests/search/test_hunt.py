"""A hunt's loop, and what replays conclude, on trials that are judged from recorded histories."""

from __future__ import annotations

import itertools
from pathlib import Path
from threading import Barrier, BoundedSemaphore

import pytest

from drharness.checks.verdict import Verdict
from drharness.errors import EngineLost, Unsupported, UsageError
from drharness.faults import RegionDown
from drharness.schedule.actions import Finish, Inject, Next
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Found, Trial
from drharness.search.hunt import Hunt, examples
from drharness.search.replay import Conclusion, concluded
from tests.search.trials import broken_off, trial

SCHEDULE = Schedule((Inject(RegionDown("region1")), Next(2), Finish()))
PASSED = trial(SCHEDULE, "good_sync")
FAILED = trial(SCHEDULE, "bad_p1_flush_skipped")
UNSETTLED = trial(SCHEDULE, "good_sync", unsettled="writes through every region at rest: not")


def passes(schedule: Schedule, turn: BoundedSemaphore) -> Trial:
    """As if a schedule had gone well, when it was its turn."""
    with turn:
        pass
    return trial(schedule, "good_sync")


def test_a_hunt_tries_as_many_as_it_is_told() -> None:
    tried = list(examples(Hunt(seed=3, examples=5), passes))
    assert sorted(e.number for e in tried) == [1, 2, 3, 4, 5]
    assert {e.status for e in tried} == {Verdict.PASS}
    assert all(e.trial is not None and e.trial.schedule == e.schedule for e in tried)


def test_a_hunt_ends_when_its_time_is_over() -> None:
    assert list(examples(Hunt(seed=3, examples=5, seconds=0.0), passes)) == []
    assert len(list(examples(Hunt(seed=3, examples=3, seconds=3600.0), passes))) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_are_played_at_once_and_one_more_is_judged(jobs: int) -> None:
    """With all turns taken and as many more asked for as there may be, no other one begins."""
    playing: list[Schedule] = []
    full = Barrier(jobs)

    def plays(schedule: Schedule, turn: BoundedSemaphore) -> Trial:
        with turn:
            playing.append(schedule)
            assert len(playing) <= jobs
            full.wait(10)
            playing.remove(schedule)
        return trial(schedule, "good_sync")

    assert len(list(examples(Hunt(seed=3, examples=6), plays, jobs=jobs))) == 6


def test_who_has_seen_enough_stops_a_hunt() -> None:
    tried: list[Schedule] = []

    def fails(schedule: Schedule, turn: BoundedSemaphore) -> Trial:
        with turn:
            tried.append(schedule)
        return trial(schedule, "bad_p1_flush_skipped")

    found = next(examples(Hunt(seed=3, examples=50), fails))
    assert found.status is Verdict.FAIL
    assert found.trial is not None
    assert found.trial.failed == ("P1",)
    assert len(tried) <= 2, "one is judged, the next one played"


def test_a_lost_deployment_is_its_examples_and_the_hunt_goes_on() -> None:
    turns = itertools.cycle([True, False])

    def lost(schedule: Schedule, turn: BoundedSemaphore) -> Trial:
        if next(turns):
            raise EngineLost("nobody ended it: region1-dbms")
        return passes(schedule, turn)

    first, second = sorted(examples(Hunt(seed=3, examples=2), lost), key=lambda e: e.error)[::-1]
    assert (first.status, first.trial) == (Verdict.UNKNOWN, None)
    assert first.error == "EngineLost: nobody ended it: region1-dbms"
    assert second.status is Verdict.PASS


@pytest.mark.parametrize("then", [Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN])
def test_what_could_not_be_judged_is_tried_again_once(then: Verdict, tmp_path: Path) -> None:
    histories = {Verdict.PASS: "good_sync", Verdict.FAIL: "bad_p1_flush_skipped"}
    tries: list[Schedule] = []

    def judged_later(schedule: Schedule, turn: BoundedSemaphore) -> Trial:
        with turn:
            tries.append(schedule)
        if len(tries) == 1 or then is Verdict.UNKNOWN:
            return broken_off(schedule, tmp_path)
        return trial(schedule, histories[then])

    (example,) = examples(Hunt(seed=3, examples=1), judged_later)
    assert tries == [example.schedule, example.schedule]
    assert example.status is then
    assert example.unjudged is not None
    assert example.unjudged.judgement.status is Verdict.UNKNOWN


@pytest.mark.parametrize("came_to", [PASSED, FAILED, UNSETTLED])
def test_what_says_something_of_the_system_is_not_tried_again(came_to: Trial) -> None:
    def once(_: Schedule, turn: BoundedSemaphore) -> Trial:
        with turn:
            pass
        return came_to

    (example,) = examples(Hunt(seed=3, examples=1), once)
    assert (example.trial, example.unjudged) == (came_to, None)


@pytest.mark.parametrize("error", [UsageError("no"), Unsupported("namespaces", "no", "as root")])
def test_what_no_example_could_overcome_ends_a_hunt(error: Exception) -> None:
    def refuses(_: Schedule, turn: BoundedSemaphore) -> Trial:
        raise error

    with pytest.raises(type(error)):
        list(examples(Hunt(seed=3), refuses))


def test_bounds_that_are_none_are_told() -> None:
    with pytest.raises(UsageError, match="examples: expected a number from 1"):
        Hunt(seed=1, examples=0)
    with pytest.raises(UsageError, match="seconds: expected a number from 0"):
        Hunt(seed=1, seconds=-1.0)


def test_a_system_that_does_not_come_to_rest_is_no_pass() -> None:
    assert UNSETTLED.judgement.ok
    assert UNSETTLED.status is Verdict.UNKNOWN


FOUND = Found("FAIL", ("P1",), ())
SKIPPED = trial(SCHEDULE, "good_sync", skipped=2)


@pytest.mark.parametrize(
    ("trials", "found", "conclusion", "text"),
    [
        ([PASSED, FAILED, PASSED], FOUND, Conclusion.FAILS, "P1, in 1 of 3"),
        ([FAILED], Found("FAIL", ("S1",)), Conclusion.FAILS, "P1, in 1 of 1, then S1"),
        ([FAILED, SKIPPED], FOUND, Conclusion.FAILS, "P1, in 1 of 2"),
        ([PASSED, PASSED], FOUND, Conclusion.FIXED, "2 of 2 passed"),
        ([PASSED], Found(), Conclusion.FIXED, "1 of 1 passed"),
        ([SKIPPED], FOUND, Conclusion.NOT_APPLICABLE, "action 2. next 2 steps: skipped: why"),
        ([SKIPPED], Found("FAIL", ("P1",), (2,)), Conclusion.FIXED, "1 of 1 passed"),
        ([PASSED, UNSETTLED], FOUND, Conclusion.NOT_JUDGED, "UNKNOWN in 1 of 2: writes through"),
        (
            [trial(SCHEDULE, "bad_v1_no_receipt")],
            FOUND,
            Conclusion.NOT_JUDGED,
            "INVALID in 1 of 1: V1",
        ),
    ],
)
def test_a_replay_concludes_what_its_trials_say(
    trials: list[Trial], found: Found, conclusion: Conclusion, text: str
) -> None:
    said = concluded(trials, found)
    assert said.conclusion is conclusion
    assert said.text.startswith(text), said.text
