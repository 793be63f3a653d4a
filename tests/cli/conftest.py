"""Two drills that many tests look at: one that passes and one that fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from drharness.kernel.proc import Completed
from tests.cli.running import drharness


@dataclass(frozen=True)
class Drilled:
    """A drill that has ended, and its result for programs."""

    done: Completed
    json: Path
    evidence: Path


def _drill(directory: Path, *options: str) -> Drilled:
    result, evidence = directory / "result.json", directory / "evidence"
    done = drharness(
        *("drill", "full-failover", *options), "--json", result, "--keep-evidence", evidence
    )
    return Drilled(done, result, evidence)


@pytest.fixture(scope="session")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    return _drill(tmp_path_factory.mktemp("passing"))


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    """The names are switched before there is anything behind them."""
    directory = tmp_path_factory.mktemp("failing")
    return _drill(directory, "--swap", "start-framework,switch-names")
