"""Choosing the engine: the only place that names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drharness.dbms import binaries, template
from drharness.dns import products
from drharness.engines.protocol import Engine, Machines, ProbeStep, Site
from drharness.errors import Unsupported
from drharness.kernel import proc, validate
from drharness.topology import Topology

NAMES = ("auto", "local", "docker")
_DOCKER = "run it with --engine docker"


def engine_named(name: str) -> Engine:
    """The engine of that name; ``auto`` is the first that this host can run.

    :raises UsageError: no such engine
    """
    validate.choice("engine", name, NAMES)
    if name == "docker":
        from drharness.engines.docker.engine import DockerEngine

        return DockerEngine()
    from drharness.engines.local.engine import LocalEngine  # loads msgspec, psycopg and dnslib

    return LocalEngine()


def database(engine: Engine) -> tuple[Path, str]:
    """Where a VM of that engine finds its database template, and the server program.

    :raises Unsupported: this host has no PostgreSQL for them
    :raises StartupFailed: the template could not be built
    """
    if engine.name == "docker":  # they are in the image
        from drharness.engines.docker.template import PLACE

        return Path(f"{PLACE}/template"), f"{PLACE}/bin/postgres"
    place = template.ensure(binaries.find())
    return place, f"{template.programs_of(place)}/postgres"


def require_parts(engine: Engine, topology: Topology) -> None:
    """Nothing to say if the engine can run a topology's parts, where its regions are to be.

    :raises Unsupported: it has no containers
    """
    if engine.name == "docker":
        return
    reason = f"the {engine.name} engine has no containers"
    for part in topology.parts:
        raise Unsupported(f"part {part.name}", reason, _DOCKER)
    for region, context in topology.contexts:
        raise Unsupported(f"{region} on Docker context {context}", reason, _DOCKER)


def require_resolver(engine: Engine, product: str) -> None:
    """Nothing to say if the engine's VMs have the program of a topology's resolver.

    :raises Unsupported: this host lacks it
    """
    if product == products.OURS or engine.name == "docker":  # the images have them all
        return
    if proc.which(product) is None:
        way_out = f"apt-get install {products.PACKAGES[product]}, or --engine docker"
        raise Unsupported(f"resolver {product}", f"no {product} on this host", way_out)


def build_images(telling: Callable[[str], None]) -> list[str]:
    """The tags of the docker engine's images, which its daemon has when this returns.

    :param telling: told each line of progress
    :raises Unsupported: no daemon answers, or the libraries for them cannot be had
    :raises StartupFailed: a build failed; ends with what it said
    """
    from drharness.engines.docker import daemon, images

    client = daemon.reach()
    made = images.ensure(client, telling)
    client.close()
    return list(made)


def clear_left() -> tuple[list[str], list[str], list[str]]:
    """Remove what runs of dead controllers have left in a daemon; no daemon: nothing.

    :return: runs that were removed; runs of other machines' controllers, which stay; networks that
        the daemon does not remove although nothing is connected to them
    """
    from drharness.engines.docker import daemon

    try:
        client = daemon.reach()
    except Unsupported:
        return [], [], []
    try:
        cleared = daemon.clear(client)
    finally:
        client.close()
    return cleared.removed, cleared.foreign, cleared.refused


def portable(name: str, fork: Callable[..., None]) -> Engine:
    """As :func:`engine_named`, its deployments being watched by another process: see ``custody``.

    :param fork: has a deployment's guard forked there
    """
    validate.choice("engine", name, NAMES)
    if name == "docker":
        raise Unsupported(
            "engine docker",
            "its containers end with the process that made them: nothing can be handed on",
            "use the local engine for deployments that stay (--engine local)",
        )
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
