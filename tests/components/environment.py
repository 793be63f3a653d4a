"""A world for components in one process: real sockets on loopback, everything else in memory.

Every VM has an address of its own in 127.0.0.0/8, so that all can use the products' ports; another
process that runs these tests has others. A component is a task; killing it ends its links as the
kernel would.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drharness.components import provision
from drharness.components.environment import Disk, Environment, NameNotFound
from drharness.components.link import Handler, Link, Quiet
from drharness.components.store import Store
from drharness.components.wire import connect
from drharness.kernel import clock, rng
from drharness.topology import Profile, Topology, Vm, addresses
from drharness.topology.profile import FAST
from tests.components import own_time
from tests.components.memory_store import Database, MemoryStore

QUICK = dataclasses.replace(
    FAST,
    addp_timeout=0.4,
    addp_remote_timeout=0.4,
    retry=0.03,
    sampling=0.05,
    d=2.0,
    op_deadline=0.6,
)
PATIENCE = 30.0  # seconds for what is to come, however slowly: when is not the claim
P, B = addresses.FRAMEWORK_NAMES


def local(text: str) -> str:
    """The same text with the addresses of Framework and Application VMs moved to the loopback."""
    return re.sub(r"\b10\.8([1-4])\.([12])\.(\d+)", _local, text)


def _local(found: re.Match[str]) -> str:
    """127, thirteen bits of the process, two of the region, one of the subnet; the host."""
    region, subnet, host = (int(number) for number in found.groups())
    middle = os.getpid() % 8191 + 1 << 3 | region - 1 << 1 | subnet - 1
    return f"127.{middle >> 8}.{middle & 255}.{host}"


class TempDisk:
    """A VM's files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read_text(self, path: str) -> str:
        return self._at(path).read_text()

    def write_text(self, path: str, text: str) -> None:
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        self._at(path).write_text(text)

    def exists(self, path: str) -> bool:
        return self._at(path).exists()


class TaskChild:
    """A component that runs as a task."""

    def __init__(self, pid: int, task: asyncio.Task[None]) -> None:
        self._pid, self.task = pid, task
        self._signal = 0

    @property
    def pid(self) -> int:
        return self._pid

    def kill(self, signal: int) -> None:
        self._signal = signal
        self.task.cancel()

    async def wait(self) -> int:
        await asyncio.wait([self.task])
        if self.task.cancelled():
            return -self._signal
        return 1 if self.task.exception() else 0


class World:
    """All VMs of the guide's topology, with two databases.

    :ivar names: what the name server answers
    :ivar asked: every name that was looked up by an Application VM, in order
    :ivar events: recorded events
    """

    def __init__(self, root: Path, profile: Profile = QUICK) -> None:
        self.root, self.profile = root, profile
        self.topology = Topology.guide()
        self.databases = {self.topology.dbms(r).address: Database() for r in self.topology.regions}
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.logs: list[str] = []
        self.children: dict[str, TaskChild] = {}
        self.point_names_to("region1")

    def point_names_to(self, region: str) -> None:
        """Switch both names to a region's Framework VMs."""
        vms = self.topology.vms_of(region, "framework")
        for name, vm in zip((P, B), vms, strict=True):
            self.names[name] = [local(vm.address)]

    def address(self, vm: str) -> str:
        """A VM's address here."""
        return local(self.topology.vm(vm).address)

    def database(self, region: str) -> Database:
        """A region's database."""
        return self.databases[self.topology.dbms(region).address]

    def environment(self, component: str, argv: Sequence[str] = ()) -> TestEnvironment:
        """A component's environment; its VM's files are provisioned if they are not there yet."""
        vm = self.topology.vm(component.rpartition(".")[0])
        disk = TempDisk(self.root / vm.id)
        for path, text in provision.files(self.topology, vm.id).items():
            if not disk.exists(path):
                disk.write_text(path, local(text))
        return TestEnvironment(self, component, vm, disk, argv)

    async def start(self, component: str, *extra: str) -> TaskChild:
        """Start a component as provisioned; ``"-lca", "0"`` makes it primary by itself."""
        vm, _, kind = component.rpartition(".")
        service = provision.agent(self.topology, vm)
        for candidate in provision.services(self.topology, vm):
            if candidate.name == kind:
                service = candidate
        assert service is not None, f"{component} is not provisioned"
        environment = self.environment(component)
        argv = [local(word) for word in service.argv]
        return await environment.spawn(kind, service.factory, (*argv, *extra))

    async def stop(self) -> None:
        """Kill everything."""
        for _ in range(2):  # an agent may have started something meanwhile
            tasks = [child.task for child in self.children.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    # -- what was seen ---------------------------------------------------------------------

    def of(self, kind: str, **fields: object) -> list[dict[str, Any]]:
        """Events of a kind with these fields."""
        return [
            e
            for e in self.events
            if e["kind"] == kind and all(e.get(k) == v for k, v in fields.items())
        ]

    def last(self, component: str) -> dict[str, Any]:
        """A component's last claim."""
        found = self.of("comp", id=component)
        return found[-1] if found else {}

    def logged(self, text: str) -> list[str]:
        """Log lines that contain a text."""
        return [line for line in self.logs if text in line]

    async def link(self, vm: str, port: int, handler: Handler | None = None) -> Link:
        """A test's own link to a port of a VM."""
        return await connect(
            self.address(vm), port, handler or Quiet(), log=self.logs.append, timeout=PATIENCE
        )


class TestEnvironment:
    """Implements ``Environment``."""

    __test__ = False

    def __init__(
        self, world: World, component: str, vm: Vm, disk: TempDisk, argv: Sequence[str]
    ) -> None:
        self.world, self.component, self.argv = world, component, argv
        self.vm, self.region, self.address = vm.id, vm.region, local(vm.address)
        self.profile, self.rng = world.profile, rng.stream(0, component)
        self.disk: Disk = disk
        self._role = vm.role

    def log(self, text: str) -> None:
        self.world.logs.append(f"{self.component} {text}")

    def sample(self, kind: str, /, **fields: Any) -> None:
        """An event each."""
        self.record(kind, **fields)

    def record(self, kind: str, /, **fields: Any) -> None:
        self.world.events.append({"v": 1, "t": clock.now_ns(), "kind": kind, **fields})

    async def resolve(self, name: str) -> list[str]:
        await asyncio.sleep(0)
        if self._role == "framework":
            vms = self.world.topology.vms_of(self.region, "framework")
            return [local(vms[(P, B).index(name)].address)]
        self.world.asked.append(name)
        if name not in self.world.names:
            raise NameNotFound(f"{name}: no such name")
        return self.world.names[name]

    async def start_part(self, name: str) -> TaskChild:
        raise NotImplementedError(name)

    async def spawn(self, name: str, factory: str, argv: Sequence[str]) -> TaskChild:
        module, _, function = factory.partition(":")
        main: Callable[[Environment], Awaitable[None]]
        main = getattr(importlib.import_module(module), function)
        component = f"{self.vm}.{name}"
        environment = self.world.environment(component, (*argv, "-transport-address", self.address))

        async def run() -> None:
            await main(environment)

        child = TaskChild(len(self.world.children) + 100, asyncio.create_task(run()))
        self.world.children[component] = child
        return child

    def open_store(self, settings: Mapping[str, str]) -> Store:
        return MemoryStore(self.world.databases[settings["dbserver"]])


async def until(probe: Callable[[], object], what: str, *, timeout: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    deadline = clock.Deadline(timeout)
    while not probe():
        assert not deadline.passed, f"{what}: not within {timeout} s"
        await asyncio.sleep(0.005)


def play(root: Path, scenario: Callable[[World], Awaitable[None]]) -> World:
    """Run a scenario in a fresh world, then end every component; no task may have failed."""

    async def whole() -> World:
        world = World(root)
        try:
            await scenario(world)
        finally:
            await world.stop()
        return world

    return own_time.run(whole())
