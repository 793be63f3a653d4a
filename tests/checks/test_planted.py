"""A check is trusted because it catches the planted violation and passes the near miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks import CHECKS, Verdict, judge
from drharness.history import History, load, write
from tests.checks.planted import FOLDER, PLANTED

BAD = sorted(name for name, planted in PLANTED.items() if planted.bad)
GOOD = sorted(set(PLANTED) - set(BAD))


def _broken(history: History) -> dict[str, Verdict]:
    results = judge(history).results
    return {r.id: r.verdict for r in results if r.verdict is not Verdict.PASS}


@pytest.mark.parametrize("name", BAD)
def test_bad_history_is_caught_by_its_check_alone(name: str) -> None:
    invariant = PLANTED[name].invariant
    verdict = Verdict.INVALID if invariant == "V1" else Verdict.FAIL
    assert _broken(load(FOLDER / f"{name}.jsonl")) == {invariant: verdict}


@pytest.mark.parametrize("name", GOOD)
def test_near_miss_is_passed_by_every_check(name: str) -> None:
    judgement = judge(load(FOLDER / f"{name}.jsonl"))
    assert judgement.ok, str(judgement)


@pytest.mark.parametrize("name", GOOD)
def test_near_miss_exercises_the_check_it_misses(name: str) -> None:
    exercised = {r.id for r in judge(load(FOLDER / f"{name}.jsonl")).results if r.exercised}
    assert PLANTED[name].invariant in {*exercised, ""}


@pytest.mark.parametrize("kind", ["bad", "near"])
def test_every_check_has_planted_histories(kind: str) -> None:
    planted = {p.invariant for name, p in PLANTED.items() if name.startswith(kind)}
    assert planted == {c.id for c in CHECKS}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_shipped_history_equals_what_the_builder_tells(name: str, tmp_path: Path) -> None:
    write(tmp_path / "told.jsonl", PLANTED[name].make())
    assert (FOLDER / f"{name}.jsonl").read_bytes() == (tmp_path / "told.jsonl").read_bytes()


def test_no_history_lies_about_unplanted() -> None:
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(PLANTED)
