"""After a heal: everybody can write again."""

from __future__ import annotations

from functools import partial

from drharness.deployment import Deployment
from drharness.kernel.waiting import wait_until


def _written(d: Deployment, region: str) -> bool:
    return bool(d.operations.canary(region, "after", deadline=3.0)["ok"])


def wait_writable(d: Deployment) -> None:
    """A write goes through in each region, at the latest when everybody has reconnected."""
    for region in d.topology.regions:
        wait_until(partial(_written, d, region), f"a write through {region}", timeout=15.0)
