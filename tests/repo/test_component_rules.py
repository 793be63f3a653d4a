"""The rules of ``components/``: why the same code runs in a VM and in a simulator.

Links go through ``wire``, and the world only through the environment that is handed in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.repo.trees import Source, dotted, imports, plant, sources

WIRE = "wire.py"
BANNED_IMPORTS = frozenset(
    {"concurrent", "ctypes", "multiprocessing", "pathlib", "queue", "secrets", "select",
     "shutil", "socketserver", "subprocess", "tempfile", "threading", "time", "uuid"}
)  # fmt: skip
BANNED_NAMES: Mapping[str, str] = {
    "StreamReader": "links go through wire",
    "StreamWriter": "links go through wire",
    "ThreadPoolExecutor": "no threads or executors",
    "create_subprocess_exec": "children are started by environment.spawn",
    "create_subprocess_shell": "children are started by environment.spawn",
    "getaddrinfo": "names are resolved by environment.resolve",
    "gethostbyname": "names are resolved by environment.resolve",
    "open_connection": "links go through wire",
    "run_in_executor": "no threads or executors",
    "start_server": "links go through wire",
    "start_unix_server": "links go through wire",
    "to_thread": "no threads or executors",
    "wait_for": "use asyncio.timeout",
}
ONLY_IN_WIRE: Mapping[str, str] = {
    "create_connection": "links go through wire",
    "create_datagram_endpoint": "links go through wire",
    "create_server": "links go through wire",
    "socket": "links go through wire",
}
MUTABLE_CALLS = frozenset(
    {"bytearray", "defaultdict", "deque", "dict", "list", "set", "Counter", "OrderedDict"}
)
READ_ONLY = ("Mapping", "Sequence", "Final[Mapping", "Final[Sequence", "ClassVar[Mapping")


def component_violations(root: Path) -> Iterator[str]:
    """What code of a component does that would not run, or not be repeatable, in a simulator."""
    for source in sources(root):
        yield from _banned(source)
        yield from _module_state(source)
        yield from _set_iterations(source)


def _banned(source: Source) -> Iterator[str]:
    banned = {**BANNED_NAMES, **({} if source.path == WIRE else ONLY_IN_WIRE)}
    for found in imports(source):
        if found.top in BANNED_IMPORTS:
            yield source.at(found.node, f"imports {found.top}")
        elif text := banned.get(found.name) or banned.get(found.top):
            yield source.at(found.node, f"{found.name or found.top}: {text}")
        elif found.top == "random" and found.name:
            yield source.at(found.node, "randomness comes from environment.rng")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            if node.attr in banned:
                yield source.at(node, f"{node.attr}: {banned[node.attr]}")
            elif name.startswith("os.") and name != "os.getpid":
                yield source.at(node, f"{name}: the world only through the environment")
        elif isinstance(node, ast.Call) and dotted(node.func) == "open":
            yield source.at(node, "files only through environment.disk")
        elif isinstance(node, ast.Global):
            yield source.at(node, "module-level state")


def _module_state(source: Source) -> Iterator[str]:
    """Mutable values of modules and classes; annotated as Mapping or Sequence, they are tables."""
    messages = _message_classes(source)
    bodies = [source.tree.body]
    bodies += [
        node.body
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name not in messages
    ]
    for node in (statement for body in bodies for statement in body):
        if isinstance(node, ast.AnnAssign):
            if ast.unparse(node.annotation).startswith(READ_ONLY):
                continue
        elif not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]).startswith("__"):
            continue
        if node.value is not None and _is_mutable(node.value):
            yield source.at(node, "module-level mutable state (annotate a table as Mapping)")


def _message_classes(source: Source) -> set[str]:
    """Classes of msgspec, whose instances each have a copy of a field's default."""
    found = {"msgspec.Struct"}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and found & {dotted(base) for base in node.bases}:
            found.add(node.name)
    return found


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return dotted(value.func).split(".")[-1] in MUTABLE_CALLS
    return isinstance(
        value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    )


def _set_iterations(source: Source) -> Iterator[str]:
    """Loops over sets, whose order differs from run to run; ``sorted(...)`` of one is fine."""
    known = _set_names(source)
    for node in ast.walk(source.tree):
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            iterated = [node.iter]
        elif isinstance(node, ast.Call) and dotted(node.func) in ("list", "tuple", "iter", "next"):
            iterated = node.args[:1]
        elif isinstance(node, ast.Starred):
            iterated = [node.value]
        for value in iterated:
            if _is_set(value) or dotted(value) in known:
                yield source.at(value, f"iteration over a set: {ast.unparse(value)}")


def _set_names(source: Source) -> frozenset[str]:
    """Names and attributes that the file declares, or assigns, as sets."""
    found = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith(
            ("set", "frozenset", "AbstractSet", "MutableSet")
        ):
            found.add(dotted(node.target))
        elif isinstance(node, ast.Assign) and _is_set(node.value):
            found.update(dotted(target) for target in node.targets)
    return frozenset(found - {""})


def _is_set(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return dotted(value.func) in ("set", "frozenset")
    return isinstance(value, ast.Set | ast.SetComp)


def test_components_keep_their_rules(repo_root: Path) -> None:
    assert list(component_violations(repo_root / "src" / "drharness" / "components")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import threading",
        "from concurrent.futures import wait",
        "import time",
        "from random import Random",
        "import os\nx = os.environ",
        "import socket",
        "import asyncio\nasync def f(a):\n    await asyncio.wait_for(a, 1)",
        "from asyncio import StreamReader",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('a', 1)",
        "import asyncio\nasync def f(c):\n    await asyncio.start_server(c, 'a', 1)",
        "async def f(loop):\n    await loop.create_connection(1)",
        "async def f(loop):\n    await loop.run_in_executor(None, f)",
        "x = open('/etc/hosts')",
        "SEEN = {}",
        "SEEN: dict[str, int] = {}",
        "import collections\nSEEN = collections.deque()",
        "class C:\n    seen = []",
        "n = 0\ndef f():\n    global n\n    n += 1",
        "for x in {1, 2}: ...",
        "def f():\n    return [x for x in set('ab')]",
        "def f():\n    return list(frozenset('ab'))",
        "class C:\n    def f(self):\n        self.peers: set[int] = set()\n"
        "        for p in self.peers: ...",
    ],
)
def test_a_planted_break_of_a_rule_is_caught(tmp_path: Path, text: str) -> None:
    assert len(list(component_violations(plant(tmp_path, {"lca.py": text})))) == 1


def test_code_that_keeps_the_rules_is_let_through(tmp_path: Path) -> None:
    files = {
        "lca.py": "import asyncio, random\nfrom collections.abc import Mapping\n"
        "PORTS: Mapping[str, int] = {'a': 1}\nNAMES = ('a', 'b')\n"
        "def f(rng: random.Random, peers: set[int]):\n    seen = {1}\n"
        "    return sorted(seen), 1 in {1, 2}, {**PORTS}\n"
        "async def g():\n    async with asyncio.timeout(1): ...\n"
        "class Body(msgspec.Struct): ...\nclass Error(Body):\n    notices: list[str] = []",
        "wire.py": "import socket\nasync def f(loop):\n    await loop.create_server(1)",
    }
    assert list(component_violations(plant(tmp_path, files))) == []
