"""What a drill is to do, as one value; all input is checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path

from drharness import faults, procedures
from drharness.checks import Budget
from drharness.cli.variations import step_of
from drharness.deployment.engines import NAMES as ENGINES
from drharness.deployment.targets import WORDS
from drharness.errors import UsageError
from drharness.faults import spelling
from drharness.faults.model import Fault
from drharness.kernel import validate
from drharness.procedures import Procedure
from drharness.procedures.step import MOVES
from drharness.topology import Topology
from drharness.topology.model import REPLICATION, RETURN_FENCES
from drharness.topology.profile import PROFILES

USUAL_FAULTS = {
    "dbms-failover": "vm-down:active.dbms",
    "framework-failover": "vm-down:active.framework",
    "full-failover": "region-down",
}


@dataclass(frozen=True)
class Drill:
    """A drill.

    :ivar fault: what is broken before the procedure begins, if anything
    :ivar budget: limits on RTO and RPO
    :ivar rate: writes per second, None for the timing profile's
    :ivar evidence: where runs are kept, None for the default
    :ivar json: where the machine-readable result goes: a path, ``-``, or empty for nowhere
    """

    procedure: Procedure
    topology: Topology
    fault: Fault | None
    budget: Budget
    rate: float | None
    engine: str
    evidence: Path | None
    json: str
    runs: int

    def __str__(self) -> str:
        topology = self.topology
        pairs = topology.application_pairs
        more = f", {pairs} Application pairs" if pairs > 1 else ""
        return (
            f"drill {repr(self.procedure).removeprefix('procedures.')}\n"
            f"  fault     {self.fault or 'none'!s}\n"
            f"  topology  {topology.replication} replication, {topology.timing} timing, "
            f"TTL {topology.ttl} s, return fence {topology.return_fence}{more}"
        )


def topology_of(
    file: Path | None = None,
    *,
    replication: str = "",
    timing: str = "",
    ttl: int | None = None,
    return_fence: str = "",
) -> Topology:
    """The topology that a file and the options describe; what an option says counts.

    :raises UsageError: names the option or the file, the value and what was expected
    """
    given: dict[str, str | int] = {}
    for name, value, allowed in (
        ("replication", replication, REPLICATION),
        ("timing", timing, PROFILES),
        ("return_fence", return_fence, RETURN_FENCES),
    ):
        if value:
            given[name] = validate.choice(f"--{name.replace('_', '-')}", value, allowed)
    if ttl is not None:
        given["ttl"] = int(validate.number("--ttl", ttl, low=0, high=86400))
    base = Topology.guide() if file is None else Topology.load(file)
    return base.changed(**given)


@dataclass(frozen=True)
class Variation:
    """What the options change in a procedure, as given.

    :ivar without: steps to leave out; ``swap``: pairs of steps, ``one,other``
    :ivar database: ``move`` or ``stay``, for the one that has the choice; empty for its default
    """

    without: Sequence[str] = ()
    swap: Sequence[str] = ()
    database: str = ""


_AS_SHIPPED = Variation()


def procedure_of(
    name: str, to: str, *, topology: Topology, varied: Variation = _AS_SHIPPED, active: str = ""
) -> Procedure:
    """The procedure of that name, varied.

    :param to: the region that takes over; empty: the one that is not active at the start
    :param active: the one that is; empty: the topology's first
    :raises UsageError: no such procedure, region or step, or a malformed ``--swap``
    """
    known = procedures.BY_NAME
    chosen = known[validate.choice("PROCEDURE", name.replace("_", "-"), known)]
    active = active or topology.regions[0]
    to = to or topology.other(active)
    if validate.choice("--to", to, topology.regions) == active:
        raise UsageError(
            f"--to: {to} is the active region when a drill begins; "
            f"expected {' or '.join(topology.others(to))}, which takes over from it."
        )
    more = {"regions": len(topology.regions)} if len(topology.regions) > 2 else {}
    procedure = chosen(to=to, **_choice(chosen, name, varied.database), **more)
    for step in varied.without:
        procedure = procedure.without(step_of("--without", step, procedure))
    for pair in varied.swap:
        names = [part.strip() for part in pair.split(",")]
        if len(names) != 2:
            raise UsageError(f"--swap: expected two steps, as in fence,promote, got {pair!r}.")
        one, other = (step_of("--swap", step, procedure) for step in names)
        procedure = procedure.swapped(one, other)
    return procedure


def _choice(chosen: Callable[..., Procedure], name: str, database: str) -> dict[str, str]:
    if not database:
        return {}
    if "database" not in signature(chosen).parameters:
        raise UsageError(f"--database: {name} has no choice of it, got {database!r}.")
    return {"database": validate.choice("--database", database, MOVES)}


def usual_fault(procedure: Procedure) -> str:
    """What a procedure is for, as ``--fault`` spells it; ``region-down`` if nobody said."""
    return USUAL_FAULTS.get(procedure.name.replace("_", "-"), "region-down")


def fault_of(
    text: str, *, to: str, topology: Topology, name: str = "--fault", active: str = ""
) -> Fault | None:
    """The fault that the option spells; a region it does not name is the one not taking over.

    :param active: that is the active one where there are several; empty: the topology's first
    :param text: ``none``, ``region-down``, ``vm-down:active.dbms`` …: a name with its arguments
    :param name: of the option, for errors
    :raises UsageError: no such fault, argument or region
    """
    kind, colon, _ = text.partition(":")
    if validate.choice(name, kind.replace("_", "-"), {"none", *faults.BY_NAME}) == "none":
        if colon:
            raise UsageError(f"{name}: none takes no arguments, got {text!r}.")
        return None
    two = len(topology.regions) == 2
    old = topology.other(to) if two else active or topology.regions[0]
    fault = spelling.parse(text, faults.BY_NAME, region=old, name=name)
    allowed = (*WORDS, *topology.regions)
    for field in fields(fault):
        if field.name in ("region", "one", "other"):
            validate.choice(name, getattr(fault, field.name), allowed)
    return fault


def budget_of(max_rto: float | None, max_rpo: str | None) -> Budget:
    """The limits that the options set.

    :raises UsageError: names the option, its value and what was expected
    """
    return Budget.of(max_rto, max_rpo, names=("--max-rto", "--max-rpo"))


def check_rest(
    *, engine: str, scale: float = 1.0, rate: float | None = None, runs: int = 1, json: str = ""
) -> None:
    """Check the options that are passed on as they are.

    :raises UsageError: names the option, its value and what was expected
    """
    validate.choice("--engine", engine, ENGINES)
    validate.number("--timeout-scale", scale, low=1, high=1000)
    validate.number("--runs", runs, low=1, high=1000)
    if rate is not None:
        validate.number("--rate", rate, low=0.1, high=2000)
    check_writable(json)


def check_writable(json: str, *, name: str = "--json") -> None:
    """Whether the result can be written where it is wanted, before it takes time to get it.

    :raises UsageError: it cannot
    """
    if json in ("", "-"):
        return
    path = Path(json)
    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{name}: {json} cannot be written ({error.strerror}).") from error
