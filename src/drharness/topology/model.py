"""The reference architecture as values: regions of five VMs and more, a DNS server outside."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.topology import addresses, naming
from drharness.topology.parts import Part, part
from drharness.topology.profile import PROFILES, TUNABLE, Profile

REPLICATION = ("sync", "async")
RETURN_FENCES = ("boot-deny", "none")
RESOLVERS = ("ours", "dnsmasq", "unbound", "nscd")
MOST_PAIRS = 8
# What guide() takes.
ARGUMENTS = (
    "replication",
    "timing",
    "ttl",
    "return_fence",
    "application_pairs",
    "regions",
    "resolver",
)


@dataclass(frozen=True)
class Vm:
    """A host.

    :ivar role: ``framework``, ``application``, ``dbms`` or ``dns``
    :ivar side: ``p`` (primary) or ``b`` (backup) of a pair, else empty
    :ivar region: its region's name, or ``outside``
    :ivar pair: which of its region's pairs of that role it belongs to, from 1
    """

    id: str
    region: str
    number: int
    role: str
    side: str
    address: str
    pair: int = 1

    @property
    def place(self) -> str:
        """What it is in its region: ``dbms``, ``framework-p``, ``application-b2``."""
        return self.id.removeprefix(f"{self.region}-")


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
    """What a deployment consists of. Build one with :meth:`guide`; its ``repr`` is Python code.

    :ivar regions: their names; the first is active at the start
    :ivar tuning: constants of the timing profile that differ from it, by name
    :ivar replaced: factories by the component's id or kind
    :ivar parts: programs of other makers, in containers
    :ivar contexts: Docker contexts by region; those that are not named are in the one in use
    """

    replication: str = "sync"
    timing: str = "fast"
    ttl: int = 1
    return_fence: str = "boot-deny"
    application_pairs: int = 1
    regions: tuple[str, ...] = naming.USUAL
    resolver: str = "ours"
    tuning: tuple[tuple[str, float], ...] = field(default=())
    replaced: tuple[tuple[str, str], ...] = field(default=())
    parts: tuple[Part, ...] = field(default=())
    contexts: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def guide(
        cls,
        *,
        replication: str = "sync",
        timing: str = "fast",
        ttl: int | None = None,
        return_fence: str = "boot-deny",
        application_pairs: int = 1,
        regions: int | Sequence[str] = 2,
        resolver: str = "ours",
    ) -> Topology:
        """The guide's architecture: two regions, or more.

        :param replication: ``sync`` (a write is acknowledged once the standby has it) or ``async``
        :param timing: ``fast`` (sub-second timers) or ``guide`` (the products' defaults)
        :param ttl: seconds both Framework names may be cached; default: the timing profile's
        :param return_fence: ``boot-deny`` (a DBMS VM boots with every Framework subnet rejected) or
            ``none`` (the guide's literal text: rules vanish at reboot)
        :param application_pairs: pairs of Application VMs in each region, 1 to 8
        :param regions: 2 to 5, or the names of as many; VMs are called after them, the first is
            active at the start, every other is a standby
        :param resolver: what caches names on Application VMs, one of :data:`RESOLVERS`
        :raises UsageError: names the argument, the value and what was expected
        """
        validate.choice("timing", timing, PROFILES)
        if ttl is None:
            ttl = PROFILES[timing].ttl
        if not isinstance(ttl, int):
            raise UsageError(f"ttl: expected whole seconds, got {ttl!r} ({type(ttl).__name__}).")
        pairs = validate.count("application_pairs", application_pairs, low=1, high=MOST_PAIRS)
        return cls(
            replication=validate.choice("replication", replication, REPLICATION),
            timing=timing,
            ttl=int(validate.number("ttl", ttl, low=0, high=86400)),
            return_fence=validate.choice("return_fence", return_fence, RETURN_FENCES),
            application_pairs=pairs,
            regions=naming.regions_of(regions),
            resolver=validate.choice("resolver", resolver, RESOLVERS),
        )

    @classmethod
    def load(cls, path: Path | str) -> Topology:
        """The topology that a TOML file describes (docs/topology.md).

        :raises UsageError: names the file, table, key and value, and what was expected
        """
        from drharness.topology import parse

        return parse.load(path)

    def as_toml(self) -> str:
        """The text of a file from which :meth:`load` makes the same topology."""
        from drharness.topology import parse

        return parse.dump(self)

    def __repr__(self) -> str:
        code = (
            f"Topology.guide(replication={self.replication!r}, timing={self.timing!r}, "
            f"ttl={self.ttl!r}, return_fence={self.return_fence!r}"
        )
        if self.application_pairs != 1:
            code += f", application_pairs={self.application_pairs!r}"
        if self.regions != naming.USUAL:
            code += f", regions={self.regions!r}"
        if self.resolver != "ours":
            code += f", resolver={self.resolver!r}"
        tuned = ", ".join(f"{name}={value!r}" for name, value in self.tuning)
        code += f").tuned({tuned})" if tuned else ")"
        code += "".join(f".replace({c!r}, {f!r})" for c, f in self.replaced)
        code += "".join(f".with_part({_arguments(one)})" for one in self.parts)
        return code + (f".on_contexts({dict(self.contexts)!r})" if self.contexts else "")

    def changed(self, **arguments: Any) -> Topology:
        """The same topology with other arguments of :meth:`guide`.

        With another ``timing`` and no ``ttl``, a TTL that was the old timing's is the new one's.

        :raises UsageError: no such argument, a bad value, or a replaced component that is no more
        """
        for name in arguments:
            validate.choice("argument", name, ARGUMENTS)
        given = {name: getattr(self, name) for name in ARGUMENTS} | arguments
        if "ttl" not in arguments and self.ttl == PROFILES[self.timing].ttl:
            given["ttl"] = None
        made = type(self).guide(**given).tuned(**dict(self.tuning))
        for component, factory in self.replaced:
            made = made.replace(component, factory)
        kept = tuple((r, context) for r, context in self.contexts if r in made.regions)
        return dataclasses.replace(made, parts=self.parts, contexts=kept)

    def tuned(self, **constants: float) -> Topology:
        """The same topology with other constants of its timing profile (see :class:`Profile`).

        The checks take their bounds from them, too.

        :raises UsageError: no such constant, or a bad value
        """
        chosen = dict(self.tuning)
        for name, value in constants.items():
            low, high = TUNABLE[validate.choice("constant", name, TUNABLE)]
            if isinstance(low, int):
                chosen[name] = validate.count(name, value, low=low, high=int(high))
            else:
                chosen[name] = float(validate.number(name, value, low=low, high=high))
        return dataclasses.replace(self, tuning=tuple(chosen.items()))

    def replace(self, component: str, factory: str) -> Topology:
        """The same topology with another implementation of one component.

        :param component: a component id, or a kind for all of that kind
        :param factory: ``"module:callable"``, importable where the deployment runs
        :raises UsageError: no such component, or not a factory's name
        """
        kinds = {c.kind for c in self.components}
        validate.choice("component", component, {c.id for c in self.components} | kinds)
        check_factory("factory", factory)
        others = tuple(r for r in self.replaced if r[0] != component)
        return dataclasses.replace(self, replaced=(*others, (component, factory)))

    def with_part(self, name: str, **options: Any) -> Topology:
        """The same topology with a program of another maker on VMs (see :func:`parts.part`).

        It takes the place of a part with the same name.

        :raises UsageError: names the argument, the value and what was expected
        """
        others = tuple(one for one in self.parts if one.name != name)
        return dataclasses.replace(self, parts=(*others, part(name, **options)))

    def on_contexts(self, contexts: Mapping[str, str]) -> Topology:
        """The same topology with regions on Docker daemons of their own, joined in a Swarm.

        :param contexts: region to Docker context; the first region's has to manage the Swarm
        :raises UsageError: no such region, or not a context's name
        """
        for region, context in contexts.items():
            validate.choice("region", region, self.regions)
            if not isinstance(context, str) or not context:
                raise UsageError(f"contexts: {region}: expected a context's name, got {context!r}.")
        return dataclasses.replace(self, contexts=tuple(contexts.items()))

    def parts_on(self, vm: Vm) -> tuple[Part, ...]:
        """The parts on a VM."""
        return tuple(one for one in self.parts if one.on == vm.role)

    def factory_of(self, component: Component, default: str) -> str:
        """The factory that runs ``component``: replaced by id, else by kind, else the default."""
        chosen = dict(self.replaced)
        return chosen.get(component.id, chosen.get(component.kind, default))

    @property
    def profile(self) -> Profile:
        """The timing constants, with this topology's TTL and tuning."""
        tuned: dict[str, Any] = dict(self.tuning)
        return dataclasses.replace(PROFILES[self.timing], ttl=self.ttl, **tuned)

    def number(self, region: str) -> int:
        """1 for the first region.

        :raises UsageError: no such region
        """
        return self.regions.index(validate.choice("region", region, self.regions)) + 1

    @property
    def vms(self) -> tuple[Vm, ...]:
        """All VMs: the DNS server, then region by region."""
        out = [Vm("dns", addresses.OUTSIDE, 0, "dns", "", addresses.DNS_SERVER)]
        places = [("dbms", "", 1), ("framework", "p", 1), ("framework", "b", 1)]
        pairs = range(1, self.application_pairs + 1)
        places += [("application", side, pair) for pair in pairs for side in ("p", "b")]
        for number, region in enumerate(self.regions, start=1):
            for role, side, pair in places:
                words = [region, role, side + (str(pair) if pair > 1 else "")]
                address = addresses.address(number, role, side, pair=pair)
                name = "-".join(word for word in words if word)
                out.append(Vm(name, region, number, role, side, address, pair))
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
        """The region that is not ``region``; of several the next one (the first, after the last).

        It is the one that takes over from ``region`` where nobody names another.
        """
        return self.regions[self.number(region) % len(self.regions)]

    def others(self, region: str) -> tuple[str, ...]:
        """All regions but ``region``, in their order."""
        self.number(region)
        return tuple(r for r in self.regions if r != region)

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
        replaced, tuning = given.pop("replaced", ()), given.pop("tuning", ())
        parts: Any = given.pop("parts", ())
        contexts: Any = given.pop("contexts", ())
        made = cls.guide(**given).tuned(**dict(tuning))  # type: ignore[arg-type, call-overload]
        for component, factory in replaced:  # type: ignore[attr-defined]
            made = made.replace(component, factory)
        for values_of in parts:
            known_part = dict(values_of)
            known_part["files"] = dict(known_part.get("files", ()))
            made = made.with_part(**known_part)
        return made.on_contexts(dict(contexts))


def _arguments(one: Part) -> str:
    """Of :meth:`Topology.with_part`, as Python code."""
    given = [f"{one.name!r}"]
    for spec in dataclasses.fields(one)[1:]:
        value = getattr(one, spec.name)
        if value or spec.default is dataclasses.MISSING:
            shown = {"files": dict, "command": list}.get(spec.name, lambda same: same)(value)
            given.append(f"{spec.name}={shown!r}")
    return ", ".join(given)


def check_factory(name: str, value: object) -> None:
    """Nothing to say about ``"module:callable"``.

    :raises UsageError: it is something else
    """
    if not isinstance(value, str) or not re.fullmatch(r"[\w.]+:[\w.]+", value):
        raise UsageError(f"{name}: expected 'module:callable', got {value!r}.")
