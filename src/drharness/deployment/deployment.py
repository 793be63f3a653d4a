"""The running system as its users hold it; ``life`` brings it up and takes it down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from drharness.checks.budget import Budget
from drharness.checks.judge import judge
from drharness.checks.verdict import Judgement
from drharness.deployment import census, evidence
from drharness.deployment.engines import given
from drharness.deployment.names import Names
from drharness.deployment.operations import Operations
from drharness.deployment.traffic import Traffic
from drharness.engines.protocol import Machine, Machines
from drharness.errors import DrHarnessError, UsageError
from drharness.history import store
from drharness.history.event import Data
from drharness.history.recorder import Recorder
from drharness.history.view import History
from drharness.kernel.waiting import wait_until
from drharness.topology import Component, Topology, Vm

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_CLIENT = "drharness.components.client"


class Injectable(Protocol):
    """What :meth:`Deployment.inject` takes: a fault."""

    def inject(self, operations: Operations) -> Any:
        """Apply it, prove it, and return its guard."""


class Healable(Protocol):
    """A fault in force, until it is healed; healing it twice does nothing the second time."""

    @property
    def fault(self) -> object:
        """What was injected; its ``repr`` is code."""

    healed: bool

    def heal(self) -> None:
        """Undo exactly what it broke."""


class Runnable(Protocol[T_co]):
    """What :meth:`Deployment.run` takes: a procedure."""

    def carry_out(self, deployment: Deployment) -> T_co:
        """Run all steps and return the outcome."""


class Beginnable(Protocol[T_co]):
    """What :meth:`Deployment.begin` takes: a procedure."""

    def begin(self, deployment: Deployment) -> T_co:
        """Return a run that has done nothing yet."""


class Deployment:
    """A whole running system.

    :ivar topology: what it consists of; ``evidence``: the directory of the run
    :ivar operations: everything that can be done to it, one by one
    :ivar budget: limits on RTO and RPO that :meth:`judge` holds a run to; none at first
    :ivar earlier: faults in force that another controller has injected, as code
    :ivar dns: its names: the server's records and the resolvers' caches
    """

    def __init__(
        self, topology: Topology, machines: Machines, recorder: Recorder, run: Path, active: str
    ) -> None:
        self.topology = topology
        self.evidence = run
        self.recorder = recorder
        self.operations = Operations(topology, machines, recorder, run)
        self.operations.active = self.operations.framework = active
        self.dns = Names(self.operations)
        self.plans = 0
        self.earlier: tuple[str, ...] = ()
        self.budget = Budget()
        self._guards: list[Healable] = []
        self._machines = machines
        self._traffic: Traffic | None = None
        self._judgement: Judgement | None = None

    # -- what there is ---------------------------------------------------------------------

    @property
    def active(self) -> str:
        """The region whose database is the writable one."""
        return self.operations.active

    @property
    def dormant(self) -> str:
        """The region that is not active; of several the one after the active (see ``other``)."""
        return self.topology.other(self.active)

    def vm(self, name: str) -> Machine:
        """A VM, to run commands in.

        :raises UsageError: no such VM
        """
        return self._machines.machine(self.topology.vm(name).id)

    def component(self, name: str) -> Component:
        """A component.

        :raises UsageError: no such component
        """
        return self.topology.component(name)

    def region(self, name: str) -> tuple[Vm, ...]:
        """The VMs of a region.

        :raises UsageError: no such region
        """
        return self.topology.vms_of(name)

    # -- what happens to it ----------------------------------------------------------------

    def traffic(self, rate: float | None = None) -> Traffic:
        """A context in which clients write and read; see :class:`Traffic`."""
        self._traffic = Traffic(self.operations, rate)
        return self._traffic

    @property
    def current_traffic(self) -> Traffic | None:
        """The traffic that runs, if any."""
        traffic = self._traffic
        return traffic if traffic is not None and traffic.runs else None

    def inject(self, fault: Injectable) -> Any:
        """Apply a fault and prove its effect; it is not healed by itself.

        :return: the fault's guard, with ``receipt`` and ``heal()``
        :raises FaultNotProven: the effect was not seen
        """
        if isinstance(fault, type) or not hasattr(fault, "inject"):
            raise UsageError(
                "fault: expected an instance of a fault, like faults.RegionDown('region1'), "
                f"got {fault!r}."
            )
        guard = fault.inject(self.operations)
        self._guards.append(guard)
        return guard

    def give(self) -> dict[str, int]:
        """Let go of its machines, for another controller; see :mod:`drharness.deployment.custody`.

        :return: descriptors by what they are for, to be closed by the caller
        """
        return given(self._machines)

    def heal(self) -> None:
        """Undo every fault in force, the last one first; what a procedure changed stays."""
        while self._guards:
            self._guards.pop().heal()

    @property
    def in_force(self) -> list[object]:
        """The faults that were injected and are not healed, the first one first."""
        return [guard.fault for guard in self._guards if not guard.healed]

    def run(self, procedure: Runnable[T]) -> T:
        """Carry out a procedure; its outcome says whether it succeeded, how long, what was lost."""
        _check_procedure(procedure, "carry_out")
        outcome = procedure.carry_out(self)
        self._census("procedure")
        return outcome

    def begin(self, procedure: Beginnable[T]) -> T:
        """Begin a procedure and do nothing yet: the caller takes its steps, one by one.

        ``run.next()`` does one, until ``run.done``; ``run.outcome()`` says how it went.
        """
        _check_procedure(procedure, "begin")
        return procedure.begin(self)

    def wait_until(
        self, probe: Callable[[], T | None], what: str = "the condition", *, timeout: float = 10.0
    ) -> T:
        """Wait until ``probe`` returns something true.

        :raises WaitTimeout: with what was last seen
        """
        return wait_until(probe, what, timeout=timeout)

    # -- what was seen ---------------------------------------------------------------------

    @property
    def history(self) -> History:
        """Everything recorded so far."""
        return History(self._merge(None))

    def _merge(self, out: Path | None) -> list[Data]:
        self.operations.written.collect()
        controller = self.evidence / store.RECORD
        return store.merge(controller, evidence.event_files(self.evidence), out)

    @property
    def judgement(self) -> Judgement | None:
        """The last verdict, if :meth:`judge` was called."""
        return self._judgement

    def judge(self, *, max_rto: float | None = None, max_rpo: int | str | None = None) -> Judgement:
        """End the traffic, read everything back, and check the history.

        Leaves ``history.jsonl`` and ``verdict.txt`` in the run's directory.

        :param max_rto: seconds that the slowest recovery may take, default :attr:`budget`'s
        :param max_rpo: what may be lost: changes (``0``), seconds (``"2s"``) or bytes of WAL
            (``"64kB"``), default :attr:`budget`'s
        :raises UsageError: no such limit
        """
        given = Budget.of(max_rto, max_rpo, names=("max_rto", "max_rpo"))
        budget = Budget(
            self.budget.rto if max_rto is None else given.rto,
            self.budget.rpo if max_rpo is None else given.rpo,
        )
        if self._traffic is not None:
            self._traffic.stop()
        self.operations.lost()
        self._census("end")
        self.read_back()
        census.replica(self.operations, "end")
        self.recorder.record("end")
        history = History(self._merge(self.evidence / store.HISTORY))
        self._judgement = judge(history, budget=budget)
        (self.evidence / evidence.VERDICT).write_text(f"{self._judgement}\n")
        return self._judgement

    def _census(self, phase: str) -> None:
        """Look around; what a fault has powered off is left alone while that is in force.

        A run in which something ended that nobody ended proves nothing, and nobody may be there.
        """
        if not self.operations.lost():
            census.take(self.operations, phase, held=all(g.healed for g in self._guards))

    def read_back(self) -> None:
        """Record what the database and every living proxy hold, once all are as far as it is."""
        region = self.active
        try:
            # A client may have given up a write that still waits in a server or in a commit.
            patience = 3 * self.topology.profile.op_deadline
            self.operations.database(region, "contents:quiesced", timeout=patience)
        except DrHarnessError as error:
            self.recorder.record("note", text=f"read back without rest: {error}")
        try:
            dump = self.operations.database(region, "contents:dump")
        except DrHarnessError as error:
            self.recorder.record("note", text=f"no read-back of {region}'s database: {error}")
            return
        fields = ("epoch", "seq", "objects", "ops", "dbids", "epochs", "index_equals_heap")
        self.recorder.record("final", source=f"db:{region}", **{f: dump[f] for f in fields})
        proxies = self.proxies()
        vms = [name.split(".")[0] for name in proxies]
        self._wait_level(vms, dump["seq"])
        dumps = self.operations.on_all(vms, f"{_CLIENT}:proxy_dump")
        for vm, seen in dumps.items():
            if isinstance(seen, DrHarnessError):
                self.recorder.record("note", text=f"no read-back of {vm}.csproxy: {seen}")
            else:
                held = ("epoch", "seq", "mode", "objects")
                self.recorder.record("final", source=f"{vm}.csproxy", **{f: seen[f] for f in held})

    def proxies(self) -> list[str]:
        """Ids of the proxies whose VMs are on and not cut off from the active Framework."""
        return [
            f"{vm.id}.csproxy"
            for vm in self.topology.vms
            if vm.role == "application"
            and self.operations.is_on(vm.id)
            and not self.operations.are_cut(vm.region, self.operations.framework)
        ]

    def _wait_level(self, vms: Sequence[str], seq: int) -> None:
        """Until the proxies of VMs have what the database has; what never does, the checks see."""
        behind: dict[str, object] = dict.fromkeys(vms)

        def all_there() -> bool:
            asked = {vm: {"timeout": 1.0} for vm in behind}
            for vm, said in self.operations.each(f"{_CLIENT}:component_status", asked).items():
                if isinstance(said, DrHarnessError):
                    behind[vm] = said
                elif said["seq"] >= seq:
                    del behind[vm]
                else:
                    behind[vm] = said["seq"]
            return not behind

        try:
            wait_until(
                all_there,
                f"the proxies at {seq}",
                timeout=self.topology.profile.d,
                describe=lambda: ", ".join(f"{vm}: {it}" for vm, it in behind.items()),
            )
        except DrHarnessError as error:
            self.recorder.record("note", text=str(error))

    def logs(self) -> str:
        """The last lines of every component's log."""
        return evidence.log_tails(self.evidence)


def _check_procedure(procedure: object, ability: str) -> None:
    if isinstance(procedure, type) or not hasattr(procedure, ability):
        raise UsageError(
            "procedure: expected one, like procedures.full_failover(to='region2'), "
            f"got {procedure!r}."
        )
