"""What one Docker daemon holds of a deployment: networks, the disks of its VMs, and their router.

With one daemon that is everything. With one for each region, joined in a Swarm, each has a network
and a router of its own, and the routers meet on an attachable overlay network, where they have the
addresses that Docker gives them: a Swarm answers for those only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from drharness.engines.agent.channel import Message
from drharness.engines.client import Link, result
from drharness.engines.docker import daemon
from drharness.engines.docker.boot import DISK, LOGS
from drharness.engines.docker.images import Images
from drharness.engines.docker.router import ALL_LOGS, DISKS, Leg, Route
from drharness.engines.docker.vessel import Net, Vessel
from drharness.errors import EngineLost, Unsupported
from drharness.kernel import clock
from drharness.topology import Topology, Vm, addresses

_TRIPS, _CLOCK_S = 9, 5.0
_MANAGER = "docker swarm init on the first, docker swarm join on the others"
Each = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


class Place:
    """One daemon's.

    :ivar context: by which the daemon is reached; empty: the one that ``docker`` would use
    :ivar numbers: of the networks here: 0 is outside, the others are regions
    :ivar behind_ns: how far the clock of its VMs is behind the controller's; ``unsure_ns``: at most
        so much more or less
    """

    def __init__(
        self, context: str, numbers: Sequence[int], topology: Topology, client: Any, images: Images
    ) -> None:
        self.context, self.numbers, self.client = context, tuple(numbers), client
        self._images = images
        self.vms = [vm for vm in topology.vms if vm.number in numbers]
        self.networks: dict[int, Net] = {}
        self.vessel: Vessel | None = None
        self._router: Link | None = None
        self.behind_ns = self.unsure_ns = 0

    def make(self, run: str, each: Each) -> None:
        """Make the networks and the disks; ``each`` does much at once."""
        networks = [partial(self._make_network, run, number) for number in self.numbers]
        each(
            lambda make: make(),
            [*networks, *(partial(self._make_volumes, run, vm.id) for vm in self.vms)],
        )

    def _make_network(self, run: str, number: int) -> None:
        options = {
            "com.docker.network.bridge.enable_ip_masquerade": "false",
            "com.docker.network.driver.mtu": "1500",
        }
        wanted = {"driver": "bridge", "options": options, "labels": daemon.labels(run)}
        with daemon.saying(f"network {number} of {run}"):
            self.networks[number] = Net(daemon.how(self.context), wanted).create()

    def _make_volumes(self, run: str, vm: str) -> None:
        """File systems in memory, for a VM's disk and for its logs; the router gives them a size.

        Podman takes a size here for a quota of its own, which not every file system can keep.
        """
        options = {"type": "tmpfs", "device": "tmpfs", "o": "mode=755"}
        for name in (_disk_of(run, vm), _logs_of(run, vm)):
            with daemon.saying(f"volume {name}"):
                self.client.volumes.create(
                    name, driver="local", driver_opts=options, labels=daemon.labels(run)
                )

    def new_vessel(self, run: str, vm: Vm) -> Vessel:
        """A VM's container, which does not exist yet."""
        return Vessel(
            vm.id,
            self._images.of(vm),
            run,
            self.networks[vm.number],
            self.context,
            read_only=True,
            volumes={DISK: _disk_of(run, vm.id), LOGS: _logs_of(run, vm.id)},
        )

    # -- the router ------------------------------------------------------------------------

    def create_router(self, run: str, between: str) -> None:
        """Its container, with a cable in every network here, and in the one between places."""
        disks = {f"{DISKS}/{vm.id}": _disk_of(run, vm.id) for vm in self.vms}
        logs = {f"{ALL_LOGS}/{vm.id}": _logs_of(run, vm.id) for vm in self.vms}
        first, *others = self.numbers
        router = Vessel(
            f"router{first or ''}",
            self._images.dns,
            run,
            self.networks[first],
            self.context,
            entrypoint=["python3", "-m", "drharness.engines.docker.router"],
            volumes=disks | logs,
        )
        router.create()
        with daemon.saying("networks of the router"):
            for number in others:
                self.networks[number].connect(router.inner.id)
            if between:  # by name: a worker learns of the network when it needs it
                self.client.api.connect_container_to_network(router.inner.id, between)
            router.inner.reload()
        self.vessel = router

    def address_on(self, network: str) -> str:
        """Docker's address of the router there."""
        return str(self._connected[network]["IPAddress"])

    @property
    def _connected(self) -> Mapping[str, Any]:
        if self.vessel is None:
            raise EngineLost("the router is not there")
        connected: Mapping[str, Any] = self.vessel.inner.attrs["NetworkSettings"]["Networks"]
        return connected

    def about(self, ways: Mapping[int, str]) -> Message:
        """What its router is told first: its own legs, and by whom the other networks are reached.

        :param ways: network's number to the address of the router that has it
        """
        connected = self._connected
        legs = [
            Leg(connected[net.name]["MacAddress"], addresses.router(n), addresses.PREFIX, n)
            for n, net in self.networks.items()
        ]
        routes = [
            Route(addresses.network(n), way) for n, way in ways.items() if n not in self.networks
        ]
        told: Message = msgspec.to_builtins({"legs": legs, "routes": routes})
        return told

    @property
    def router(self) -> Link:
        """To ask it.

        :raises EngineLost: it is not there
        """
        if self._router is None:
            raise EngineLost("the router is not there")
        return self._router

    @router.setter
    def router(self, link: Link) -> None:
        self._router = link

    def compare_clocks(self) -> None:
        """See how far the daemon's host is behind ours; not at all if it has the same clock.

        As in NTP: the answer was given in the middle of the quickest of some round trips.
        """
        trips, source = [], ""
        for _ in range(_TRIPS):
            sent = clock.now_ns()
            seen, source = result(self.router.submit("clock"), "the router's clock", _CLOCK_S)
            back = clock.now_ns()
            trips.append((back - sent, (sent + back) // 2 - int(seen)))
        took, behind = min(trips)
        same = source == clock.source()
        self.behind_ns, self.unsure_ns = (0, 0) if same else (behind, took)

    @property
    def has_router(self) -> bool:
        """Whether it can be asked."""
        return self._router is not None

    def close(self) -> None:
        """Let go of the daemon."""
        if self.vessel is not None:
            self.vessel.close()
        for network in self.networks.values():
            network.close()
        self.client.close()


def _disk_of(run: str, vm: str) -> str:
    return f"{run}-{vm}"


def _logs_of(run: str, vm: str) -> str:
    return f"{run}-{vm}-logs"


def contexts(topology: Topology) -> dict[str, list[int]]:
    """Docker contexts and the numbers of the networks in each; outside is where region 1 is."""
    chosen, found = dict(topology.contexts), dict[str, list[int]]()
    for number, region in enumerate(topology.regions, start=1):
        found.setdefault(chosen.get(region, ""), []).append(number)
    first = next(iter(found))
    found[first].insert(0, 0)
    return found


def join(run: str, places: Sequence[Place]) -> Net | None:
    """The network on which the routers of several places meet; None for one.

    :raises Unsupported: their daemons are not joined in a Swarm, or the first does not manage it
    """
    if len(places) == 1:
        return None
    first = places[0]
    _check_swarm(places)
    wanted = {"driver": "overlay", "attachable": True, "labels": daemon.labels(run)}
    with daemon.saying(f"network between the daemons of {run}"):
        return Net(daemon.how(first.context), wanted).create()


def _check_swarm(places: Sequence[Place]) -> None:
    clusters = set()
    for number, place in enumerate(places):
        swarm = place.client.info().get("Swarm") or {}
        where = f"context {place.context or 'in use'}"
        if swarm.get("LocalNodeState") != "active":
            raise Unsupported("engine docker", f"{where}: not in a Swarm", _MANAGER)
        if number == 0 and not swarm.get("ControlAvailable"):
            raise Unsupported("engine docker", f"{where}: does not manage its Swarm", _MANAGER)
        clusters.add((swarm.get("Cluster") or {}).get("ID") or "")
    if len(clusters - {""}) > 1:  # a worker does not say which
        raise Unsupported("engine docker", "the contexts are in different Swarms", _MANAGER)
