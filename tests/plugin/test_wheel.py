"""A user's first minutes: the wheel in a clean environment, and the ten-line test alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drharness.kernel import proc
from tests.plugin.test_drill import TEN_LINES

BUILD = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"


@pytest.mark.slow
def test_a_fresh_install_runs_the_ten_lines(repo_root: Path, tmp_path: Path) -> None:
    build = ["env", "-C", str(repo_root), sys.executable, "-c", BUILD, str(tmp_path)]
    wheel = tmp_path / proc.run(build, timeout=60).stdout.split()[-1]
    python = tmp_path / "venv" / "bin" / "python"
    proc.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(wheel)]
    proc.run(pip, timeout=100)
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_dr.py").write_text(TEN_LINES)
    cache = f"XDG_CACHE_HOME={tmp_path / 'cache'}"  # a first use; and this one's goes away again
    clean = ["env", "-u", "PYTHONPATH", "-u", "PYTEST_ADDOPTS", "-C", str(suite), cache]
    done = proc.run([*clean, str(python), "-m", "pytest", "-W", "error"], timeout=60, check=False)
    assert "1 passed" in done.stdout, done.output
    assert "drharness: engine local" in done.stdout
