"""Disaster recovery tests for a two-region architecture: stand up, break, recover, judge.

This module is the public list. Names are loaded on first use, so that ``import drharness`` is cheap
and pulls in no third-party library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drharness import errors as errors
    from drharness import faults as faults
    from drharness import procedures as procedures
    from drharness.deployment import deploy as deploy
    from drharness.topology import Topology as Topology

__version__ = "0.1.0"

__all__ = ["Topology", "deploy", "errors", "faults", "procedures"]

# Public name -> where it lives: a module, or a name in one.
_HOMES = {
    "Topology": "drharness.topology:Topology",
    "deploy": "drharness.deployment:deploy",
    "errors": "drharness.errors",
    "faults": "drharness.faults",
    "procedures": "drharness.procedures",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use.

    :raises AttributeError: not a public name
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'drharness' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    found = import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, those not loaded yet included."""
    return sorted({*globals(), *__all__})
