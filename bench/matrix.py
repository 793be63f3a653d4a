"""The table of bench_matrix.py: what is broken, what it entitles the system to, what may be found.

A play breaks things in a deployment with traffic, does what an operator would, and says what went
otherwise than the table has it. The verdict is the runner's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from drharness import procedures
from drharness.deployment import Deployment
from drharness.deployment.traffic import unbroken_clients, wait_to_go_on
from drharness.errors import DrHarnessError
from drharness.faults import (
    ClockSkew,
    ComponentFrozen,
    ComponentKilled,
    ControllerKilled,
    Delay,
    DiskFull,
    DnsAnswers,
    DnsDown,
    FirewallLeftBehind,
    FirewallLostAtReboot,
    FirewallMissing,
    FirewallWrongOrder,
    FirewallWrongSource,
    LinkCut,
    LongReader,
    Loss,
    ManagementCut,
    Rate,
    RegionDown,
    RegionsCut,
    ResolverPolicy,
    SlotLost,
    StandbyCut,
    StandbyLagging,
    StrayWalReceiver,
    VmDown,
    VmFrozen,
    VmRebooted,
)
from drharness.faults.model import Fault
from drharness.kernel.waiting import hold

MODES = ("sync", "async")
_WATCH_S = 1.5  # how long what is broken stays so
_RERUNS = 5
FAILOVER = procedures.full_failover(to="region2")
DOWN = RegionDown("region1")

Play = Callable[[Deployment], str]  # what went otherwise than the table says; "" if nothing did


def writes_go_on(deployment: Deployment) -> str:
    """Writes are acknowledged through every region that has a client that lived through it all."""
    operations = deployment.operations
    clients = unbroken_clients(operations)
    due = {r: vms for r, vms in clients.items() if not operations.are_cut(r, deployment.active)}
    try:
        wait_to_go_on(operations, due, "writes through every region")
    except DrHarnessError as error:
        return str(error)
    return ""


def heals(*faults: Fault, writes: bool = True, watch: float = _WATCH_S) -> Play:
    """Break, watch, heal; then writes go on (or, where a procedure alone lets them in, nothing)."""

    def play(deployment: Deployment) -> str:
        for fault in faults:
            deployment.inject(fault)
        hold(watch)
        deployment.heal()
        if writes:
            return writes_go_on(deployment)
        hold(_WATCH_S)
        return ""

    return play


def stays(*faults: Fault) -> Play:
    """Break, and leave it so."""

    def play(deployment: Deployment) -> str:
        for fault in faults:
            deployment.inject(fault)
        hold(2 * _WATCH_S)
        return ""

    return play


def fails_over(
    *faults: Fault, may: Sequence[str] = ("ok",), returns: bool = False, watch: float = 0.0
) -> Play:
    """Break, run the procedure; if it may fail or refuse and does, heal and run it again.

    :param may: how the first run may end
    :param returns: what is broken is healed at last: it must not do harm
    """

    def play(deployment: Deployment) -> str:
        for fault in faults:
            deployment.inject(fault)
            hold(watch)
        outcome = deployment.run(FAILOVER)
        if outcome.status not in may:
            return f"{outcome.status} at {outcome.step}: {outcome.text}"
        if not outcome.ok:
            deployment.heal()
            text = _run_again(deployment)
            if text:
                return text
        if returns:
            deployment.heal()
            hold(_WATCH_S)
        return writes_go_on(deployment)

    return play


def _run_again(deployment: Deployment) -> str:
    """Until it succeeds: a standby that was cut off needs a moment to catch up."""
    for _ in range(_RERUNS):
        outcome = deployment.run(FAILOVER)
        if outcome.ok:
            return ""
        hold(0.3)
    return f"run again, it {outcome.status} at {outcome.step}: {outcome.text}"


def refuses(*faults: Fault) -> Play:
    """Break, the procedure refuses, heal: writes go on where they were."""

    def play(deployment: Deployment) -> str:
        for fault in faults:
            deployment.inject(fault)
        outcome = deployment.run(FAILOVER)
        if outcome.status != "refused":
            return f"{outcome.status} at {outcome.step}, not refused: {outcome.text}"
        deployment.heal()
        return writes_go_on(deployment)

    return play


def fails(*faults: Fault) -> Play:
    """Break, the procedure says that it cannot be done; nobody heals anything."""

    def play(deployment: Deployment) -> str:
        for fault in faults:
            deployment.inject(fault)
        outcome = deployment.run(FAILOVER)
        return "" if outcome.status in ("fail", "refused") else f"it ended {outcome.status}"

    return play


def dies(**moment: str | int | bool) -> Play:
    """The region is lost, the controller is killed in the failover, which is run again."""

    def play(deployment: Deployment) -> str:
        deployment.inject(DOWN)
        deployment.inject(ControllerKilled(**moment))  # type: ignore[arg-type]
        outcome = deployment.run(FAILOVER)
        if outcome.status != "interrupted":
            return f"{outcome.status}, not interrupted: {outcome.text}"
        return _run_again(deployment) or writes_go_on(deployment)

    return play


@dataclass(frozen=True)
class Scenario:
    """A row of the table.

    :ivar play: what happens
    :ivar allowed: findings that are right, as verdict and id of the check, ``UNKNOWN S13``
    :ivar modes: replication modes in which it makes sense
    """

    name: str
    play: Play
    allowed: frozenset[str] = frozenset()
    modes: Sequence[str] = MODES


def table() -> Iterator[Scenario]:
    yield Scenario("nothing", stays())
    yield from _components()
    yield from _machines()
    yield from _networks()
    yield from _names()
    yield from _databases()
    yield from _rules()
    yield from _controllers()


def _components() -> Iterator[Scenario]:
    """One of a pair, or its machine: nobody need act, or only heal."""
    for what in (
        "active.framework-p.configserver",
        "active.framework-b.configserver",
        "active.framework-p.lca",
        "region1-application-p.csproxy",
        "region2-application-b.csproxy",
    ):
        yield Scenario(f"component-killed {what}", heals(ComponentKilled(what)))
        yield Scenario(f"component-frozen {what}", heals(ComponentFrozen(what)))
    for what in ("active.framework-p", "active.framework-b", "region2-application-p"):
        yield Scenario(f"vm-down {what}", heals(VmDown(what)))
        yield Scenario(f"vm-rebooted {what}", heals(VmRebooted(what)))
        yield Scenario(f"vm-frozen {what}", heals(VmFrozen(what)))


# No database is left to read back from.
_NOT_READ = frozenset({"UNKNOWN S13", "UNKNOWN D1", "UNKNOWN D2", "UNKNOWN D3"})


def _machines() -> Iterator[Scenario]:
    for returns in (False, True):
        then = " then it returns" if returns else ""
        yield Scenario(f"region-down, failover{then}", fails_over(DOWN, returns=returns))
        for what in ("active.framework", "active.dbms"):
            play = fails_over(VmDown(what), returns=returns)
            yield Scenario(f"vm-down {what}, failover{then}", play)
    yield Scenario("region-down dormant", heals(RegionDown("region2")))
    yield Scenario("region-down, no procedure", stays(DOWN), _NOT_READ)
    yield Scenario("vm-rebooted active.dbms", heals(VmRebooted("active.dbms"), writes=False))
    yield Scenario("vm-rebooted active.dbms, failover", fails_over(VmRebooted("active.dbms")))
    yield Scenario("vm-down active.dbms, healed", heals(VmDown("active.dbms"), writes=False))
    yield Scenario("vm-frozen active.dbms", heals(VmFrozen("active.dbms")))
    frozen = fails_over(VmFrozen("active.dbms"), returns=True)
    yield Scenario("vm-frozen active.dbms, failover then it returns", frozen)
    for fault in (VmDown("dormant.dbms"), VmRebooted("dormant.dbms"), VmFrozen("dormant.dbms")):
        yield Scenario(f"{fault.kebab} dormant.dbms", heals(fault))
    for what in ("active.dbms", "dormant.dbms", "active.framework-p", "region2-application-p"):
        yield Scenario(f"disk-full {what}", heals(DiskFull(what)))
    yield Scenario("disk-full active.dbms, failover", fails_over(DiskFull("active.dbms")))
    for what in ("active.dbms", "dormant.dbms"):
        yield Scenario(f"clock-skew {what}", heals(ClockSkew(what)))


def _networks() -> Iterator[Scenario]:
    yield Scenario("regions-cut", heals(RegionsCut()))
    yield Scenario("regions-cut one way", heals(RegionsCut(both_ways=False)))
    yield Scenario("regions-cut, failover", fails_over(RegionsCut()))
    yield Scenario("regions-cut, failover then it heals", fails_over(RegionsCut(), returns=True))
    one_way = fails_over(RegionsCut(both_ways=False), returns=True)
    yield Scenario("regions-cut one way, failover then it heals", one_way)
    cut = (RegionsCut(), ManagementCut("region1"))
    yield Scenario("regions-cut and management-cut", refuses(*cut))
    yield Scenario("regions-cut and management-cut, again", fails_over(*cut, may=("refused",)))
    lost = fails_over(ManagementCut("region1"), DOWN, may=("refused",))
    yield Scenario("management-cut and region-down", lost)
    yield Scenario("management-cut", heals(ManagementCut("region1")))
    for how in ("drop", "reject", "reset"):
        yield Scenario(f"standby-cut {how}", heals(StandbyCut(how)))
        for both in (False, True):
            fault = LinkCut("region2-application-p", "active.framework", 0, how, both)
            yield Scenario(f"link-cut {how}{' both ways' if both else ''}", heals(fault))
    yield Scenario(
        "link-cut master from database", heals(LinkCut("active.framework-p", "active.dbms"))
    )
    yield Scenario("standby-cut then region-down", fails_over(StandbyCut(), DOWN, may=_GATED))
    late = fails_over(StandbyCut(), DOWN, may=_GATED, watch=1.5)
    yield Scenario("standby-cut for long then region-down", late)
    for line in (Delay(), Loss(), Rate()):
        yield Scenario(line.kebab, heals(line))
        yield Scenario(f"{line.kebab}, region-down, failover", fails_over(line, DOWN, may=_GATED))


_GATED = ("ok", "refused")  # above the lag limit it refuses


def _names() -> Iterator[Scenario]:
    wrong: list[Fault] = [DnsDown(how=how) for how in ("power", "process")]
    ways = ("servfail", "nxdomain", "truncated", "truncated-no-tcp", "slow", "stale")
    wrong += [DnsAnswers(how=how) for how in ways]
    for fault in wrong:
        name = f"{fault.kebab} {fault.how}"
        yield Scenario(name, heals(fault))
        may = ("ok", "fail", "refused")
        yield Scenario(f"{name}, region-down, failover", fails_over(fault, DOWN, may=may))
    yield Scenario("dns-down never healed", stays(DnsDown()))
    for how in ("power", "process"):
        play = fails(DnsDown(how=how), DOWN)
        name = f"dns-down {how}, region-down, failover, never healed"
        yield Scenario(name, play, _NOT_READ)
    for how, seconds in (("floor", 60.0), ("cap", 0.0), ("forever", 60.0), ("serve-stale", 60.0)):
        fault = ResolverPolicy("region2.application", how, seconds)
        yield Scenario(f"resolver-policy {how}", heals(fault))
        yield Scenario(f"resolver-policy {how}, region-down, failover", fails_over(fault, DOWN))


def _databases() -> Iterator[Scenario]:
    for fault in (
        StandbyLagging(),
        StandbyLagging(seconds=1.0),
        StandbyLagging("receive"),
        LongReader(),
        SlotLost(),
        StrayWalReceiver(),
    ):
        name = f"{fault.kebab} {_words(fault)}".strip()
        yield Scenario(name, heals(fault))
        if not isinstance(fault, StrayWalReceiver):
            play = fails_over(fault, DOWN, may=_GATED)
            yield Scenario(f"{name}, region-down, failover", play)


def _rules() -> Iterator[Scenario]:
    """The fence was broken for a while, and nobody went through."""
    for region in ("active", "dormant"):
        for fault in (
            FirewallMissing(region),
            FirewallWrongOrder(region),
            FirewallWrongSource(region),
            FirewallLostAtReboot(region),
            FirewallLeftBehind(region),
        ):
            yield Scenario(f"{fault.kebab} {region}", heals(fault))
    left = FirewallLeftBehind("dormant")
    yield Scenario("firewall-left-behind, region-down, failover", fails_over(left, DOWN))


def _controllers() -> Iterator[Scenario]:
    for step in FAILOVER.steps:
        yield Scenario(f"controller-killed after {step.id}", dies(after=step.id))
        if step.id != "preflight":
            yield Scenario(f"controller-killed within {step.id}", dies(within=step.id))


def _words(fault: Fault) -> str:
    """The arguments that are not at their defaults."""
    inside = repr(fault).partition("(")[2].rstrip(")").split(", ")
    usual = repr(type(fault)()).partition("(")[2].rstrip(")").split(", ")
    return " ".join(it for it in inside if it not in usual).replace("'", "")
