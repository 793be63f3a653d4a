"""Reading trees of Python files for the structure tests.

A rule is a function of a root folder that yields violations as ``path:line: text``. So every rule
can be tried on a small planted tree, which shows that it can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One Python file.

    :ivar path: relative to the root that was read, with slashes
    """

    root: Path
    path: str

    @cached_property
    def text(self) -> str:
        """What the file says."""
        return (self.root / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        """Dotted name below the root; empty for the root's own ``__init__.py``."""
        parts = list(Path(self.path).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def at(self, node: ast.AST, text: str) -> str:
        """A violation at a node."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {text}"


def sources(root: Path) -> Iterator[Source]:
    """All Python files below a folder, in a fixed order, caches and hidden folders left out."""
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if not any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
            yield Source(root, relative.as_posix())


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Write a small tree of files and return its root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of names, else the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


@dataclass(frozen=True)
class Import:
    """One imported name; those in functions and under TYPE_CHECKING count like any other.

    :ivar module: absolute dotted name that the statement names
    :ivar name: what is taken from it, empty for a plain ``import``
    """

    node: ast.AST
    module: str
    name: str = ""

    @property
    def top(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]


def imports(source: Source, *, package: str = "") -> Iterator[Import]:
    """Every import of a file, also ``import_module("a.b")`` with a literal name.

    :param package: name of the package whose folder is the source's root; relative imports are
        resolved against it
    """
    here = [p for p in [package, *source.module.split(".")] if p]
    if not source.path.endswith("__init__.py"):
        here = here[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(node, module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            literal = node.args[0] if node.args else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                yield Import(node, literal.value)
