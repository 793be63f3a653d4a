"""The modules of replaced components, for VMs that do not see the controller's file systems.

A topology names a replacement as ``module:name``. Its module travels with the VM's files, and what
it imports from beside it: its packages' ``__init__.py`` and the files of its own directory. What
the image has (this package) stays where it is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from drharness.errors import UsageError

PLACE = "/var/lib/drharness/python"  # on the VM's disk, and on the images' PYTHONPATH
_OURS = "drharness"


def files(targets: Iterable[str]) -> dict[str, str]:
    """Path in a VM to text, for replacements given as ``module:name``.

    :raises UsageError: a module cannot be found, or is not written in Python
    """
    modules = {target.partition(":")[0] for target in targets}
    return {
        f"{PLACE}/{relative}": path.read_text()
        for module in sorted(modules)
        if module.partition(".")[0] != _OURS
        for relative, path in _of(module)
    }


def _of(module: str) -> Iterator[tuple[str, Path]]:
    packages = module.split(".")[:-1]
    for depth in range(1, len(packages) + 1):
        found = _source(".".join(packages[:depth]))
        if found is not None:  # else a directory without one: a namespace package
            yield "/".join([*packages[:depth], "__init__.py"]), found
    path = _source(module)
    if path is None:
        raise UsageError(
            f"replaced component: {module!r}: expected a module with a source file, found none; "
            "containers cannot load another one."
        )
    if path.name == "__init__.py":
        packages = module.split(".")
    if not packages:
        yield path.name, path
        return
    for beside in sorted(path.parent.glob("*.py")):
        yield "/".join([*packages, beside.name]), beside


def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)
