"""What a user who installs the package gets: the wheel is built and looked into."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

import pytest

import drharness
from drharness.kernel import proc

BUILD = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="session")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of this checkout, built by the declared backend, without a network."""
    target = tmp_path_factory.mktemp("wheel")
    argv = ["env", "-C", str(repo_root), sys.executable, "-c", BUILD, str(target)]
    name = proc.run(argv, timeout=60).stdout.split()[-1]
    return ZipFile(target / name)


@pytest.fixture(scope="session")
def project(repo_root: Path) -> dict[str, Any]:
    """The content of ``pyproject.toml``."""
    return tomllib.loads((repo_root / "pyproject.toml").read_text())


def foreign_files(names: Iterable[str]) -> list[str]:
    """Files of a wheel that would be installed outside the package."""
    tops = ("drharness/", "drharness-")
    return [name for name in names if not name.startswith(tops)]


def missing_files(names: Iterable[str], package: Path) -> list[str]:
    """Files of the package folder that a wheel lacks; compiled leftovers do not count."""
    have = set(names)
    wanted = (
        PurePosixPath("drharness", path.relative_to(package).as_posix())
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )
    return [str(path) for path in wanted if str(path) not in have]


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: ZipFile, repo_root: Path) -> None:
    assert foreign_files(wheel.namelist()) == []
    assert missing_files(wheel.namelist(), repo_root / "src" / "drharness") == []


@pytest.mark.slow
def test_the_wheel_holds_types_and_sql(wheel: ZipFile) -> None:
    names = wheel.namelist()
    assert "drharness/py.typed" in names
    assert [name for name in names if name.endswith(".sql")], "no SQL inside the package"


@pytest.mark.slow
def test_the_wheel_announces_command_plugin_and_license(wheel: ZipFile) -> None:
    (points,) = [n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt")]
    text = wheel.read(points).decode()
    assert "[console_scripts]\ndrharness = drharness.cli:main" in text
    assert "[pytest11]\ndrharness = drharness.plugin" in text
    assert [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]


@pytest.mark.slow
def test_a_suite_elsewhere_finds_the_fixtures_of_the_wheel(wheel: ZipFile, tmp_path: Path) -> None:
    site, suite = tmp_path / "site", tmp_path / "suite"
    wheel.extractall(site)
    suite.mkdir()
    (suite / "test_where.py").write_text(
        "import drharness\n\ndef test_where(dr_deployment): ...\n"
        f"assert drharness.__file__.startswith({str(site)!r}), drharness.__file__\n"
    )
    argv = ["env", "-C", str(suite), f"PYTHONPATH={site}", sys.executable, "-m", "pytest", "-q"]
    listed = proc.run([*argv, "--setup-plan", "-p", "no:cacheprovider"], timeout=60).stdout
    assert "fixtures used: dr_deployment" in listed


def test_planted_foreign_and_missing_files_are_caught(tmp_path: Path) -> None:
    (tmp_path / "py.typed").touch()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").touch()
    names = ["fixtures/__init__.py", "drharness/a.py", "drharness-0.1.0.dist-info/METADATA"]
    assert foreign_files(names) == ["fixtures/__init__.py"]
    assert missing_files(names, tmp_path) == ["drharness/py.typed"]


def test_the_suite_is_strict(project: dict[str, Any]) -> None:
    pytest_options = project["tool"]["pytest"]["ini_options"]
    assert pytest_options["xfail_strict"] is True
    assert pytest_options["filterwarnings"][0] == "error"
    assert pytest_options["timeout"] <= 120
    assert {"--strict-markers", "--strict-config"} <= set(pytest_options["addopts"])
    assert project["tool"]["mypy"]["strict"] is True
    assert {"E", "F", "B", "BLE", "S110", "ERA", "PT"} <= set(
        project["tool"]["ruff"]["lint"]["select"]
    )


def test_the_changelog_has_the_version(repo_root: Path) -> None:
    assert f"## [{drharness.__version__}]" in (repo_root / "CHANGELOG.md").read_text()
