"""What the documents say is so: commands exist, examples are Python, nothing points outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.trees import plant

COMMAND_OF_MAKE = re.compile(r"(?:^|[`$ ])make +([a-z][a-z-]*)(?=[`\s,.;:)]|$)", re.MULTILINE)
COMMANDS = re.compile(
    r"`([^`\n]+)`|^```(?:sh|console|bash|text)?\n(.*?)^```", re.MULTILINE | re.DOTALL
)
BLOCK_OF_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
TEXT_SUFFIXES = ("", ".cfg", ".csv", ".html", ".in", ".json", ".jsonl", ".md", ".py", ".sh", ".sql",
                 ".toml", ".txt", ".yaml", ".yml")  # fmt: skip
# Places that a reader of this repository does not have. Spelled in pieces, so as not to be one.
ELSEWHERE = re.compile(r"(?<![\w-])shared" + r"/(?!_)|DEVELOPERS" + r"\.md")


def documents(root: Path) -> Iterator[Path]:
    """The documents for readers: at the top and in the folders that have some."""
    for pattern in ("*.md", "docs/**/*.md", "*/README.md"):
        yield from sorted(root.glob(pattern))


def targets(makefile: str) -> set[str]:
    """The names of a Makefile's rules."""
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def unknown_commands(root: Path) -> Iterator[str]:
    """``make X`` in code of a document where the Makefile has no X."""
    known = targets((root / "Makefile").read_text())
    for path in documents(root):
        for inline, block in COMMANDS.findall(path.read_text()):
            for name in COMMAND_OF_MAKE.findall(inline or block):
                if name not in known:
                    yield f"{path.relative_to(root)}: make {name}"


def broken_examples(root: Path) -> Iterator[str]:
    """Python blocks of the documents that are not Python."""
    for path in documents(root):
        for block in BLOCK_OF_PYTHON.findall(path.read_text()):
            try:
                ast.parse(block)
            except SyntaxError as error:
                yield f"{path.relative_to(root)}: {error}"


def broken_links(root: Path) -> Iterator[str]:
    """Links of the documents to files that are not there."""
    for path in documents(root):
        for link in LINK.findall(path.read_text()):
            if not (path.parent / link).exists():
                yield f"{path.relative_to(root)}: {link}"


def pointers_elsewhere(root: Path) -> Iterator[str]:
    """Text that refers to places outside the repository."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if _is_generated(relative) or path.suffix not in TEXT_SUFFIXES or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if ELSEWHERE.search(line):
                yield f"{relative}:{number}: {line.strip()[:80]}"


def _is_generated(relative: Path) -> bool:
    top = relative.parts[0]
    return (top.startswith(".") and top not in (".ci", ".gitignore")) or top in ("build", "dist")


def test_documents_name_only_commands_that_exist(repo_root: Path) -> None:
    assert list(unknown_commands(repo_root)) == []


def test_contributing_names_every_command(repo_root: Path) -> None:
    text = (repo_root / "CONTRIBUTING.md").read_text()
    known = targets((repo_root / "Makefile").read_text())
    assert known - set(COMMAND_OF_MAKE.findall(text)) == set()


def test_examples_in_documents_are_python(repo_root: Path) -> None:
    assert list(broken_examples(repo_root)) == []


def test_the_readme_shows_a_test_and_both_commands(repo_root: Path) -> None:
    text = (repo_root / "README.md").read_text()
    assert BLOCK_OF_PYTHON.search(text), "no python example"
    assert {"drill", "test"} <= set(COMMAND_OF_MAKE.findall(text))


def test_links_in_documents_lead_somewhere(repo_root: Path) -> None:
    assert list(broken_links(repo_root)) == []


def test_no_text_points_outside_the_repository(repo_root: Path) -> None:
    assert list(pointers_elsewhere(repo_root)) == []


@pytest.mark.parametrize(
    "text", ["run `make chekc` now", "```sh\nmake chekc\n```", "`X=1 make chekc`"]
)
def test_a_planted_unknown_command_is_caught(tmp_path: Path, text: str) -> None:
    plant(
        tmp_path, {"Makefile": "check: x\n\tls\n", "README.md": text, "docs/a.md": "`make check`"}
    )
    assert list(unknown_commands(tmp_path)) == ["README.md: make chekc"]


def test_a_planted_broken_example_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {"README.md": "```python\nx = 1\n```\n```python\ndef f(:\n```\n"})
    assert len(list(broken_examples(tmp_path))) == 1


def test_a_planted_broken_link_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {"README.md": "[a](docs/a.md) [b](docs/b.md#x)", "docs/a.md": "[c](#here)"})
    assert list(broken_links(tmp_path)) == ["README.md: docs/b.md"]


@pytest.mark.parametrize("text", ["see ../shared" + "/a.md", "DEVELOPERS" + ".md says"])
def test_a_planted_pointer_elsewhere_is_caught(tmp_path: Path, text: str) -> None:
    plant(tmp_path, {"docs/a.md": text, ".venv/b.md": text, "c.py": "# shared by all / any"})
    assert [found.partition(":")[0] for found in pointers_elsewhere(tmp_path)] == ["docs/a.md"]
