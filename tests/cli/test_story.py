"""Telling recorded runs from the command line: the text, the diagram, and errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks import judge
from drharness.history import load
from drharness.schedule.mermaid import mermaid
from drharness.schedule.story import story
from tests.cli.running import drharness


@pytest.fixture
def histories(repo_root: Path) -> Path:
    return repo_root / "fixtures" / "histories"


def test_a_run_that_failed_is_told(histories: Path) -> None:
    path = histories / "bad_s1_two_databases.jsonl"
    history = load(path)
    done = drharness("story", path)
    assert done.stdout == f"{story(history, judge(history))}\n"
    assert done.stdout.startswith("FAIL S1: one writable configuration database\n")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_diagram_can_be_had_instead(histories: Path) -> None:
    path = histories / "bad_l1_too_late.jsonl"
    history = load(path)
    done = drharness("story", path, "--mermaid")
    assert done.stdout == mermaid(history, judge(history))


def test_a_run_that_passed_says_so(histories: Path) -> None:
    done = drharness("story", histories / "good_sync.jsonl")
    assert done.returncode == 0
    assert done.stdout.startswith("PASS: run ")


def test_the_invariant_can_be_chosen_among_those_with_findings(histories: Path) -> None:
    path = histories / "bad_s1_two_databases.jsonl"
    done = drharness("story", path, "--about", "S9")
    assert done.returncode == 2
    assert "--about: expected one of S1" in done.stderr
    assert drharness("story", path, "--about", "S1").stdout.startswith("FAIL S1")
