"""Every module says what it is and why; every public class and function what it promises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.trees import plant, sources

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(root: Path) -> Iterator[str]:
    """Modules, and public classes, functions and methods, that have no docstring."""
    for source in sources(root):
        if ast.get_docstring(source.tree) is None:
            yield f"{source.path}:1: module without a docstring"
        for node in _public(source.tree.body):
            if ast.get_docstring(node) is None:
                yield source.at(node, f"{node.name} has no docstring")


def _public(body: list[ast.stmt]) -> Iterator[Documented]:
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not _repeats(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _repeats(node: Documented) -> bool:
    """Whether it only adds to a documented thing: an overload, or the setter of a property."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"overload", "setter", "deleter"})


def test_everything_public_is_documented(repo_root: Path) -> None:
    assert list(undocumented(repo_root / "src")) == []


def test_every_test_file_says_what_it_is_about(repo_root: Path) -> None:
    found = [t for t in undocumented(repo_root / "tests") if t.endswith("without a docstring")]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "X = 1",
        '"""Doc."""\ndef f(): ...',
        '"""Doc."""\nasync def f():\n    pass',
        '"""Doc."""\nclass C: ...',
        '"""Doc."""\nclass C:\n    """Doc."""\n    def f(self): ...',
    ],
)
def test_a_planted_missing_docstring_is_caught(tmp_path: Path, text: str) -> None:
    assert len(list(undocumented(plant(tmp_path, {"a.py": text})))) == 1


def test_private_and_repeated_names_need_none(tmp_path: Path) -> None:
    text = '"""Doc."""\ndef _f(): ...\nclass C:\n    """Doc."""\n    def __init__(self): ...\n'
    text += "    @x.setter\n    def x(self, v): ...\n"
    assert list(undocumented(plant(tmp_path, {"a.py": text}))) == []
