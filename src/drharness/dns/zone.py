"""A zone as an immutable snapshot: a change makes a new snapshot with a higher serial.

A server holds one snapshot and swaps it, so no answer ever sees half of a change:

    change = zone.transaction()
    change.set("cfgmaster-p.dr.internal", ["10.82.1.11"], ttl=1)
    change.set("cfgmaster-b.dr.internal", ["10.82.1.12"], ttl=1)
    zone = change.commit()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from drharness.dns import names, rdata
from drharness.errors import UsageError
from drharness.kernel import validate

MAX_TTL = 2**31 - 1
SERIALS = 2**32
CHAIN = 8

NOERROR, NXDOMAIN, REFUSED = 0, 3, 5

Values = Sequence[str] | Mapping[str, object]
"""What a name holds: addresses (``["10.81.1.11"]``) or ``{"ttl": 1, "A": [...], "TXT": [...]}``."""


@dataclass(frozen=True)
class RRset:
    """All records of one name and type: ``values`` as text and, in the same order, on the wire."""

    type: int
    ttl: int
    values: tuple[str, ...]
    wires: tuple[bytes, ...]


Node = Mapping[int, RRset]


@dataclass(frozen=True)
class Found:
    """What a zone says to a question: answer sets with their owners; ``soa``: a negative answer."""

    rcode: int
    answers: tuple[tuple[bytes, RRset], ...] = ()
    soa: bool = False


@dataclass(frozen=True)
class Zone:
    """One version of a zone.

    :ivar origin: its name, in wire form
    :ivar address: address of its one name server, ``ns1.<origin>``
    :ivar ttl: seconds for records that state none
    :ivar negative_ttl: seconds that "no such name" and "no such data" may be cached
    :ivar nodes: what was set, by name in wire form
    """

    origin: bytes
    address: str
    serial: int = 1
    ttl: int = 1
    negative_ttl: int = 1
    nodes: Mapping[bytes, Node] = field(default_factory=dict)

    def transaction(self) -> Transaction:
        """Start a change of any number of names."""
        return Transaction(self)

    @cached_property
    def name(self) -> str:
        """Its name as text, without the final dot."""
        return names.to_text(self.origin)

    @cached_property
    def served(self) -> Mapping[bytes, Node]:
        """``nodes`` with what every zone has: SOA, name server and the name server's address."""
        primary = names.to_wire(f"ns1.{self.name}")
        contact = f"hostmaster.{self.name}."
        wire = rdata.soa(f"ns1.{self.name}.", contact, self.serial, negative_ttl=self.negative_ttl)
        apex: dict[int, RRset] = {rdata.SOA: RRset(rdata.SOA, self.ttl, ("",), (wire,))}
        apex[rdata.NS] = RRset(rdata.NS, self.ttl, (f"ns1.{self.name}.",), (primary,))
        own = node([self.address], ttl=self.ttl, where="address")
        apex.update(self.nodes.get(self.origin, {}))
        return {primary: own, **self.nodes, self.origin: apex}

    @cached_property
    def soa(self) -> RRset:
        """The start-of-authority record as negative answers carry it: TTL = min(own, negative)."""
        own = self.served[self.origin][rdata.SOA]
        return dataclasses.replace(own, ttl=min(own.ttl, self.negative_ttl))

    @cached_property
    def interior(self) -> frozenset[bytes]:
        """Names without records of their own that exist because a name below them does."""
        above = {a for owner in self.served for a in names.ancestors(owner)}
        return frozenset(a for a in above - self.served.keys() if names.is_within(a, self.origin))

    def find(self, name: bytes, qtype: int) -> Found:
        """Answer a question; follows aliases inside the zone."""
        if not names.is_within(name, self.origin):
            return Found(REFUSED)
        answers: list[tuple[bytes, RRset]] = []
        for _ in range(CHAIN):
            here = self._node(name)
            if here is None:
                return Found(NXDOMAIN, tuple(answers), soa=True)
            if qtype == rdata.ANY and here:
                found = next(iter(here.values()))
            elif rdata.CNAME in here and qtype != rdata.CNAME:
                alias = here[rdata.CNAME]
                answers.append((name, alias))
                name = alias.wires[0].lower()
                if not names.is_within(name, self.origin):
                    return Found(NOERROR, tuple(answers))
                continue
            elif qtype in here:
                found = here[qtype]
            else:
                return Found(NOERROR, tuple(answers), soa=True)
            return Found(NOERROR, (*answers, (name, found)))
        return Found(NOERROR, tuple(answers))

    def _node(self, name: bytes) -> Node | None:
        """Records at a name, by wildcard where it does not exist; None: no such name."""
        here = self.served.get(name)
        if here is not None:
            return here
        if name in self.interior:
            return {}
        for above in names.ancestors(name):
            if above in self.served or above in self.interior:
                return self.served.get(b"\x01*" + above)
        return None


class Transaction:
    """A change of several names that becomes visible at once, in :meth:`commit`'s result."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._changes: dict[bytes, Node] = {}

    def set(self, name: str, values: Values, *, ttl: int | None = None, where: str = "") -> None:
        """State everything that ``name`` holds; an empty list or mapping removes the name.

        :param ttl: seconds, unless ``values`` says; default: the zone's
        :param where: what to call the name in an error (default: the name)
        :raises UsageError: a name outside the zone, or values that cannot be served
        """
        where = where or name
        owner = names.to_wire(name, where=where)
        if not names.is_within(owner, self._zone.origin):
            raise UsageError(f"{where}: expected a name in zone {self._zone.name}, got {name!r}.")
        made = node(values, ttl=self._zone.ttl if ttl is None else ttl, where=where)
        if owner == self._zone.origin and rdata.CNAME in made:
            raise UsageError(f"{where}: expected no CNAME at the zone's own name, got {values!r}.")
        self._changes[owner] = made

    def remove(self, name: str) -> None:
        """Remove a name with everything it holds; nothing happens if it is not there."""
        self.set(name, [])

    def commit(self) -> Zone:
        """The changed zone with the next serial; the same zone if nothing is different."""
        nodes = {**self._zone.nodes, **self._changes}
        nodes = {owner: held for owner, held in nodes.items() if held}
        if nodes == self._zone.nodes:
            return self._zone
        serial = (self._zone.serial + 1) % SERIALS or 1
        return dataclasses.replace(self._zone, nodes=MappingProxyType(nodes), serial=serial)


def seconds(where: str, value: object) -> int:
    """A TTL.

    :raises UsageError: not a whole number of seconds that a record can carry
    """
    if not isinstance(value, int):
        kind = type(value).__name__
        raise UsageError(f"{where}: expected whole seconds, got {value!r} ({kind}).")
    return int(validate.number(where, value, low=0, high=MAX_TTL))


def node(values: Values, *, ttl: int, where: str) -> Node:
    """The record sets that ``values`` state.

    :raises UsageError: names ``where``, the value and what was expected
    """
    if isinstance(values, str) or not isinstance(values, Sequence | Mapping):
        raise UsageError(f"{where}: expected a list of addresses or a table, got {values!r}.")
    if isinstance(values, Mapping):
        ttl = seconds(f"{where}.ttl", values.get("ttl", ttl))
        groups: Iterable[tuple[str, object]] = [(k, v) for k, v in values.items() if k != "ttl"]
    else:
        v6 = [v for v in values if isinstance(v, str) and ":" in v]
        groups = [("A", [v for v in values if v not in v6]), ("AAAA", v6)]
        groups = [(kind, texts) for kind, texts in groups if texts]
    seconds(f"{where}.ttl", ttl)
    made = {s.type: s for s in (_rrset(kind, v, ttl, f"{where}.{kind}") for kind, v in groups)}
    if rdata.CNAME in made and (len(made) > 1 or len(made[rdata.CNAME].values) > 1):
        raise UsageError(f"{where}: expected one CNAME and nothing beside it, got {values!r}.")
    return MappingProxyType(made)


def _rrset(kind: str, texts: object, ttl: int, where: str) -> RRset:
    validate.choice(where, kind, rdata.TYPES)
    if not isinstance(texts, list | tuple) or not texts:
        raise UsageError(f"{where}: expected a list of at least one value, got {texts!r}.")
    wires = tuple(rdata.encode(kind, text, where=where) for text in texts)
    if len(set(wires)) < len(wires):
        raise UsageError(f"{where}: expected every value once, got {texts!r}.")
    return RRset(rdata.TYPES[kind], ttl, tuple(texts), wires)
