"""Faults of the firewall on a region's DBMS VM: rules missing, in vain, wrong, lost or left behind.

They are rules of the kernel, so they hold for established connections as well. Probes come from the
Framework's subnets even while its VMs are powered off: an Application VM of the same network
borrows a free address of the subnet for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from drharness.deployment import targets
from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError, UsageError
from drharness.faults.model import Breakage, Fault, Seen, changed
from drharness.firewall.iptables import SAVED
from drharness.firewall.rules import Block, saved
from drharness.kernel import validate
from drharness.topology import addresses

_PROBE = "drharness.engines.agent.reach:probe_as"
_PATIENT_S, _IMPATIENT_S = 2.0, 0.3
_PORT = str(addresses.POSTGRES_PORT)
WRONG_SOURCES = ("subnet", "host")
LEFT = ("duplicate", "wider")


@dataclass(frozen=True)
class _Source:
    """A subnet of Framework VMs, and the VM that stands in for them."""

    vm: str
    address: str
    subnet: str


class _Wall:
    """The rules of one region's DBMS VM.

    :ivar own: subnet of the region's own Framework, which is to be let in while it is active
    """

    def __init__(self, operations: Operations, region: str) -> None:
        """:raises UsageError: its DBMS VM is powered off"""
        topology = operations.topology
        self.region = targets.region(topology, operations.active, region)
        vm = topology.dbms(self.region)
        if not operations.is_on(vm.id):
            raise UsageError(f"region: {vm.id} is powered off: it has no rules in force.")
        self.vm, self.address = vm.id, vm.address
        self.own = addresses.subnet(topology.number(self.region), "framework")
        self.subnets = [addresses.subnet(topology.number(r), "framework") for r in topology.regions]
        self._operations = operations

    def rules(self) -> list[str]:
        """The rules of INPUT in their order, each as what follows ``-A INPUT``."""
        done = self._operations.machine(self.vm).run(["iptables", "-S", "INPUT"])
        head = "-A INPUT "
        return [line.removeprefix(head) for line in done.stdout.splitlines() if head in line]

    def rejecting(self, subnet: str) -> list[str]:
        """The rules that reject exactly this subnet."""
        return [r for r in self.rules() if f"-s {subnet} " in r and "-j REJECT" in r]

    def change(self, *lines: str) -> None:
        """Carry out ``-D``, ``-A`` and ``-I`` lines, all or none."""
        if lines:
            text = "\n".join(["*filter", *lines, "COMMIT", ""])
            self._operations.machine(self.vm).run(["iptables-restore", "--noflush"], input=text)

    def booted(self) -> str:
        """Another text after each boot; empty while it is off."""
        if not self._operations.is_on(self.vm):
            return ""
        return self._operations.machine(self.vm).run(["cat", "/proc/1/stat"]).stdout.split()[21]

    def sources(self) -> list[_Source]:
        """Who can try, for each Framework subnet that has a living neighbour."""
        topology, found = self._operations.topology, []
        for region, subnet in zip(topology.regions, self.subnets, strict=True):
            near = [v for v in topology.vms_of(region) if v.role == "application"]
            on = [vm for vm in near if self._operations.is_on(vm.id)]
            if on:  # a free address, another one for each VM: neighbours remember whose it was
                host = 200 + int(on[0].address.rpartition(".")[2])
                base = subnet.rpartition(".")[0]
                found.append(_Source(on[0].id, f"{base}.{host}", subnet))
        if not found:
            raise UsageError("region: no Application VM is on: nobody could try the rules.")
        return found

    def try_all(self, sources: Sequence[_Source], patient: bool) -> dict[str, str]:
        """A new connection from each; ``ok``, ``refused`` …"""
        timeout = _PATIENT_S if patient else _IMPATIENT_S
        return {self.probe_of(it): self._try(it, timeout) for it in sources}

    def probe_of(self, source: _Source) -> str:
        """What the probe from there is called."""
        return f"{source.vm} as {source.address} -> {self.address}:{_PORT}"

    def _try(self, source: _Source, timeout: float) -> str:
        target = [self.address, addresses.POSTGRES_PORT]
        kwargs = {"source": source.address, "targets": [target], "timeout": timeout}
        result: list[str] = self._operations.machine(source.vm).call(_PROBE, kwargs)
        return result[0]

    def opened_since(self, was: str) -> bool:
        """Whether the region has become the active one, whose own Framework is to be let in."""
        return self._operations.active == self.region != was


@dataclass
class _Alteration:
    """Rules taken away and put in, and how that is undone whatever happened meanwhile."""

    wall: _Wall
    remove: Sequence[str] = ()
    first: Sequence[str] = ()
    last: Sequence[str] = ()
    _before: list[str] = field(default_factory=list)
    _boot: str = ""
    _active: str = ""

    def apply(self, operations: Operations) -> None:
        """Make it so."""
        self._before, self._boot = self.wall.rules(), self.wall.booted()
        self._active = operations.active
        self.wall.change(
            *(f"-D INPUT {rule}" for rule in self.remove),
            *(f"-I INPUT 1 {rule}" for rule in self.first),
            *(f"-A INPUT {rule}" for rule in self.last),
        )

    def undo(self) -> None:
        """Take out what was put in, and put back what was taken away, where it was.

        Rules in force ended with the power, if it was off meanwhile; and the own Framework of a
        region that has become active since is not shut out again.

        :raises DrHarnessError: the rules are not as they should be now
        """
        if self.wall.booted() != self._boot:
            return
        rules = self.wall.rules()
        lines = []
        for rule in self.first:
            if rule in rules:
                lines.append(_delete(rules, rules.index(rule)))
        for rule in self.last:
            if rule in rules:
                lines.append(_delete(rules, len(rules) - 1 - rules[::-1].index(rule)))
        let_in = f"-s {self.wall.own} " if self.wall.opened_since(self._active) else "\n"
        for at, rule in enumerate(self._before):
            if rule in self.remove and rule not in rules and let_in not in rule:
                rules.insert(at, rule)
                lines.append(f"-I INPUT {rules.index(rule) + 1} {rule}")
        self.wall.change(*lines)
        found = self.wall.rules()
        if found != rules:
            raise DrHarnessError(f"{self.wall.vm}: expected the rules {rules}, got {found}")


def _delete(rules: list[str], at: int) -> str:
    """The line that deletes a rule by its place; by its text the first of equal ones would go."""
    del rules[at]
    return f"-D INPUT {at + 1}"


def opened(before: Seen, after: Seen) -> str:
    """Proven if a source that was rejected is let in now, and none is still rejected."""
    shut = [k for k, seen in before.items() if seen != "ok"]
    if not any(after[k] == "ok" for k in shut):
        return f"nobody is let in who was rejected: {dict(before)}, then {dict(after)}"
    still = [k for k in shut if before[k] == "refused" and after[k] != "ok"]
    return f"still rejected: {', '.join(still)}" if still else ""


def _opening(
    operations: Operations, wall: _Wall, change: Callable[[list[str]], _Alteration]
) -> Breakage:
    """The guide's rules in force are altered so that they let in whom they rejected."""
    guides = [rule for subnet in wall.subnets for rule in wall.rejecting(subnet)]
    if not guides:
        raise UsageError(f"region: {wall.vm} rejects no Framework subnet: no rule could be wrong.")
    ordered = [rule for rule in wall.rules() if rule in guides]
    alteration = change(ordered)
    sources = wall.sources()
    return Breakage(
        look=partial(wall.try_all, sources),
        apply=partial(alteration.apply, operations),
        undo=alteration.undo,
        targets=[wall.vm],
        missing=opened,
    )


@dataclass(frozen=True)
class FirewallMissing(Fault):
    """The guide's rules are not there: the database lets in the Framework of every region.

    :ivar region: ``active``, ``dormant`` or a region's name
    """

    region: str = "active"

    def breakage(self, operations: Operations) -> Breakage:
        """Framework subnets that are rejected try to connect; then the rules are deleted."""
        wall = _Wall(operations, self.region)
        return _opening(operations, wall, lambda rules: _Alteration(wall, rules))


@dataclass(frozen=True)
class FirewallWrongOrder(Fault):
    """An ACCEPT for the port stands before the guide's rules, which never come to bear.

    The guide appends its rules; after a wider ACCEPT that has no effect.

    :ivar region: ``active``, ``dormant`` or a region's name
    """

    region: str = "active"

    def breakage(self, operations: Operations) -> Breakage:
        """Framework subnets that are rejected try to connect; then the ACCEPT is put first."""
        wall = _Wall(operations, self.region)
        wider = f"-p tcp -m tcp --dport {_PORT} -j ACCEPT"
        return _opening(operations, wall, lambda rules: _Alteration(wall, first=[wider]))


@dataclass(frozen=True)
class FirewallWrongSource(Fault):
    """The guide's rules name another source: the Framework that they were for is let in.

    :ivar region: ``active``, ``dormant`` or a region's name
    :ivar how: ``subnet``: a slip in the address; ``host``: one VM's address without its ``/24``, so
        that only the other one of the pair is let in
    """

    region: str = "active"
    how: str = "subnet"

    def breakage(self, operations: Operations) -> Breakage:
        """Framework subnets that are rejected try to connect; then the rules are replaced."""
        validate.choice("how", self.how, WRONG_SOURCES)
        wall = _Wall(operations, self.region)

        def replaced(rules: list[str]) -> _Alteration:
            wrong = [self._wrong(rule, wall.subnets) for rule in rules]
            return _Alteration(wall, rules, last=wrong)

        return _opening(operations, wall, replaced)

    def _wrong(self, rule: str, subnets: Sequence[str]) -> str:
        for subnet in subnets:
            first, second, _, _ = subnet.split(".")
            slip = f"{first}.{second}.99.0/24"
            host = f"{subnet.removesuffix('.0/24')}.{addresses.HOSTS['p']}/32"
            rule = rule.replace(f"-s {subnet} ", f"-s {slip if self.how == 'subnet' else host} ")
        return rule


@dataclass(frozen=True)
class FirewallLeftBehind(Fault):
    """A rule that rejects the region's own Framework is there once more than anybody knows of.

    In the active region it shuts the Framework out at once; in the other one it is felt when that
    region is to become active.

    :ivar region: ``active``, ``dormant`` or a region's name
    :ivar how: ``duplicate``: the guide's rule was appended twice, so that deleting it once leaves
        one; ``wider``: another rule rejects the region's whole network, which deleting the guide's
        does not touch
    """

    region: str = "dormant"
    how: str = "duplicate"

    def breakage(self, operations: Operations) -> Breakage:
        """The rules that would have to go are counted, and the own Framework tries to connect."""
        validate.choice("how", self.how, LEFT)
        wall = _Wall(operations, self.region)
        network = addresses.network(operations.topology.number(wall.region))
        subnet = wall.own if self.how == "duplicate" else network
        there = len(wall.rejecting(subnet))
        again = 1 if self.how == "wider" or there else 2
        rule = (
            f"-s {subnet} -p tcp -m tcp --dport {_PORT} "
            "-j REJECT --reject-with icmp-port-unreachable"
        )
        alteration = _Alteration(wall, last=[rule] * again)
        own = [s for s in wall.sources() if s.subnet == wall.own]
        count = f"{wall.vm} -> rules that reject {subnet}"

        def look(patient: bool) -> Seen:
            return {count: str(len(wall.rejecting(subnet))), **wall.try_all(own, patient)}

        def missing(before: Seen, after: Seen) -> str:
            still = [k for k, seen in before.items() if seen == "ok" and after[k] == "ok"]
            if still:
                return f"still let in: {', '.join(still)}"
            return changed({count: before[count]}, after)

        return Breakage(
            look=look,
            apply=partial(alteration.apply, operations),
            undo=alteration.undo,
            targets=[wall.vm],
            missing=missing,
        )


@dataclass(frozen=True)
class FirewallLostAtReboot(Fault):
    """The saved rules are empty: those in force stay, and are gone once the VM has booted again.

    Healing saves the rules again; what a boot in between has let in stays let in.

    :ivar region: ``active``, ``dormant`` or a region's name
    """

    region: str = "active"

    def breakage(self, operations: Operations) -> Breakage:
        """Read which Framework subnets the next boot would reject; then the rules are emptied.

        :raises UsageError: the topology saves no rules (``return_fence="none"``)
        """
        wall = _Wall(operations, self.region)
        content = _saved(operations, wall.vm)
        if not any(_would_reject(content, subnet) for subnet in wall.subnets):
            raise UsageError(f"region: {wall.vm} saves no rules: a reboot loses them as it is.")
        nothing = saved([])

        def look(patient: bool) -> Seen:
            text = _saved(operations, wall.vm)
            return {
                f"{wall.vm} -> {subnet} after its next boot": (
                    "rejected" if _would_reject(text, subnet) else "let in"
                )
                for subnet in wall.subnets
                if _would_reject(content, subnet)
            }

        return Breakage(
            look=look,
            apply=lambda: _save(operations, wall.vm, nothing),
            undo=lambda: _save_again(operations, wall.vm, nothing, content=content),
            targets=[wall.vm],
            missing=changed,
        )


def _saved(operations: Operations, vm: str) -> str:
    return operations.machine(vm).run(["cat", SAVED]).stdout


def _would_reject(text: str, subnet: str) -> bool:
    rule = " ".join(Block(subnet, addresses.POSTGRES_PORT).specification())
    return f"-A INPUT {rule}" in text.splitlines()


def _save(operations: Operations, vm: str, text: str) -> None:
    operations.machine(vm).run(["tee", SAVED], input=text)
    found = _saved(operations, vm)
    if found != text:
        raise DrHarnessError(f"{vm}: expected {text!r} in {SAVED}, got {found!r}")


def _save_again(operations: Operations, vm: str, nothing: str, *, content: str) -> None:
    """Unless somebody saved other rules meanwhile; a VM without power is booted with nothing but
    its firewall for it, for its disk cannot be reached otherwise."""
    off = not operations.is_on(vm)
    if off:
        operations.power_on(vm, hold=True, cause="to save the rules again")
    if _saved(operations, vm) == nothing:
        _save(operations, vm, content)
    if off:
        operations.power_off(vm, cause="the rules are saved again")
