"""The reference architecture as values: two regions of five VMs each, a DNS server outside."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.topology import addresses
from drharness.topology.profile import PROFILES, Profile

REPLICATION = ("sync", "async")
RETURN_FENCES = ("boot-deny", "none")


@dataclass(frozen=True)
class Vm:
    """A host.

    :ivar role: ``framework``, ``application``, ``dbms`` or ``dns``
    :ivar side: ``p`` (primary) or ``b`` (backup) of a pair, else empty
    :ivar region: its region's name, or ``outside``
    """

    id: str
    region: str
    number: int
    role: str
    side: str
    address: str


@dataclass(frozen=True)
class Component:
    """A management process on a VM; ``id`` is ``<vm>.<kind>``."""

    id: str
    vm: str
    region: str
    kind: str
    side: str


COMPONENT_KINDS: Mapping[str, tuple[str, ...]] = {
    "framework": ("configserver", "lca"),
    "application": ("csproxy", "application", "lca"),
    "dbms": (),
    "dns": (),
}


@dataclass(frozen=True, repr=False)
class Topology:
    """What a deployment consists of. Build one with :meth:`guide`; its ``repr`` is Python code."""

    replication: str = "sync"
    timing: str = "fast"
    ttl: int = 1
    return_fence: str = "boot-deny"
    replaced: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def guide(
        cls,
        *,
        replication: str = "sync",
        timing: str = "fast",
        ttl: int | None = None,
        return_fence: str = "boot-deny",
    ) -> Topology:
        """The guide's two-region architecture.

        :param replication: ``sync`` (a write is acknowledged once the standby has it) or ``async``
        :param timing: ``fast`` (sub-second timers) or ``guide`` (the products' defaults)
        :param ttl: seconds both Framework names may be cached; default: the timing profile's
        :param return_fence: ``boot-deny`` (a DBMS VM boots with every Framework subnet rejected) or
            ``none`` (the guide's literal text: rules vanish at reboot)
        :raises UsageError: names the argument, the value and what was expected
        """
        validate.choice("timing", timing, PROFILES)
        if ttl is None:
            ttl = PROFILES[timing].ttl
        if not isinstance(ttl, int):
            raise UsageError(f"ttl: expected whole seconds, got {ttl!r} ({type(ttl).__name__}).")
        return cls(
            replication=validate.choice("replication", replication, REPLICATION),
            timing=timing,
            ttl=int(validate.number("ttl", ttl, low=0, high=86400)),
            return_fence=validate.choice("return_fence", return_fence, RETURN_FENCES),
        )

    def __repr__(self) -> str:
        code = (
            f"Topology.guide(replication={self.replication!r}, timing={self.timing!r}, "
            f"ttl={self.ttl!r}, return_fence={self.return_fence!r})"
        )
        return code + "".join(f".replace({c!r}, {f!r})" for c, f in self.replaced)

    def replace(self, component: str, factory: str) -> Topology:
        """The same topology with another implementation of one component.

        :param component: a component id, or a kind for all of that kind
        :param factory: ``"module:callable"``, importable where the deployment runs
        :raises UsageError: no such component, or not a factory's name
        """
        kinds = {c.kind for c in self.components}
        validate.choice("component", component, {c.id for c in self.components} | kinds)
        if not isinstance(factory, str) or not re.fullmatch(r"[\w.]+:[\w.]+", factory):
            raise UsageError(f"factory: expected 'module:callable', got {factory!r}.")
        others = tuple(r for r in self.replaced if r[0] != component)
        return dataclasses.replace(self, replaced=(*others, (component, factory)))

    def factory_of(self, component: Component, default: str) -> str:
        """The factory that runs ``component``: replaced by id, else by kind, else the default."""
        chosen = dict(self.replaced)
        return chosen.get(component.id, chosen.get(component.kind, default))

    @property
    def profile(self) -> Profile:
        """The timing constants, with this topology's TTL."""
        return dataclasses.replace(PROFILES[self.timing], ttl=self.ttl)

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions; the first is active at the start."""
        return ("region1", "region2")

    def number(self, region: str) -> int:
        """1 for the first region.

        :raises UsageError: no such region
        """
        return self.regions.index(validate.choice("region", region, self.regions)) + 1

    @property
    def vms(self) -> tuple[Vm, ...]:
        """All VMs: the DNS server, then region by region."""
        out = [Vm("dns", addresses.OUTSIDE, 0, "dns", "", addresses.DNS_SERVER)]
        for number, region in enumerate(self.regions, start=1):
            for role, side in (
                ("dbms", ""),
                ("framework", "p"),
                ("framework", "b"),
                ("application", "p"),
                ("application", "b"),
            ):
                name = f"{region}-{role}-{side}" if side else f"{region}-{role}"
                out.append(
                    Vm(name, region, number, role, side, addresses.address(number, role, side))
                )
        return tuple(out)

    def vm(self, name: str) -> Vm:
        """The VM of that id.

        :raises UsageError: no such VM
        """
        found = {v.id: v for v in self.vms}
        return found[validate.choice("vm", name, found)]

    def vms_of(self, region: str, role: str = "") -> tuple[Vm, ...]:
        """The VMs of a region, or those of one role in it."""
        self.number(region)
        return tuple(v for v in self.vms if v.region == region and role in ("", v.role))

    @property
    def components(self) -> tuple[Component, ...]:
        """All management components of all VMs."""
        return tuple(
            Component(f"{vm.id}.{kind}", vm.id, vm.region, kind, vm.side)
            for vm in self.vms
            for kind in COMPONENT_KINDS[vm.role]
        )

    def component(self, name: str) -> Component:
        """The component of that id.

        :raises UsageError: no such component
        """
        found = {c.id: c for c in self.components}
        return found[validate.choice("component", name, found)]

    def dbms(self, region: str) -> Vm:
        """The region's DBMS VM."""
        return self.vms_of(region, "dbms")[0]

    def other(self, region: str) -> str:
        """The region that is not ``region``."""
        return self.regions[2 - self.number(region)]

    def as_dict(self) -> dict[str, object]:
        """Plain values for a history's header; :meth:`from_dict` reads them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Topology:
        """The topology that :meth:`as_dict` described.

        :raises UsageError: an unknown key or value
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for key in values:
            validate.choice("topology key", key, known)
        given = dict(values)
        replaced = given.pop("replaced", ())
        made = cls.guide(**given)  # type: ignore[arg-type]
        for component, factory in replaced:  # type: ignore[attr-defined]
            made = made.replace(component, factory)
        return made
