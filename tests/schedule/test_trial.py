"""What a trial says of itself to the assertion that shows it."""

from __future__ import annotations

from drharness.faults import RegionDown
from drharness.schedule.actions import Finish, Inject
from drharness.schedule.schedule import Schedule
from tests.search.trials import HISTORIES, trial

SCHEDULE = Schedule((Inject(RegionDown("active")), Finish()))
BAD = next(path.stem for path in sorted(HISTORIES.glob("bad_s1*.jsonl")))


def test_one_that_passed_is_ok_and_says_so() -> None:
    good = trial(SCHEDULE, "good_sync")
    assert good.ok
    assert repr(good) == "<PASS>"


def test_one_that_failed_says_what_and_how_to_replay_it() -> None:
    bad = trial(SCHEDULE, BAD)
    assert not bad.ok
    for text in (repr(bad), str(bad)):
        assert bad.failed[0] in text
        assert "again: drharness replay " in text
        assert "schedule.json" in text
    assert "\n" not in repr(bad)
    assert "  1. region-down active: ok\n  2. finish the procedure: ok\n" in str(bad)


def test_one_that_did_not_come_to_rest_is_not_ok() -> None:
    restless = trial(SCHEDULE, "good_sync", unsettled="writes through every region: none")
    assert not restless.ok
    assert "not at rest: writes through every region: none" in str(restless)
    assert "writes through every region: none; again" in repr(restless)
