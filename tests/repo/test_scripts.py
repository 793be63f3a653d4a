"""The scripts that set up a machine and run continuous integration can at least be run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drharness.errors import CommandFailed
from drharness.kernel import proc

SCRIPTS = (".ci/run", "scripts/setup.sh")


def check_script(path: Path) -> None:
    """Fail unless a file is an executable bash script without syntax errors."""
    assert path.read_text().startswith("#!/bin/bash\n"), f"{path}: not a bash script"
    assert os.access(path, os.X_OK), f"{path}: not executable"
    proc.run(["bash", "-n", str(path)])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_executable_bash(repo_root: Path, name: str) -> None:
    check_script(repo_root / name)


def test_a_planted_broken_script_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("#!/bin/bash\nif true; then\n")
    with pytest.raises(AssertionError, match="not executable"):
        check_script(path)
    path.chmod(0o755)
    with pytest.raises(CommandFailed, match="syntax error"):
        check_script(path)


def test_make_alone_lists_every_command(repo_root: Path) -> None:
    listed = proc.run(["make", "-C", str(repo_root), "--no-print-directory"]).stdout
    commands = {line.split()[1] for line in listed.splitlines()}
    assert {"bench", "check", "clean", "drill", "help", "test"} <= commands


def test_a_missing_interpreter_is_named(repo_root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "scripts" / "setup.sh"
    copy.parent.mkdir()
    copy.write_bytes((repo_root / "scripts" / "setup.sh").read_bytes())
    copy.chmod(0o755)
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(CommandFailed, match="found none in PYTHON=/nonexistent/python"):
        proc.run(["env", "PYTHON=/nonexistent/python", str(copy)])
    assert not (tmp_path / ".venv").exists()
