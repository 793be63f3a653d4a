"""What is written of looks that say the same for long."""

from __future__ import annotations

from typing import Any

import pytest

from drharness.checks.spans import said_within, spans
from drharness.history import History
from drharness.history.steady import EVERY, SETTLED, Steady
from tests.checks.story import MASTER, begin, ns

TICK = 100_000_000
WHO = MASTER["region1"]


def _written(looks: list[tuple[int, dict[str, Any]]], kind: str = "comp") -> list[dict[str, Any]]:
    steady = Steady(kind, interval=TICK)
    found = [(t, steady.look(t, said)) for t, said in looks]
    return [{"t": t, **what} for t, what in found if what is not None]


def _looks(*runs: tuple[int, int, str]) -> list[tuple[int, dict[str, Any]]]:
    return [(n * TICK, {"role": role}) for since, until, role in runs for n in range(since, until)]


def test_in_a_short_run_every_look_is_written() -> None:
    looks = _looks((1, SETTLED + 2, "primary"))
    assert _written(looks) == [{"t": t, **said} for t, said in looks]


@pytest.mark.parametrize("kind", EVERY)
def test_at_rest_one_in_many_is_written(kind: str) -> None:
    looks = _looks((1, 10 * SETTLED, "primary"))
    written = _written(looks, kind)
    assert len(written) < SETTLED + 2 + 9 * SETTLED / EVERY[kind]
    for before, after in zip(written[SETTLED + 1 :], written[SETTLED + 2 :], strict=False):
        assert after["t"] - before["t"] == EVERY[kind] * TICK
        assert after["steady"] == after["t"] - TICK


def test_a_change_is_written_at_once_and_says_how_long_the_old_state_held() -> None:
    last = 2 * SETTLED + 7
    written = _written(_looks((1, last, "primary"), (last, last + 9, "backup")))
    changed = next(w for w in written if w["role"] == "backup")
    assert changed == {"t": last * TICK, "role": "backup", "steady": (last - 1) * TICK}
    assert [w["t"] // TICK for w in written if w["role"] == "backup"] == [*range(last, last + 9)]


def test_what_did_not_look_for_long_says_nothing_of_that_time() -> None:
    frozen = 2 * SETTLED + 7
    written = _written(_looks((1, frozen, "primary"), (frozen + 50, frozen + 60, "primary")))
    thawed = next(w for w in written if w["t"] > frozen * TICK)
    assert thawed["t"] == (frozen + 50) * TICK
    assert thawed["steady"] == (frozen - 1) * TICK
    assert len([w for w in written if w["t"] > frozen * TICK]) == 10


def _history(*runs: tuple[int, int, str]) -> History:
    story = begin()
    for event in _written(_looks(*runs)):
        story.add((event["t"] / 1e9), "comp", id=WHO, role=event["role"])
        if "steady" in event:
            story.events[-1]["steady"] = ns(event["steady"] / 1e9)
    return History(story.done())


def _spans(history: History) -> list[tuple[float, float]]:
    found = spans(history, WHO, history.comps[WHO], claim=lambda e: e["role"] == "primary")
    return [((s.since - ns(0)) / 1e9, (s.until - ns(0)) / 1e9) for s in found]


def test_spans_are_those_of_all_looks() -> None:
    runs = ((1, 307, "primary"), (307, 310, "backup"), (310, 650, "primary"))
    first, second = _spans(_history(*runs))
    assert first == (0.1, 30.6)
    assert second[0] == 31.0
    assert 64.9 - EVERY["comp"] * TICK / 1e9 < second[1] <= 64.9  # the last looks nobody could tell


def test_nobody_knows_of_a_time_without_looks() -> None:
    found = _spans(_history((1, 307, "primary"), (400, 410, "primary")))
    assert found == [(0.1, 30.6), (40.0, 40.9)]


def test_what_was_said_between_two_events_counts() -> None:
    history = _history((1, 307, "primary"), (307, 310, "backup"))
    samples = history.comps[WHO]
    written = [(e.t - ns(0)) / 1e9 for e in samples]
    since, until = written[-5] + 0.3, written[-5] + 0.5  # in between nothing was written
    found = said_within(samples, ns(since), ns(until))
    assert [e["role"] for e in found] == ["primary"]
