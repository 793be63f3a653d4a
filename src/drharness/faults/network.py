"""Faults of networks: cuts between regions, between VMs, and of the out-of-band management."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drharness.deployment import targets
from drharness.deployment.operations import Operations
from drharness.engines.agent.filters import HOWS
from drharness.engines.protocol import PacketCut, RegionCut
from drharness.errors import Unmanaged, UsageError
from drharness.faults.model import Breakage, Fault, Look, Seen, Target, tcp
from drharness.faults.probes import services_of
from drharness.kernel import validate
from drharness.topology import Vm

_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class RegionsCut(Fault):
    """Nothing passes between two regions, established connections included; both stay up.

    DNS and the out-of-band management stay reachable from both.

    :ivar one: a region's name, ``active`` or ``dormant``, as it is when injected; so is ``other``
    :ivar both_ways: false: only from ``one`` to ``other`` (replies of ``one`` are lost as well)
    """

    one: str = "active"
    other: str = "dormant"
    both_ways: bool = True

    def breakage(self, operations: Operations) -> Breakage:
        """Each looks at what runs in the other; then the router drops what goes between them."""
        one, other = two_regions(operations, self.one, self.other)
        probes = {_onlooker(operations, one, other): _services(operations, one)}
        cuts = [RegionCut(one, other)]
        if self.both_ways:
            cuts.append(RegionCut(other, one))
            probes[_onlooker(operations, other, one)] = _services(operations, other)
        return Breakage(
            look=tcp(operations, probes),
            targets=[one, other],
            apply=lambda: operations.cut(*cuts),
            undo=lambda: operations.heal(*cuts),
        )


def two_regions(operations: Operations, one: str, other: str) -> tuple[str, str]:
    """The regions that two arguments, called so, stand for.

    :raises UsageError: no such region, or both are the same
    """
    given = {"one": one, "other": other}
    topology, active = operations.topology, operations.active
    first, second = (targets.region(topology, active, r, name=n) for n, r in given.items())
    if first == second:
        raise UsageError(f"other: expected another region than one, got {second!r} twice.")
    return first, second


def _services(operations: Operations, region: str) -> list[Target]:
    vms = operations.topology.vms_of(region)
    return services_of([vm for vm in vms if operations.is_on(vm.id)])


def _onlooker(operations: Operations, region: str, other: str) -> str:
    """An Application VM of the other region: it sees what happens to this one.

    :raises UsageError: none is on
    """
    for vm in operations.topology.vms_of(other, "application"):
        if operations.is_on(vm.id):
            return vm.id
    raise UsageError(f"no Application VM of {other} is on: nobody could see {region} cut off.")


@dataclass(frozen=True)
class LinkCut(Fault):
    """What some VMs send to others does not arrive; both stay up, and reachable for the rest.

    It lasts until it is healed, also while VMs are rebooted. No rule of an operator is touched, and
    no list of rules shows it.

    :ivar source: whose packets are lost: a VM, what it is (``active.framework-p``), or a region
    :ivar target: who does not get them, as ``source``; a region means its other VMs
    :ivar port: only connections to this TCP port of ``target``; 0: everything
    :ivar how: ``drop`` (silence), ``reject`` (an ICMP error goes back to the sender) or ``reset``
        (an RST goes back)
    :ivar both_ways: true: what ``target`` sends back is lost as well, in the same way
    """

    source: str
    target: str
    port: int = 0
    how: str = "drop"
    both_ways: bool = False

    def breakage(self, operations: Operations) -> Breakage:
        """Each source tries a port of each target; then the kernels of these refuse what it sends.

        :raises UsageError: no such ends, port or way; or an end is cut off from itself
        """
        validate.choice("how", self.how, HOWS)
        port = int(validate.number("port", self.port, low=0, high=_HIGHEST_PORT))
        sources = _end(operations, "source", self.source)
        others = [vm for vm in _end(operations, "target", self.target) if vm not in sources]
        if not others:
            raise UsageError(
                f"target: expected another VM than the source's, got {self.target!r} "
                f"for {self.source!r}."
            )
        return _link(operations, sources, others, port=port, how=self.how, both=self.both_ways)


@dataclass(frozen=True)
class StandbyCut(Fault):
    """The two DBMS VMs do not hear each other, and so there is no replication; others hear both.

    Commits that wait for the standby go on waiting. Of several standbys it is that of the region
    after the active one.

    :ivar how: as for :class:`LinkCut`
    """

    how: str = "drop"

    def breakage(self, operations: Operations) -> Breakage:
        """Each of both tries the other's database."""
        validate.choice("how", self.how, HOWS)
        topology, active = operations.topology, operations.active
        pair = {active, topology.other(active)}
        ends = [[topology.dbms(r)] for r in topology.regions if r in pair]
        return _link(operations, *ends, port=0, how=self.how, both=True)


def _end(operations: Operations, name: str, value: str) -> list[Vm]:
    topology = operations.topology
    if value in (*targets.WORDS, *topology.regions):
        return list(topology.vms_of(targets.region(topology, operations.active, value)))
    return list(
        targets.vms(
            operations.topology, operations.active, value, name=name, framework=operations.framework
        )
    )


def _link(
    operations: Operations,
    sources: Sequence[Vm],
    others: Sequence[Vm],
    *,
    port: int,
    how: str,
    both: bool,
) -> Breakage:
    pairs = [(source, target) for source in sources for target in others]
    cuts = [PacketCut(s.id, t.id, port, how) for s, t in pairs]
    if both:
        cuts += [PacketCut(t.id, s.id, port, how, answers=port > 0) for s, t in pairs]
    ends = [(s, t) for s, t in pairs if operations.is_on(s.id) and operations.is_on(t.id)]
    if both and not port:
        ends += [(t, s) for s, t in ends]
    if not ends:
        raise UsageError(
            f"source, target: expected VMs that are on, got {_names(sources)} and {_names(others)}."
        )
    probes: dict[str, list[Target]] = {}
    for one, other in ends:
        tried = [(other.address, port)] if port else services_of([other])
        probes.setdefault(one.id, []).extend(tried)
    return Breakage(
        look=tcp(operations, probes),
        targets=[vm.id for vm in (*sources, *others)],
        apply=lambda: operations.cut(*cuts),
        undo=lambda: operations.heal(*cuts),
    )


def _names(vms: Sequence[Vm]) -> str:
    return ", ".join(vm.id for vm in vms)


@dataclass(frozen=True)
class ManagementCut(Fault):
    """The out-of-band management of a region does not answer: nothing can be fenced there.

    Its VMs run on, and their network is whole.

    :ivar region: its name, ``active`` or ``dormant``
    """

    region: str

    def breakage(self, operations: Operations) -> Breakage:
        """An operator asks for the management before and after.

        :raises UsageError: no such region, or its management is cut already
        """
        region = targets.region(operations.topology, operations.active, self.region)
        if region in operations.unmanaged:
            raise UsageError(f"region: the management of {region!r} is cut already.")
        return Breakage(
            look=_asking_management(operations, region),
            targets=[region],
            apply=lambda: operations.cut_management(region),
            undo=lambda: operations.heal_management(region),
        )


def _asking_management(operations: Operations, region: str) -> Look:
    def look(_: bool) -> Seen:
        try:
            operations.require_management(operations.topology.dbms(region).id)
        except Unmanaged as error:
            return {f"operator -> management of {region}": str(error)}
        return {f"operator -> management of {region}": "ok"}

    return look
