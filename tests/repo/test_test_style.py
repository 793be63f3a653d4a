"""How tests are written here: plain functions named as a claim; nothing mocked, nothing skipped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.repo.trees import dotted, imports, plant, sources

REFUSED_CALLS = frozenset({"pytest.skip", "pytest.importorskip", "pytest.xfail"})
REFUSED_MARKS = ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")


def style_violations(root: Path) -> Iterator[str]:
    """Tests in classes, names that claim nothing, mocks, and tests that are not run."""
    for source in sources(root):
        for found in imports(source):
            if found.module in ("mock", "unittest", "unittest.mock"):
                yield source.at(found.node, f"imports {found.module}")
        for node in ast.walk(source.tree):
            name = dotted(node) if isinstance(node, ast.Attribute) else ""
            if name in REFUSED_CALLS or name in REFUSED_MARKS:
                yield source.at(node, f"{name}: a test that is not run proves nothing")
            elif isinstance(node, ast.ClassDef) and _is_collected(node):
                yield source.at(node, f"{node.name}: tests are plain functions")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                words = node.name.split("_")
                if words[0] == "test" and (len(words) < 4 or re.search(r"_\d+$", node.name)):
                    yield source.at(node, f"{node.name}: name the claim, in three words or more")


def _is_collected(node: ast.ClassDef) -> bool:
    """Whether pytest takes it for a class of tests; ``__test__ = False`` says that it is none."""
    said = {ast.unparse(statement) for statement in node.body}
    return node.name.startswith("Test") and "__test__ = False" not in said


def test_no_example_fails_for_the_time_that_it_takes() -> None:
    """That is the machine's doing; the root's ``conftest.py`` sets it for every property."""
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_tests_keep_to_the_style(repo_root: Path) -> None:
    assert list(style_violations(repo_root / "tests")) == []


@pytest.mark.parametrize(
    "text",
    [
        "from unittest.mock import Mock",
        "from unittest import mock",
        "import pytest\n@pytest.mark.skip\ndef test_all_is_well(): ...",
        "import pytest\ndef test_all_is_well():\n    pytest.skip('no')",
        "class TestAll: ...",
        "def test_all(): ...",
        "def test_it_works_well_2(): ...",
    ],
)
def test_a_planted_break_of_style_is_caught(tmp_path: Path, text: str) -> None:
    assert len(list(style_violations(plant(tmp_path, {"a.py": text})))) == 1


def test_a_plain_claim_is_let_through(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test_one_is_one(x): ..."
    assert list(style_violations(plant(tmp_path, {"a.py": text}))) == []
