"""Choosing the engine: the only place that names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drharness.engines.protocol import Engine, Machines, ProbeStep, Site
from drharness.errors import Unsupported
from drharness.kernel import validate

NAMES = ("auto", "local")


def engine_named(name: str) -> Engine:
    """The engine of that name; ``auto`` is the first that this host can run.

    :raises UsageError: no such engine
    """
    validate.choice("engine", name, NAMES)
    from drharness.engines.local.engine import LocalEngine  # loads msgspec, psycopg and dnslib

    return LocalEngine()


def portable(name: str, fork: Callable[..., None]) -> Engine:
    """As :func:`engine_named`, its deployments being watched by another process: see ``custody``.

    :param fork: has a deployment's guard forked there
    """
    validate.choice("engine", name, NAMES)
    from drharness.engines.local.handover import PortableEngine

    return PortableEngine(fork)


def forker() -> Callable[..., None]:
    """What has guards forked that watch this process."""
    from drharness.engines.local import handover

    return handover.forker()


def taken(site: Site, held: Mapping[str, int]) -> Machines:
    """Machines that another process has given away, with their descriptors."""
    from drharness.engines.local.handover import TakenMachines

    return TakenMachines(site, held)


def given(machines: Any) -> dict[str, int]:
    """Let go of a portable engine's machines: their descriptors, which the caller closes."""
    held: dict[str, int] = machines.give()
    return held


def failed_step(steps: list[ProbeStep]) -> ProbeStep | None:
    """The first required step that this host cannot do, if any."""
    return next((s for s in steps if s.required and not s.ok), None)


def require(engine: Engine) -> None:
    """Nothing to say if the host can run the engine.

    :raises Unsupported: names the first step that fails and the way out
    """
    step = failed_step(engine.probe())
    if step is not None:
        reason, _, way_out = step.detail.partition(" -- way out: ")
        raise Unsupported(
            f"engine {engine.name}",
            f"step '{step.name}' fails: {reason}",
            way_out or "run `drharness doctor`; on a host without namespaces use a Linux VM",
        )
