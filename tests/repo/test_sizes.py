"""Small pieces: a function fits on a screen, a file in a head; exceptions have a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.repo.trees import plant, sources

MAX_FUNCTION = 40
MAX_FILE = 400
FOLDERS = ("src", "tests", "fixtures", "bench")

# "path" or "path::function" below the repository -> why it may be longer.
EXCEPTIONS: Mapping[str, str] = {}


def oversized(root: Path) -> Iterator[tuple[str, str]]:
    """``(name, text)`` of each function and file over the limits; docstrings do not count."""
    for source in sources(root):
        lines = len(source.text.splitlines())
        if lines > MAX_FILE:
            yield source.path, f"{source.path}:1: {lines} lines, at most {MAX_FILE}"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = function_length(node)
                if length > MAX_FUNCTION:
                    text = f"{node.name} has {length} lines, at most {MAX_FUNCTION}"
                    yield f"{source.path}::{node.name}", source.at(node, text)


def function_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, nested functions included, the docstring not."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def wide_signatures(root: Path) -> Iterator[str]:
    """Public functions of three arguments or more whose options can be given by position."""
    for source in sources(root):
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            given = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            own = [a for a in given if a not in ("self", "cls")]
            required = len(own) - len(node.args.defaults)
            if not node.name.startswith("_") and node.args.defaults and len(own) > required > 2:
                yield source.at(node, f"{node.name}: options after two arguments by keyword only")


def test_functions_and_files_are_small(repo_root: Path) -> None:
    found = [
        text
        for folder in FOLDERS
        for name, text in oversized(repo_root / folder)
        if f"{folder}/{name}" not in EXCEPTIONS
    ]
    assert found == []


def test_every_named_exception_is_still_needed(repo_root: Path) -> None:
    needed = {f"{f}/{name}" for f in FOLDERS for name, _ in oversized(repo_root / f)}
    assert set(EXCEPTIONS) - needed == set()


def test_options_are_given_by_keyword(repo_root: Path) -> None:
    assert list(wide_signatures(repo_root / "src")) == []


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_planted_long_function_is_caught(tmp_path: Path, keyword: str) -> None:
    body = "    x = 1\n" * MAX_FUNCTION
    plant(tmp_path, {"a.py": f'{keyword} short():\n    """Text."""\n{body[:-10]}\n'})
    assert list(oversized(tmp_path)) == []
    plant(tmp_path, {"a.py": f"class C:\n    {keyword} long():\n{body.replace('    ', ' ' * 8)}"})
    assert [name for name, _ in oversized(tmp_path)] == ["a.py::long"]


def test_a_planted_long_file_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {"a/b.py": "x = 1\n" * MAX_FILE})
    assert list(oversized(tmp_path)) == []
    plant(tmp_path, {"a/b.py": "x = 1\n" * (MAX_FILE + 1)})
    assert [name for name, _ in oversized(tmp_path)] == ["a/b.py"]


def test_a_planted_wide_signature_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "def f(a, b, c, d=1): ...", "b.py": "def g(a, b, *, c=1): ..."})
    assert [text.partition(":")[0] for text in wide_signatures(tmp_path)] == ["a.py"]
