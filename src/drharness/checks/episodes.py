"""Episodes: a disturbance (faults, a procedure, or both) and the time in which to overcome it.

A fault opens a new episode once the one before is over: its procedure has succeeded, or all its
faults are healed. While something is broken and a procedure has failed, it is one more to overcome.
A procedure opens one only if the one before already succeeded and nothing broke since, or if all
faults had been healed for ``rto_bound``: nothing forces it then. One that was merely run again and
found nothing to do belongs to none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from drharness.checks.needed import required_of
from drharness.checks.standbys import followers
from drharness.history.records import Fault, Plan
from drharness.history.view import NS, History
from drharness.topology import addresses

# What these break nobody has to heal: it is started again, and recovery is due at once.
PASSING = ("component_killed", "vm_rebooted")
# Faults that name a VM and leave its components alone: only what they are told of names is other.
_SPARING = frozenset({"resolver_policy"})


def ns(seconds: float) -> int:
    """Seconds as nanoseconds."""
    return int(seconds * NS)


# The steps at which a run may end so while the DNS server is broken, and what it then speaks of:
# the server, its address, a name, or a host's resolver.
_NAMING = {"refused": ("preflight",), "fail": ("switch-names", "flush", "reconnect")}
_SAYS_NAMES = re.compile(
    r"(?<![\w.])(?:dns|resolver)(?![\w.])|"
    + "|".join(map(re.escape, (addresses.DNS_SERVER, *addresses.FRAMEWORK_NAMES))),
    re.IGNORECASE,
)
# Faults of the server with which it gives true answers: another clock; over TCP, if not over UDP.
_TELLING = frozenset({"clock_skew"})
_TOLD = frozenset({"truncated"})


@dataclass(frozen=True)
class Episode:
    """Faults and runs of procedures that belong together, from ``since`` to ``until`` (ns)."""

    since: int
    until: int
    faults: tuple[Fault, ...] = field(default=())
    plans: tuple[Plan, ...] = field(default=())

    @property
    def t_fail(self) -> int:
        """Start of the disturbance: proven effect of the last fault before the first procedure.

        One that was armed before and strikes within it (the controller's death) is none of these.
        """
        first_plan = self.plans[0].invoked if self.plans else self.until + 1
        before = [f.since for f in self.faults if f.since <= first_plan]
        return max(before, default=self.since)

    @property
    def cause(self) -> str:
        """What began it, for texts: ``region_down(region1)`` or ``full_failover``."""
        fault = next((f for f in self.faults if f.since == self.t_fail), None)
        if fault is None:
            return self.plans[0].procedure
        return f"{fault.f}({', '.join(str(v) for v in fault.args.values())})"

    @property
    def plan(self) -> Plan | None:
        """The procedure that counts: the last one run."""
        return self.plans[-1] if self.plans else None

    def liveness_from(self) -> int | None:
        """The instant from which recovery is due (ns); None: nothing makes it due.

        Liveness is judged after the last heal, and after a procedure: from the disturbance if it
        was run once, from its last run if it had to be run again. A fault that passes by itself and
        was not healed counts as healed when it struck.
        """
        ends = [f.since if f.f in PASSING and f.healed is None else f.healed for f in self.faults]
        heals = [t for t in ends if t is not None]
        if self.plan is None:
            return max(heals) if self.faults and len(heals) == len(self.faults) else None
        begun = self.plan.invoked
        again = [begun] if len(self.plans) > 1 else []
        inside = [
            f.since for f in self.faults if begun < f.since <= (self.plan.ended or self.until)
        ]
        return max([self.t_fail, *again, *inside, *(h for h in heals if h <= begun)])

    def promotes(self) -> bool:
        """Whether a procedure promoted a database: recovery then shows in a new epoch."""
        return any(p.step_ok("promote") is not None and p.promoted for p in self.plans)


def overtaken(history: History, episode: Episode, t: int) -> bool:
    """Whether the next disturbance came before ``t`` (ns): then it is that which is overcome."""
    return episode.until < min(t, history.end)


def episodes(history: History) -> tuple[Episode, ...]:
    """All episodes, in order; none in a run without faults and procedures."""
    happenings: list[Fault | Plan] = sorted(
        [*history.faults, *history.plans], key=lambda x: x.invoked
    )
    out: list[Episode] = []
    for item in happenings:
        if out and _only_repeats(out[-1], item):
            continue
        if not out or _opens_another(out[-1], item) or _is_planned(history, out[-1], item):
            if out:
                out[-1] = replace(out[-1], until=item.invoked)
            out.append(Episode(item.invoked, history.end))
        if isinstance(item, Fault):
            out[-1] = replace(out[-1], faults=(*out[-1].faults, item))
        else:
            out[-1] = replace(out[-1], plans=(*out[-1].plans, item))
    return tuple(out)


def _only_repeats(current: Episode, item: Fault | Plan) -> bool:
    """Whether a procedure was run once more after it had succeeded, and found nothing to do."""
    plan = current.plan
    if plan is None or not isinstance(item, Plan) or not _opens_another(current, item):
        return False
    broken_since = any(f.since > (plan.ended or plan.invoked) for f in current.faults)
    same = (plan.name, plan.to) == (item.name, item.to)
    return same and not broken_since and item.type == "ok" and not item.promoted


def _is_planned(history: History, current: Episode, item: Fault | Plan) -> bool:
    """Whether a procedure is run long after all faults have gone, none of which needed one."""
    if not isinstance(item, Plan) or current.plans:
        return False
    ends = [f.since if f.f in PASSING and f.healed is None else f.healed for f in current.faults]
    bound = ns(history.profile.rto_bound)
    return all(t is not None and t + bound <= item.invoked for t in ends)


def _opens_another(current: Episode, item: Fault | Plan) -> bool:
    plan, t = current.plan, item.invoked
    over = plan is None or (plan.ended is not None and plan.ended <= t)
    succeeded = over and plan is not None and plan.type == "ok"
    if isinstance(item, Plan):
        return succeeded
    return succeeded or (over and not any(f.in_force(t) for f in current.faults))


def old_epoch(history: History, t: int) -> str:
    """The epoch of the last write acknowledged before ``t``; empty if there was none."""
    before = [w for w in history.writes if w.type == "ok" and w.epoch and w.done <= t]
    return max(before, key=lambda w: w.done).epoch if before else ""


def proxies(history: History, region: str) -> tuple[str, ...]:
    """Ids of a region's Configuration Server Proxies."""
    return tuple(
        c.id for c in history.topology.components if c.region == region and c.kind == "csproxy"
    )


def serving(history: History, region: str, t: int) -> tuple[str, ...]:
    """The proxies of a region that served clients at ``t``: its primary, or all if none said so."""
    found = []
    for proxy in proxies(history, region):
        before = [s for s in history.comps.get(proxy, ()) if s.t <= t]
        if before and before[-1]["role"] == "primary":
            found.append(proxy)
    return tuple(found) or proxies(history, region)


def alive(history: History, component: str, since: int, until: int) -> bool:
    """Whether no fault touched a component, its VM or its whole region within [since, until]."""
    known = history.topology.component(component)
    if history.vm_down(known.vm, since, until):
        return False
    return not any(
        _hits(f, known.id, known.vm, known.region)
        for f in _within(history.faults, since, until)
        if not _is_over(history, f, since)
    )


def _within(faults: Iterable[Fault], since: int, until: int) -> list[Fault]:
    return [f for f in faults if f.invoked <= until and (f.healed is None or f.healed > since)]


def _is_over(history: History, fault: Fault, t: int) -> bool:
    """Whether what passes by itself has to have passed, though nobody said when it had."""
    bound = fault.since + ns(history.profile.rto_bound)
    return fault.f in PASSING and fault.healed is None and bound < t


def _hits(fault: Fault, component: str, vm: str, region: str) -> bool:
    """Whether a fault touched a process; a cut is of networks: who is cut off still runs."""
    if "cut" in fault.f or fault.f in _SPARING:
        return False
    whole_region = fault.f == "region_down" and fault.names(region)
    return whole_region or fault.names(component) or fault.names(vm)


def cut_off(history: History, region: str, other: str, *, since: int, until: int) -> bool:
    """Whether a region's proxies could not reach another's masters, or these their databases.

    That is so if the network between both regions, or between two VMs on the way of a write, was
    cut at any moment within [since, until].
    """
    places = _places(history, other, until)
    if link_cut(history, _way(history, region, *places, until), since=since, until=until):
        return True
    pairs = _lines(history, region, *places, until)
    for fault in _within(history.faults, since, until) if pairs else ():
        named = [r for r in history.topology.regions if fault.names(r)]
        passed = any(fault.names(*pair) for pair in pairs)
        if "cut" in fault.f and (passed or (fault.f == "regions_cut" and not named)):
            return True
    return any(
        pair <= {*what} and cut <= until and (healed is None or healed > since)
        for what, cut, healed in _cuts(history)
        for pair in pairs
    )


def _lines(
    history: History, region: str, framework: str, database: str, t: int
) -> list[frozenset[str]]:
    """Pairs of regions between which a write from a region passes; and its commit, if that is due.

    Of two regions a commit that waits for the other is left to the checks: it was cut off, too.
    """
    ways = [{region, framework}, {framework, database}]
    if len(history.topology.regions) > 2 and history.topology.replication == "sync":
        ways += [{database, standby} for standby in followers(history, t)]
    return [frozenset(way) for way in ways if len(way) > 1]


def _places(history: History, active: str, until: int) -> tuple[str, str]:
    """The regions of the Framework and of the database, if procedures have made ``active`` so.

    They are one region, unless the last procedure has left one of them where it was.
    """
    framework = database = history.active
    for plan in history.plans:
        if plan.to and plan.invoked <= until:
            needed = required_of(plan)
            framework = plan.to if "start-framework" in needed else framework
            database = plan.to if "promote" in needed else database
    return (framework, database) if active in (framework, database) else (active, active)


def link_cut(history: History, vms: Collection[str], *, since: int, until: int) -> bool:
    """Whether anything that one of these VMs sent another was held back within [since, until]."""
    return any(
        len(set(vms) & set(what)) > 1 and cut <= until and (healed is None or healed > since)
        for what, cut, healed in _cuts(history)
    )


def _way(history: History, region: str, framework: str, database: str, t: int) -> list[str]:
    """VMs that a write from a region passes: to its commit, and to the standby's if that is due."""
    topology = history.topology
    through = [*topology.vms_of(region, "application"), *topology.vms_of(framework, "framework")]
    databases = [database]
    if topology.replication == "sync":
        two = len(topology.regions) == 2
        databases += topology.others(database) if two else followers(history, t)
    asked = [topology.dbms(r) for r in databases] + [vm for vm in topology.vms if vm.role == "dns"]
    return [vm.id for vm in (*through, *asked)]


def _cuts(history: History) -> list[tuple[list[str], int, int | None]]:
    """Network cuts as (ids of regions or VMs named, cut, healed)."""
    known = [*history.topology.regions, *(vm.id for vm in history.topology.vms)]
    out: list[tuple[list[str], int, int | None]] = []
    open_cuts: dict[str, tuple[list[str], int]] = {}
    for event in history.of_kind("net"):
        names = Fault("net", event["what"], event.t, None, {}, None, event.t, (event,))
        ids = [name for name in known if names.names(name)]
        key = repr(sorted(event["what"].items(), key=str))
        if event["type"] == "cut":
            open_cuts.setdefault(key, (ids, event.t))
        elif key in open_cuts:
            found, since = open_cuts.pop(key)
            out.append((found, since, event.t))
    return out + [(ids, since, None) for ids, since in open_cuts.values()]


def judged_regions(history: History, episode: Episode, *, since: int, until: int) -> list[str]:
    """Regions that have to recover: the serving proxy alive throughout, the network not cut.

    Not one whose clients all ended with their VMs before: nobody is left who could try there.
    """
    active = _active(history, episode)
    return [
        region
        for region in history.topology.regions
        if not clients_ended(history, region, since, episode.until)
        and any(alive(history, p, since, until) for p in serving(history, region, since))
        and not cut_off(history, region, active, since=since, until=until)
    ]


def clients_ended(history: History, region: str, since: int, until: int) -> bool:
    """Whether every Application VM lost its power after traffic began, and no client began anew.

    A procedure's own canary is no client: it is written when all is done.
    """
    begun = min((e.t for e in history.of_kind("traffic") if e["type"] == "start"), default=since)
    for vm in history.topology.vms_of(region, "application"):
        offs = [
            e.t for e in history.vms.get(vm.id, ()) if e["state"] == "off" and begun < e.t <= since
        ]
        if not offs:
            return False
        src = f"{vm.id}."
        after = [w for w in history.writes if max(offs) < w.invoked <= until]
        if any(w.proc.startswith(src) and not w.events[0].get("canary") for w in after):
            return False
    return True


def names_failed(history: History, plan: Plan) -> bool:
    """Whether a run could not be brought to its end for the DNS server was broken: it says so.

    It refused at its first step, or failed at one that needs names, when a fault kept the server
    from answering, and its text names what was asked: recovery is due after the heal. A cause that
    was healed by then, or that the text does not mention, is none.
    """
    step = plan.broken_at
    if step is None or step.ended is None or step.id not in _NAMING.get(plan.type, ()):
        return False
    if not _SAYS_NAMES.search(step.text):
        return False
    return any(_stops_names(history, f, step.ended) for f in history.faults)


def _stops_names(history: History, fault: Fault, t: int) -> bool:
    """Whether a fault kept the DNS server's answers from those who asked at ``t`` (ns)."""
    server = [vm.id for vm in history.topology.vms if vm.role == "dns"]
    if not any(fault.names(vm) for vm in server):
        return False
    told = fault.f in _TELLING or fault.args.get("how") in _TOLD
    return not told and fault.in_force(t) and not _is_over(history, fault, t)


def _active(history: History, episode: Episode) -> str:
    """The region that is active at the end of an episode, by what procedures did."""
    active = history.active
    for plan in history.plans:
        if plan.to and plan.invoked <= episode.until and plan.step_ok("promote", "switch-names"):
            active = plan.to
    return active


def behind_boot_rules(history: History, episode: Episode) -> bool:
    """Whether the active database booted with every Framework subnet rejected, as it is meant to.

    Only a procedure lets them in again; without one nothing has to recover.
    """
    if history.topology.return_fence != "boot-deny" or episode.plan is not None:
        return False
    _, database = _places(history, _active(history, episode), episode.until)
    dbms = history.topology.dbms(database).id
    boots = [e.t for e in history.vms.get(dbms, ()) if e["state"] == "on"]
    return any(episode.since <= t <= episode.until for t in boots)
