"""The docker engine, controller's side."""

from __future__ import annotations

from pathlib import Path

from drharness.engines.docker import daemon, doctor, guests, images
from drharness.engines.docker.machines import DockerMachines, not_down
from drharness.engines.docker.place import Place, contexts
from drharness.engines.protocol import Holds, ProbeStep, Site


class DockerEngine:
    """Runs deployments in containers (see ``protocol.Engine``)."""

    name = "docker"

    def __init__(self) -> None:
        self._contexts: dict[str, tuple[str, ...]] = {}  # of the runs that were started by this one

    def probe(self) -> list[ProbeStep]:
        """What the daemon can do, step by step."""
        return doctor.examine()

    def start(self, site: Site) -> DockerMachines:
        """Make all machines and boot those that are not held."""
        topology, places = site.topology, list[Place]()
        try:
            for context, numbers in contexts(topology).items():
                client = daemon.reach(context)
                made = images.ensure(client)
                places.append(Place(context, numbers, topology, client, made))
                guests.require_images(client, topology)
        except BaseException:
            for place in places:
                place.close()
            raise
        self._contexts[site.evidence.name] = tuple(place.context for place in places)
        machines = DockerMachines(site, places)
        try:
            machines.launch()
            machines.power_on(*(vm.id for vm in site.topology.vms if vm.id not in site.hold))
        except BaseException:
            machines.down()
            raise
        return machines

    def holds(self) -> Holds:
        """What the deployments that are not down hold of this process."""
        found = [machines.holds() for machines in tuple(not_down)]
        return Holds(
            processes=frozenset().union(*(h.processes for h in found)),
            descriptors=frozenset().union(*(h.descriptors for h in found)),
            threads=frozenset().union(*(h.threads for h in found)),
        )

    def left(self, run: Path) -> dict[str, list[str]]:
        """What the daemon still has of the deployment with that directory."""
        names: dict[str, list[str]] = {}
        for context in self._contexts.get(run.name, ("",)):
            client = daemon.reach(context)
            for kind, left in daemon.left(client, run.name).items():
                names.setdefault(kind, []).extend(left)
            client.close()
        return names
