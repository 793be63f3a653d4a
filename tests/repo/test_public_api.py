"""The public list: short, sorted, complete, cheap to import; and the tree of errors as drawn."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import drharness
from drharness import errors
from drharness.kernel import proc
from tests.repo.trees import plant, sources

HEAVY = ("dnslib", "docker", "hypothesis", "msgspec", "psycopg", "pytest", "rich", "testcontainers",
         "typer")  # fmt: skip
LINE_OF_TREE = re.compile(
    r"^\s*(?P<stem>(?:│ {3}| {4})*[├└]── )?(?P<name>[A-Z]\w+) {2,}(?P<says>.+)$"
)


def unsorted_lists(root: Path) -> Iterator[str]:
    """Every ``__all__`` that is not sorted: constants, classes, the rest, each by name."""
    for source in sources(root):
        for node in source.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                if list(names) != (wanted := sorted(set(names), key=_rank)):
                    yield source.at(node, f"__all__ is not sorted: {wanted}")


def _rank(name: str) -> tuple[int, str]:
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name


def drawn_tree(text: str) -> dict[str, tuple[str, int | None]]:
    """The tree of a docstring: class -> (its parent, exit code or None where none is given)."""
    found: dict[str, tuple[str, int | None]] = {}
    above: list[str] = []
    for line in text.splitlines():
        if match := LINE_OF_TREE.match(line):
            depth = len(match["stem"] or "") // 4
            code = re.search(r"\(exit (\d)\)$", match["says"])
            del above[depth:]
            found[match["name"]] = (above[-1] if above else "", int(code[1]) if code else None)
            above.append(match["name"])
    return found


def real_tree(
    module: ModuleType, top: type[errors.DrHarnessError]
) -> dict[str, tuple[str, int | None]]:
    """The same of the classes that a module defines below ``top``."""
    return {
        name: ("", None) if cls is top else (cls.__bases__[0].__name__, cls.exit_code)
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, top) and cls.__module__ == module.__name__
    }


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in ``sys.modules`` of a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    return set(proc.run([sys.executable, "-c", code]).stdout.split())


def test_public_lists_are_sorted(repo_root: Path) -> None:
    assert list(unsorted_lists(repo_root / "src")) == []


def test_a_planted_unsorted_list_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "__all__ = ['b', 'a']", "b.py": "__all__ = ['MAX', 'Ab', 'a']"})
    assert [text.partition(":")[0] for text in unsorted_lists(tmp_path)] == ["a.py"]


@pytest.mark.parametrize("name", drharness.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(drharness, name) is getattr(drharness, name)
    assert name in dir(drharness)


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'drharness' has no attribute 'nonesuch'"):
        drharness.nonesuch  # noqa: B018 - the access is the test


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert loaded_by("import drharness").intersection(HEAVY) == set()


@pytest.mark.parametrize("module", ["errors", "topology", "history", "checks"])
def test_judging_offline_needs_no_heavy_library(module: str) -> None:
    unneeded = set(HEAVY) - {"msgspec"}
    assert loaded_by(f"import drharness.{module}").intersection(unneeded) == set()


def test_a_loaded_heavy_library_would_be_seen() -> None:
    assert "dnslib" in loaded_by("import dnslib")


def test_the_version_is_the_one_of_the_distribution() -> None:
    assert drharness.__version__ == version("drharness")


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn, real = drawn_tree(errors.__doc__ or ""), real_tree(errors, errors.DrHarnessError)
    assert {name: parent for name, (parent, _) in drawn.items()} == {
        name: parent for name, (parent, _) in real.items()
    }
    assert drawn == real


def test_a_tree_is_read_with_parents_and_exit_codes() -> None:
    text = """
    Top          all
    ├── Left     one   (exit 2)
    │   └── Leaf  two   (exit 3)
    └── Right    three
    """
    assert drawn_tree(text) == {
        "Top": ("", None), "Left": ("Top", 2), "Leaf": ("Left", 3), "Right": ("Top", None),
    }  # fmt: skip
