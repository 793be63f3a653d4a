"""How often a procedure is run again before it is given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from drharness.schedule.outcome import Ended
from drharness.schedule.rest import until_done

OK, FAILED = Ended("ok"), Ended("fail", "promote", "not within 8.0 s")
LAGS = [Ended("refused", "preflight", f"it lacks {n} bytes, {n / 10} s old") for n in (7, 8, 9)]
DOWN = Ended("refused", "preflight", "dns is powered off")


def counted(ends: Iterable[Ended]) -> tuple[list[Ended], Callable[[], Ended]]:
    """Runs that end so, one after the other, and those that were."""
    left, seen = iter(ends), []

    def once() -> Ended:
        seen.append(next(left))
        return seen[-1]

    return seen, once


def test_a_procedure_that_succeeds_is_run_once() -> None:
    seen, once = counted([OK])
    assert until_done(once, needed=lambda: False, patience=60.0) == OK
    assert len(seen) == 1


def test_one_that_fails_three_times_for_the_same_reason_is_given_up() -> None:
    seen, once = counted([FAILED] * 9)
    assert until_done(once, needed=lambda: True, patience=60.0) == FAILED
    assert len(seen) == 3


def test_one_that_fails_for_ever_new_reasons_is_tried_five_times() -> None:
    seen, once = counted([FAILED, Ended("fail", "fence", "it answers")] * 5)
    assert until_done(once, needed=lambda: True, patience=60.0) == FAILED
    assert len(seen) == 5


def test_one_that_refuses_twice_for_the_same_reason_is_left_alone() -> None:
    seen, once = counted([DOWN, *LAGS])
    assert until_done(once, needed=lambda: False, patience=60.0) == LAGS[1]
    assert len(seen) == 3


def test_a_refusal_is_tried_for_longer_where_nothing_else_lets_writes_in() -> None:
    seen, once = counted([DOWN] * 7 + [OK])
    assert until_done(once, needed=lambda: True, patience=60.0) == OK
    assert len(seen) == 8
    seen, once = counted([DOWN] * 9)
    assert until_done(once, needed=lambda: True, patience=0.0) == DOWN
    assert len(seen) == 2


def test_nobody_runs_it_again_once_enough_is_known() -> None:
    seen, once = counted([FAILED] * 9)
    ended = until_done(once, needed=lambda: True, patience=60.0, enough=lambda: len(seen) == 2)
    assert ended == FAILED
    assert len(seen) == 2
