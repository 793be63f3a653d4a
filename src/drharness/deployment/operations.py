"""The one vocabulary of operations: what tests, faults, procedures and searches do to a deployment.

Every operation that changes something records it, and returns only once its effect was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from drharness.deployment import provision
from drharness.deployment.conditions import Conditions
from drharness.deployment.cuts import Cuts
from drharness.deployment.requests import Requests
from drharness.deployment.written import Written
from drharness.engines.client import RemoteError, result
from drharness.engines.protocol import Cut, Machine, Machines, Shape
from drharness.errors import DrHarnessError, EngineLost, Unmanaged
from drharness.history.recorder import Recorder
from drharness.kernel import clock
from drharness.kernel.waiting import scaled, wait_until
from drharness.topology import Topology, addresses

_CLIENT = "drharness.components.client"
_DBMS = "drharness.dbms"
_DNS = "drharness.dns.control"
_REAL = "drharness.dns.products:flush"
_PORTS = {
    "configserver": addresses.MANAGEMENT_PORT,
    "csproxy": addresses.MANAGEMENT_PORT,
    "application": addresses.APPLICATION_PORT,
    "lca": addresses.LCA_PORT,
}
NOT_YET = (RemoteError, EngineLost)


class Operations(Conditions):
    """Operations on one deployment.

    :ivar topology: what it consists of
    :ivar active: region whose database is the writable one; ``framework``: whose Framework uses it
    :ivar recorder: where events go
    :ivar evidence: the run's directory
    :ivar unmanaged: regions whose out-of-band management does not answer
    :ivar on_boot: called with the VMs that were powered on, once they are
    :ivar requests: those of a procedure's step, one by one
    :ivar states: what was done to each VM's power, as [ns, ``on``, ``off``, ``frozen``, ``thawed``]
    """

    def __init__(
        self, topology: Topology, machines: Machines, recorder: Recorder, evidence: Path
    ) -> None:
        self.topology = topology
        self.active = self.framework = topology.regions[0]
        self.former: dict[str, str] = {}
        self.unmanaged: set[str] = set()
        self.on_boot: Callable[[Sequence[str]], None] | None = None
        self.recorder = recorder
        self.evidence = evidence
        self.requests = Requests()
        self.states: dict[str, list[tuple[int, str]]] = {}
        self.written = Written(topology, machines, evidence)
        self._machines = machines
        self._cuts = Cuts(machines, recorder)
        self._shapes: list[Shape] = []
        self._told: set[str] = set()

    # -- machines --------------------------------------------------------------------------

    @property
    def unsure_ns(self) -> int:
        """How much instants that VMs tell may be off against the controller's."""
        return self._machines.unsure_ns

    def machine(self, vm: str) -> Machine:
        """The VM of that id."""
        return self.requests.watch(self._machines.machine(vm))

    def is_on(self, vm: str) -> bool:
        """Whether the VM has power, as the out-of-band management sees it."""
        return self.machine(vm).is_on

    def lost(self) -> dict[str, str]:
        """VMs and shapes that ended though nobody ended them, each with how; recorded once.

        Such a run proves nothing.
        """
        found = dict(self._machines.lost)
        for vm in sorted(found.keys() - self._told):
            self._told.add(vm)
            self.recorder.record("vm", id=vm, state="off", cause="lost")
        return found

    def check_engine(self) -> None:
        """Nothing to say while all that was powered on runs.

        :raises EngineLost: names the VMs that ended by themselves
        """
        found = self.lost()
        if found:
            ended = ", ".join(f"{vm} {how}" for vm, how in sorted(found.items()))
            raise EngineLost(
                f"nobody ended it: {ended}. Was its agent killed, or this host out of memory?"
            )

    def power_off(self, *vms: str, cause: str = "", managed: bool = False) -> None:
        """Pull the power; what is off already stays off.

        :param managed: through the out-of-band management, as an operator does; else it just fails
        :raises Unmanaged: the management of a VM's region does not answer; nothing was done
        """
        if managed:
            self.require_management(*vms)
        with self.requests.one():
            running = [vm for vm in vms if self.is_on(vm)]
            self._machines.power_off(*running)
            self._record_state(running, "off", cause)

    def require_management(self, *vms: str) -> None:
        """Nothing to say while the out-of-band management of these VMs answers.

        :raises Unmanaged: names the regions that it does not reach
        """
        regions = {self.topology.vm(vm).region: None for vm in vms}
        gone = [r for r in regions if r in self.unmanaged]
        if gone:
            raise Unmanaged(f"the out-of-band management of {', '.join(gone)} does not answer")

    def power_on(
        self, *vms: str, hold: bool = False, cause: str = "", managed: bool = False
    ) -> None:
        """Boot, or let a held VM go on; ``hold``: prepare the VM but start no service.

        :param managed: as for :meth:`power_off`
        """
        if managed:
            self.require_management(*vms)
        with self.requests.one():
            started = [vm for vm in vms if not self.is_on(vm)]
            self._cuts.power_on(vms, hold=hold)
            self._record_state(started, "on", cause)
        if self.on_boot is not None and not hold:
            with self.requests.aside():
                self.on_boot(started)

    def reboot(self, *vms: str, cause: str = "") -> None:
        """Off and on: memory is lost, the disk is kept."""
        self.power_off(*vms, cause=cause)
        self.power_on(*vms, cause=cause)

    def freeze(self, *vms: str, cause: str = "") -> None:
        """Stop every process; the kernels still answer."""
        self._machines.freeze(*vms)
        self._record_state(vms, "frozen", cause)

    def thaw(self, *vms: str, cause: str = "") -> None:
        """Let frozen VMs go on."""
        self._machines.thaw(*vms)
        self._record_state(vms, "thawed", cause)

    def _record_state(self, vms: Sequence[str], state: str, cause: str) -> None:
        for vm in vms:
            self.states.setdefault(vm, []).append((clock.now_ns(), state))
            self.recorder.record("vm", id=vm, state=state, cause=cause)

    def cut(self, *cuts: Cut) -> None:
        """Apply cuts; they last until they are healed, also while VMs are rebooted.

        :raises UsageError: one of them is in force already; nothing was done
        """
        self._cuts.apply(*cuts)

    def heal(self, *cuts: Cut) -> None:
        """Undo these cuts and only these."""
        self._cuts.heal(*cuts)

    def are_cut(self, one: str, other: str) -> bool:
        """Whether all between two regions is cut, in any direction."""
        return self._cuts.between(one, other)

    def cut_management(self, region: str) -> None:
        """Let a region's out-of-band management no longer answer."""
        self.unmanaged.add(region)
        self.recorder.record("net", type="cut", what={"management": region})

    def heal_management(self, region: str) -> None:
        """Let it answer again."""
        self.unmanaged.remove(region)
        self.recorder.record("net", type="heal", what={"management": region})

    def reach(
        self, source: str, targets: Sequence[tuple[str, int]], timeout: float = 0.3
    ) -> list[str]:
        """Try new TCP connections from a VM: each ok, refused, reset, unreachable or timeout."""
        seen = self.reach_all({source: targets}, timeout)
        return [seen[f"{source} -> {host}:{port}"] for host, port in targets]

    def reach_all(
        self,
        probes: Mapping[str, Sequence[tuple[str, int]]],
        timeout: float,
        *,
        phase: str = "",
    ) -> dict[str, str]:
        """As :meth:`reach`, from several VMs at once; ``"vm -> address:port"`` to result.

        :param phase: what is recorded beside the results, if they belong to a census
        """
        of = {"phase": phase} if phase else {}
        asked = [
            (
                source,
                targets,
                self.machine(source).submit(
                    "call",
                    timeout=10.0,
                    function="drharness.engines.agent.reach:probe",
                    kwargs={"targets": [list(t) for t in targets], "timeout": timeout},
                ),
            )
            for source, targets in probes.items()
        ]
        seen: dict[str, str] = {}
        for source, targets, future in asked:
            results = result(future, f"{source}: reach", 10.0)
            for (host, port), res in zip(targets, results, strict=True):
                dst = f"{host}:{port}"
                seen[f"{source} -> {dst}"] = res
                self.recorder.record("reach", src=source, dst=dst, conn="new", res=res, **of)
        return seen

    # -- database --------------------------------------------------------------------------

    def database(self, region: str, function: str, *, timeout: float = 10.0, **kwargs: Any) -> Any:
        """Call ``"module:function"`` of ``drharness.dbms`` in a region's DBMS VM."""
        vm = self.topology.dbms(region).id
        # The function keeps the deadline itself and says what it saw; the agent's comes later.
        return self.machine(vm).call(
            f"{_DBMS}.{function}",
            {**kwargs, "timeout": scaled(timeout)},
            timeout=timeout + 2.0,
        )

    def database_status(self, region: str, *, timeout: float = 5.0) -> dict[str, Any]:
        """What a region's database says of itself; ``accepting`` is false if it does not answer."""
        status: dict[str, Any] = self.database(region, "server:status", timeout=timeout)
        return status

    def set_firewall(
        self, region: str, *, block: Sequence[str] = (), unblock: Sequence[str] = ()
    ) -> list[str]:
        """Set the guide's rules on a region's DBMS VM; the command lines that changed something."""
        done: list[str] = self.machine(self.topology.dbms(region).id).call(
            "drharness.firewall.iptables:apply",
            {"block": list(block), "unblock": list(unblock), "port": addresses.POSTGRES_PORT},
        )
        return done

    # -- names -----------------------------------------------------------------------------

    def switch_names(self, region: str) -> dict[str, Any]:
        """Let DNS answer both Framework names with a region's addresses, in one change."""
        records = provision.framework_records(self.topology, region)
        return self.set_names(records)

    def set_names(
        self, records: Mapping[str, Sequence[str]], ttl: int | None = None
    ) -> dict[str, Any]:
        """Change names at the DNS server; ``ttl`` in seconds, default the topology's."""
        done: dict[str, Any] = self.machine("dns").call(
            f"{_DNS}:change_records",
            {
                "records": {name: list(found) for name, found in records.items()},
                "ttl": self.topology.ttl if ttl is None else ttl,
            },
        )
        return done

    def look_up(self, vm: str, name: str, server: str = "127.0.0.1") -> dict[str, Any]:
        """What a VM's resolver (or the server named) answers for a name."""
        answer: dict[str, Any] = self.machine(vm).call(
            f"{_DNS}:lookup", {"name": name, "server": server}
        )
        return answer

    def flush_names(self, vm: str) -> dict[str, Any]:
        """Clear an Application VM's DNS cache: ``flushed``, how many answers (None: not said)."""
        product = self.topology.resolver
        how = (f"{_DNS}:flush", {}) if product == "ours" else (_REAL, {"product": product})
        done: dict[str, Any] = self.machine(vm).call(*how)
        return done

    # -- components ------------------------------------------------------------------------

    def component_status(self, component: str, *, timeout: float = 5.0) -> dict[str, Any]:
        """What a component says of itself.

        :raises RemoteError: it does not answer
        """
        it = self.topology.component(component)
        status: dict[str, Any] = self.machine(it.vm).call(
            f"{_CLIENT}:component_status", {"port": _PORTS[it.kind], "timeout": timeout}
        )
        return status

    def set_mode(self, component: str, mode: str) -> dict[str, Any]:
        """Set a component's execution mode through its VM's Local Control Agent."""
        it = self.topology.component(component)
        done: dict[str, Any] = self.machine(it.vm).call(
            f"{_CLIENT}:set_mode", {"name": it.kind, "mode": mode}
        )
        return done

    def set_roles(self, region: str, *, timeout: float, database: str = "") -> dict[str, Any]:
        """Make a region's P primary, on its own or another's database, B backup; see it done.

        :return: component id to status
        :raises WaitTimeout: an agent does not answer, or a server does not take its role
        """
        seen = {}
        for side, mode in (("p", "primary"), ("b", "backup")):
            server = f"{region}-framework-{side}.configserver"
            wait_until(
                partial(self.set_mode, server, mode),
                f"the Local Control Agent of {region}-framework-{side}",
                timeout=timeout,
                retry_on=NOT_YET,
            )
            wanted = {"role": mode} | ({"db": database or region} if mode == "primary" else {})
            seen[server] = self.wait_component(server, f"is {mode}", wanted, timeout=timeout)
        return seen

    def wait_component(
        self, component: str, what: str, wanted: Mapping[str, object], *, timeout: float
    ) -> dict[str, Any]:
        """Wait until a component's status has these values.

        :param what: what that state is called, for the error
        :raises WaitTimeout: with the last status, or why there was none
        """
        last: dict[str, Any] = {}

        def probe() -> dict[str, Any] | None:
            last.clear()
            last.update(self.component_status(component, timeout=1.0))
            return last if all(last.get(k) == v for k, v in wanted.items()) else None

        return wait_until(
            probe,
            f"{component} {what}",
            timeout=timeout,
            interval=0.02,
            retry_on=NOT_YET,
            describe=lambda: _short(last),
        )

    def on_all(
        self, vms: Sequence[str], function: str, *, timeout: float = 10.0, **kwargs: Any
    ) -> dict[str, Any]:
        """Call a function in several VMs at once; VM to value, or to the error met there."""
        return self.each(function, dict.fromkeys(vms, kwargs), timeout=timeout)

    def each(
        self, function: str, asked: Mapping[str, Mapping[str, Any]], *, timeout: float = 10.0
    ) -> dict[str, Any]:
        """As :meth:`on_all`, with arguments for each VM."""
        futures = [
            (vm, self.machine(vm).submit("call", timeout=timeout, function=function, kwargs=kwargs))
            for vm, kwargs in asked.items()
        ]
        out: dict[str, Any] = {}
        for vm, future in futures:
            try:
                out[vm] = result(future, f"{vm}: {function}", timeout)
            except DrHarnessError as error:
                out[vm] = error
        return out

    def canary(self, region: str, value: str, *, deadline: float) -> dict[str, Any]:
        """Write and read back one object through a region's proxy; ``{"ok", "write", "read"}``."""
        vms = [v.id for v in self.topology.vms_of(region, "application") if self.is_on(v.id)]
        if not vms:
            raise EngineLost(f"{region}: no Application VM is on")
        seen: dict[str, Any] = self.machine(vms[0]).call(
            f"{_CLIENT}:canary",
            {"key": f"canary/{region}", "val": value, "deadline": deadline},
            timeout=2 * deadline + 5.0,
        )
        return seen


def _short(status: Mapping[str, Any]) -> str:
    shown = ("role", "mode", "status", "reason", "master", "db", "epoch", "seq")
    return ", ".join(f"{key}={status[key]!r}" for key in shown if key in status) or "no answer"
