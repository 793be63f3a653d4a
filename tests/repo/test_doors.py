"""One door each to time, randomness and processes: everything else goes through ``kernel``.

So a run can be repeated from its seed, waits have deadlines that say what was awaited, and the
simulator can replace the clock. Ruff's TID251 says the same while typing; this test also knows the
calls that it cannot see.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.repo.trees import Source, dotted, imports, plant, sources

HOME = "kernel/"
DOORS: Mapping[str, str] = {
    "time": "kernel.clock",
    "secrets": "kernel.rng",
    "uuid": "kernel.rng",
    "subprocess": "kernel.proc",
    "multiprocessing": "kernel.proc",
}
CALLS: Mapping[str, str] = {
    "now": "kernel.clock",
    "utcnow": "kernel.clock",
    "today": "kernel.clock",
    "urandom": "kernel.rng",
    "getrandom": "kernel.rng",
    "SystemRandom": "kernel.rng",
    "create_subprocess_exec": "kernel.proc",
    "create_subprocess_shell": "kernel.proc",
}
OS_PROCESS_CALLS = ("system", "popen", "fork", "forkpty", "exec", "spawn", "posix_spawn")
SLEEPS = ("sleep", "nap")

# Where a door may be passed by, and why. A name ending in "/" is a folder.
FORKING: Mapping[str, str] = {
    "engines/agent/": "PID 1 of a VM forks its components and commands itself",
    "engines/local/": "namespaces are entered between fork and exec",
    "dbms/as_postgres.py": "becomes the server's user, then the server",
}
SLEEPING: Mapping[str, str] = {
    "components/": "asyncio.sleep: a retry interval that passes, virtual under the simulator",
    "dns/": "asyncio.sleep: an answer that is slow on purpose",
    "dbms/observer.py": "asyncio.sleep: the sampling interval",
    "dbms/session.py": "the one polling loop of asyncio code",
    "engines/agent/reach.py": "a probe awaits the controller's gate file, with a deadline",
}


def door_violations(root: Path) -> Iterator[str]:
    """Uses of time, randomness or processes that do not go through ``kernel``."""
    for source in sources(root):
        if source.path.startswith(HOME):
            continue
        for found in imports(source):
            if found.top in DOORS:
                yield source.at(found.node, f"{found.top}: use {DOORS[found.top]}")
            elif found.module in ("os", "random", "asyncio", "datetime") and found.name in (
                *CALLS,
                "sleep",
                *(("choice", "randint", "random", "uniform") if found.top == "random" else ()),
            ):
                yield source.at(found.node, f"{found.module}.{found.name}: use the kernel's")
        yield from _random_uses(source)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and (text := _refused_call(source, dotted(node.func))):
                yield source.at(node, text)


def _random_uses(source: Source) -> Iterator[str]:
    """``random.Random`` may stand in annotations (a stream is handed in); nothing else of it."""
    called = {id(n.func) for n in ast.walk(source.tree) if isinstance(n, ast.Call)}
    for node in ast.walk(source.tree):
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        if name.startswith("random.") and (name != "random.Random" or id(node) in called):
            yield source.at(node, f"{name}: use kernel.rng")


def _refused_call(source: Source, name: str) -> str | None:
    base, _, last = name.rpartition(".")
    if last in CALLS and base.startswith(("datetime", "date", "os", "asyncio", "random")):
        return f"{name}: use {CALLS[last]}"
    if base == "os" and last.startswith(OS_PROCESS_CALLS) and not _excepted(source, FORKING):
        return f"{name}: use kernel.proc"
    if last in SLEEPS and not (name == "asyncio.sleep" and _excepted(source, SLEEPING)):
        return f"{name}: wait on a condition with kernel.waiting"
    return None


def _excepted(source: Source, exceptions: Mapping[str, str]) -> bool:
    return any(
        source.path == name or (name.endswith("/") and source.path.startswith(name))
        for name in exceptions
    )


def test_only_the_kernel_touches_time_randomness_and_processes(repo_root: Path) -> None:
    assert list(door_violations(repo_root / "src" / "drharness")) == []


@pytest.mark.parametrize("name", [*FORKING, *SLEEPING])
def test_every_named_exception_exists(repo_root: Path, name: str) -> None:
    assert (repo_root / "src" / "drharness" / name).exists()


def test_tests_go_through_the_same_doors_and_never_sleep(repo_root: Path) -> None:
    assert list(door_violations(repo_root / "tests")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "def f():\n    import uuid",
        "import secrets",
        "import subprocess as s",
        "import random\nx = random.random()",
        "import random\nx = random.Random(3)",
        "from random import choice",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime\nx = datetime.datetime.utcnow()",
        "import os\nx = os.urandom(3)",
        "from os import urandom",
        "import os\nos.execvp('a', ['a'])",
        "import os\npid = os.fork()",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "from asyncio import sleep",
        "import asyncio\nasync def f():\n    await asyncio.create_subprocess_exec('a')",
        "from drharness.kernel import clock\nclock.nap(1)",
    ],
)
def test_a_planted_way_round_a_door_is_caught(tmp_path: Path, text: str) -> None:
    assert len(list(door_violations(plant(tmp_path, {"faults/a.py": text})))) == 1


def test_the_doors_themselves_and_named_exceptions_are_let_through(tmp_path: Path) -> None:
    files = {
        "components/lca.py": "import random, asyncio\ndef f(r: random.Random): ...\n"
        "async def g():\n    await asyncio.sleep(1)",
        "dns/server.py": "import asyncio\nasync def g():\n    await asyncio.sleep(1)",
        "engines/agent/init.py": "import os\npid = os.fork()",
        "kernel/clock.py": "import time\ntime.sleep(1)",
    }
    assert list(door_violations(plant(tmp_path, files))) == []
