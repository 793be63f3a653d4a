"""The contract of an engine: what a deployment asks of the place it runs in.

An engine knows machines, cables and power; it knows nothing of databases, names or procedures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drharness.kernel.proc import Completed
from drharness.topology import Topology


@dataclass(frozen=True)
class Site:
    """What an engine is to start.

    :ivar evidence: directory of the run; each VM's logs and events appear in ``vms/<id>`` below it
    :ivar files: VM id to absolute path to text, put on its disk before its first boot
    :ivar keep: directories of the host that programs in VMs need (virtual environment, templates)
    :ivar hold: VMs that stay powered off at first
    :ivar soon: those of them that get power right after the start: they can be made ready for it
    """

    topology: Topology
    evidence: Path
    files: Mapping[str, Mapping[str, str]]
    keep: Sequence[str]
    seed: str
    hold: Sequence[str] = ()
    soon: Sequence[str] = ()


@dataclass(frozen=True)
class RegionCut:
    """Nothing passes from one region's network to the other's; one way only."""

    source: str
    target: str


@dataclass(frozen=True)
class VmCut:
    """A VM's cable carries nothing: ``direction`` is ``in`` (to the VM), ``out`` or ``both``."""

    vm: str
    direction: str = "both"


@dataclass(frozen=True)
class PacketCut:
    """What one VM sends another does not arrive; one way only.

    :ivar port: only TCP to this port of ``target``, 0 for everything
    :ivar how: ``drop``, ``reject`` (an ICMP error goes back) or ``reset`` (an RST goes back)
    :ivar answers: ``port`` is that of ``source``: only what it answers from there
    """

    source: str
    target: str
    port: int = 0
    how: str = "drop"
    answers: bool = False


Cut = RegionCut | VmCut | PacketCut


@dataclass(frozen=True)
class RegionDelay:
    """What goes from one region's network to the other's arrives ``seconds`` later; one way."""

    source: str
    target: str
    seconds: float


@dataclass(frozen=True)
class RegionLoss:
    """That share (0 to 1) of the packets from one region to the other is lost; one way."""

    source: str
    target: str
    share: float


@dataclass(frozen=True)
class RegionRate:
    """From one region to the other passes that much and no more, in bits per second; one way."""

    source: str
    target: str
    bits_per_s: float


Shape = RegionDelay | RegionLoss | RegionRate

# Powers that only some faults need: names of steps of ``Engine.probe``.
QUEUES, STATISTIC, RATES, FAKETIME = "NFQUEUE", "statistic", "htb and u32", "libfaketime"
POWER_OF = {RegionDelay: QUEUES, RegionLoss: STATISTIC, RegionRate: RATES}


@dataclass(frozen=True)
class ProbeStep:
    """One line of ``drharness doctor``: a power, whether it is there, what to do if not.

    :ivar required: the engine cannot run without it; else only some faults need it
    :ivar detail: the reason, then ``" -- way out: "`` and what to do; of a library its path
    """

    name: str
    ok: bool
    required: bool
    detail: str = ""


@dataclass(frozen=True)
class Holds:
    """What an engine holds of the controller's process for deployments that are not down.

    :ivar trees: process ids that are its own with all below them; ``processes``: without
    :ivar coming: deployments on their way up whose processes are not known yet
    :ivar descriptors: numbers of open descriptors; ``threads``: identifiers of threads
    """

    trees: frozenset[int] = frozenset()
    coming: int = 0
    processes: frozenset[int] = frozenset()
    descriptors: frozenset[int] = frozenset()
    threads: frozenset[int] = frozenset()


class Machine(Protocol):
    """A running (or powered-off) VM as the controller sees it."""

    id: str

    @property
    def is_on(self) -> bool:
        """Whether it has power."""

    def submit(self, op: str, *, timeout: float, **fields: Any) -> Future[Any]:
        """Send the agent a request; the future raises what :meth:`call` and :meth:`run` raise."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 10.0,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        user: str = "",
        input: str = "",
    ) -> Completed:
        """Run a command in the VM and wait for it.

        :raises CommandFailed: non-zero status (unless ``check`` is false), or not ended in time
        :raises EngineLost: the VM is powered off
        """

    def call(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = 10.0
    ) -> Any:
        """Call ``"module:function"`` in a fresh process in the VM with JSON keyword arguments.

        :raises RemoteError: the function's own error
        :raises EngineLost: the VM is powered off
        """


class Machines(Protocol):
    """Everything an engine has started for one deployment.

    :ivar unsure_ns: how much instants that VMs tell may be off; 0: they have the controller's clock
    """

    unsure_ns: int

    @property
    def lost(self) -> Mapping[str, str]:
        """What ended though nobody ended it (for want of memory, say), and how: VMs, shapes."""

    def machine(self, vm: str) -> Machine:
        """The VM of that id."""

    def power_off(self, *vms: str) -> None:
        """Pull the cables, then the power: nothing in the VMs runs when this returns."""

    def power_on(self, *vms: str, hold: bool = False) -> None:
        """Boot; with ``hold`` prepare the VM (firewall) but start no service."""

    def freeze(self, *vms: str) -> None:
        """Stop every process in the VMs; their kernels still answer."""

    def thaw(self, *vms: str) -> None:
        """Let them go on."""

    def cut(self, cut: Cut) -> None:
        """Apply a cut; established connections are cut too, and nobody is told.

        A :class:`VmCut` or :class:`PacketCut` is gone once the power of its VM is.
        """

    def heal(self, cut: Cut) -> None:
        """Undo that cut and only that."""

    def shape(self, shape: Shape) -> None:
        """Delay, lose or limit what goes between regions, over established connections too.

        :raises RemoteError: it cannot be done; nothing was changed
        """

    def unshape(self, shape: Shape) -> None:
        """Undo that shape and only that."""

    def limit_disk(self, vm: str, free: int | None) -> None:
        """Leave a VM's disk that many free bytes, rounded up to pages; None: all of its size.

        What is on the disk stays. Of a VM that is powered off too.
        """

    def collect(self) -> None:
        """What the VMs have written until now is in the evidence when this returns."""

    def power(self, name: str) -> ProbeStep:
        """Whether this host has a power that not every deployment needs (see ``POWER_OF``)."""

    def down(self) -> None:
        """End everything; nothing is left but the evidence when this returns."""


class Engine(Protocol):
    """A place where deployments can run."""

    name: str

    def probe(self) -> list[ProbeStep]:
        """What this host can do, step by step; stops at the first required step that fails."""

    def start(self, site: Site) -> Machines:
        """Make all machines and boot those that are not held.

        :raises StartupFailed: and nothing is left
        """

    def holds(self) -> Holds:
        """What it holds of this process, for all deployments that are not down."""

    def left(self, run: Path) -> dict[str, list[str]]:
        """What is left of the deployment with that directory, which was taken down or given away.

        :return: kind (``processes``, ``mounts``, ``files``, ...) to names; empty if nothing is
        """
