"""What a reader of a history gets: invocations paired with their completions, as frozen values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from drharness.history.event import WRITES, Event


class Operation(msgspec.Struct, frozen=True):
    """A client's operation with its completion.

    :ivar f: ``write``, ``append``, ``create``, ``cas``, ``delete`` or ``read``
    :ivar val: what a write carries
    :ivar via: component id of the proxy used, empty if none could be reached
    :ivar region: the region whose proxy (else whose client) it was, empty if unknown
    :ivar invoked: ns, before the request left
    :ivar ended: ns, None while it is open
    :ivar type: ``ok``, ``fail`` or ``info``; an operation without a completion is ``info``
    :ivar result: the value that a read got (None: no such object)
    :ivar cls: class of the error, empty for ok
    :ivar client: ``old`` or ``new`` (a fresh login for this read), empty if not said
    """

    opid: str
    proc: str
    f: str
    key: str
    val: Any
    via: str
    region: str
    invoked: int
    ended: int | None
    type: str
    epoch: str
    seq: int | None
    mode: str
    result: Any
    cls: str
    client: str
    events: tuple[Event, ...]

    @property
    def is_write(self) -> bool:
        """Whether it asks for a change."""
        return self.f in WRITES

    @property
    def is_open(self) -> bool:
        """Whether it never completed (its outcome is unknown, as with ``info``)."""
        return self.ended is None

    @property
    def done(self) -> int:
        """The completion's instant; for an open operation the invocation's."""
        return self.invoked if self.ended is None else self.ended


@dataclass(frozen=True)
class Fault:
    """An injected fault.

    :ivar invoked: ns at which injecting began
    :ivar proven: ns at which its effect was proven, None without a receipt
    :ivar since: ns at which the proven effect began (t0): the receipt's ``since``, else ``proven``;
        of an unproven fault: ``invoked``
    :ivar targets: ids of what it touched, where its arguments are symbolic
    :ivar healed: ns, None while in force
    """

    f: str
    args: dict[str, Any]
    invoked: int
    proven: int | None
    proof: dict[str, Any]
    healed: int | None
    since: int
    events: tuple[Event, ...]
    targets: tuple[str, ...] = ()

    def in_force(self, t: int) -> bool:
        """Whether it had been injected and not healed at ``t``."""
        return self.invoked <= t and (self.healed is None or t < self.healed)

    def names(self, *ids: str) -> bool:
        """Whether its arguments, at any depth, or its targets mention all these ids."""
        found = {*_strings(self.args), *self.targets}
        return all(i in found for i in ids)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for v in value.values() for s in _strings(v)]
    if isinstance(value, list | tuple):
        return [s for v in value for s in _strings(v)]
    return []


@dataclass(frozen=True)
class Step:
    """One execution of a step; ``type`` stays ``invoke`` for one that never ended."""

    id: str
    invoked: int
    ended: int | None
    type: str
    text: str
    target: str
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Plan:
    """One run of a procedure; ``type`` stays ``invoke`` for one that never ended.

    :ivar name: the procedure's name without what was varied ("full_failover")
    :ivar planned: ids of the steps it set out to do
    """

    number: int
    procedure: str
    to: str
    planned: tuple[str, ...]
    invoked: int
    ended: int | None
    type: str
    steps: tuple[Step, ...]
    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """The procedure's own name, whatever variation follows it."""
        words = [word for word in re.findall(r"\w+", self.procedure) if word != "procedures"]
        return words[0] if words else ""

    @property
    def promoted(self) -> bool:
        """Whether its promotion changed something (false: the database was writable already)."""
        done = [s.events[-1].get("result") for s in self.steps if s.id == "promote"]
        return any(not isinstance(r, dict) or r.get("promoted", True) for r in done)

    def step_ok(self, *ids: str) -> int | None:
        """When the first of these steps was first done (ns), or None."""
        done = [s.ended for s in self.steps if s.id in ids and s.type == "ok" and s.ended]
        return min(done, default=None)

    @property
    def broken_at(self) -> Step | None:
        """The last step that failed, refused or never ended, unless it was done later."""
        bad = [s for s in self.steps if s.type != "ok" and self.step_ok(s.id) is None]
        return bad[-1] if bad else None


@dataclass(frozen=True)
class Final:
    """A read-back after everything came to rest.

    :ivar source: a proxy's component id, or ``db:<region>``
    :ivar ops: operation id to seq of every change in the history log, None from a proxy
    :ivar dbids: operation id to the id of the object it changed; None if not read
    :ivar epochs: the epoch table as (token, first seq), oldest first; empty if not read
    """

    source: str
    epoch: str
    seq: int | None
    mode: str
    objects: dict[str, Any]
    ops: dict[str, int] | None
    index_equals_heap: bool | None
    event: Event
    dbids: dict[str, int] | None = None
    epochs: tuple[tuple[str, int], ...] = ()

    @property
    def is_db(self) -> bool:
        """Whether it was read from a database."""
        return self.source.startswith("db:")
