"""The table of facts and the tests that measure them name the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.repo.trees import plant, sources

_NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+){2,})`")


def measured(root: Path) -> set[str]:
    """Names of the tests below ``tests/facts``, without their prefix."""
    return {
        node.name.removeprefix("test_")
        for source in sources(root)
        if source.path.startswith("tests/facts/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def told(root: Path) -> set[str]:
    """Names of tests in the last column of the document's tables."""
    lines = (root / "docs/facts.md").read_text(encoding="utf-8").splitlines()
    cells = [line.rsplit("|", 2)[1] for line in lines if line.startswith("|")]
    return {name for cell in cells for name in _NAME.findall(cell)}


def differences(root: Path) -> list[str]:
    """Tests that the document leaves out, and names in it that are no test."""
    return sorted(measured(root) ^ told(root))


def test_every_fact_is_told_with_the_test_that_measures_it(repo_root: Path) -> None:
    assert measured(repo_root)
    assert differences(repo_root) == []


@pytest.mark.parametrize(
    "line", ["| a fact | so what | `water_is_wet` |", "| a fact | `water_runs_down` | |"]
)
def test_a_fact_without_its_test_is_caught(tmp_path: Path, line: str) -> None:
    test = "def test_water_runs_down() -> None: ..."
    root = plant(tmp_path, {"tests/facts/test_water.py": test, "docs/facts.md": line})
    assert "water_runs_down" in differences(root)
