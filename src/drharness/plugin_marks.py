"""The marker ``dr``: what a test says of its deployment.

Its arguments are those of ``Topology.guide()``, but for ``staged``, which is about the host:
whether another deployment may come up while the test runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

MARKER = (
    "dr(replication='async', ttl=30, staged=False, ...): arguments of Topology.guide() for "
    "dr_topology; staged: whether another deployment may come up while the test runs"
)


def topology_of(node: pytest.Item | pytest.Collector) -> dict[str, Any]:
    """The arguments of its topology; a function's win over its class's or module's."""
    found = _marked(node)
    found.pop("staged", None)
    return found


def staged_of(node: pytest.Item | pytest.Collector) -> bool | None:
    """What it says of staging; None if it does not."""
    wanted = _marked(node).get("staged")
    if wanted is not None and not isinstance(wanted, bool):
        text = f"UsageError: {spelled({'staged': wanted})}: expected True or False."
        pytest.fail(text, pytrace=False)
    return wanted


def _marked(node: pytest.Item | pytest.Collector) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("dr"))):
        if mark.args:
            text = f"UsageError: @pytest.mark.dr: arguments by name only, got {mark.args}."
            pytest.fail(text, pytrace=False)
        merged.update(mark.kwargs)
    return merged


def spelled(arguments: Mapping[str, Any]) -> str:
    """As the marker is written."""
    return f"@pytest.mark.dr({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"
