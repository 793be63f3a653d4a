"""What happened in a run, in the words of somebody who tells it: one happening, one clause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from drharness.checks.text import describe, shorten
from drharness.deployment import targets
from drharness.history.event import Event
from drharness.history.records import Fault, Plan, Step
from drharness.history.view import NS, History

# Of who powers a VM on or off, those that a fault or a step tells of, and the deployment itself.
_TOLD_ELSEWHERE = ("deployment", "probe", "unblock", "start-framework", "fence")
_TOGETHER_NS = NS // 10  # power switched within that time is one happening
_BROKEN: Mapping[str, str] = {
    "region_down": "{region} loses its power",
    "vm_down": "{targets} loses power",
    "vm_rebooted": "{targets} reboots",
    "vm_frozen": "{targets} hangs: every process stops",
    "component_killed": "{target} is killed",
    "component_frozen": "{target} hangs",
    "controller_killed": "the controller dies",
    "management_cut": "the out-of-band management of {region} is cut",
    "standby_cut": "the standby is cut off from its primary ({how})",
    "link_cut": "the link from {source} to {target} is cut ({how})",
    "delay": "the line between {one} and {other} gets slow ({seconds:g} s)",
    "dns_answers": "the DNS server misbehaves ({how})",
    "dns_down": "the DNS server is gone ({how})",
    "resolver_policy": "the resolver of {target} keeps names longer than their TTL ({how})",
    "disk_full": "the disk of {target} is full",
    "standby_lagging": "the standby lags behind ({how})",
    "slot_lost": "the standby's replication slot is lost",
    "stray_wal_receiver": "a stranger receives WAL under the standby's name",
    "long_reader": "a long query on the standby holds up its replay",
    "clock_skew": "the clock of {target} is wrong by {seconds:g} s",
}


@dataclass(frozen=True)
class Happening:
    """Something that somebody did, or that broke.

    :ivar t: ns; ``who``: ``fault``, ``operator``, ``controller``, ``power``, ``client`` or ``seen``
    :ivar rank: how much a short story needs it, 0 least
    :ivar step: of a step of a procedure, the record
    :ivar fault: of a fault, the record
    :ivar plan: number of the run that it belongs to, None if it is no part of one
    """

    t: int
    who: str
    text: str
    rank: int
    step: Step | None = None
    fault: Fault | None = None
    plan: int | None = None


_KNOWN: WeakKeyDictionary[History, Sequence[Happening]] = WeakKeyDictionary()


def broken(fault: Fault) -> str:
    """What a fault is, as a clause."""
    args = {**fault.args, **_regions(fault)}
    if fault.f == "regions_cut":
        one, other = args.get("one", ""), args.get("other", "")
        if args.get("both_ways", True):
            return f"the network between {one} and {other} is cut"
        return f"nothing passes from {one} to {other} any more (the other way it does)"
    targets = ", ".join(fault.targets[:3]) + (" …" if len(fault.targets) > 3 else "")
    known = {"targets": targets or args.get("target", "a VM"), **args}
    try:
        return _BROKEN[fault.f].format(**known)
    except (KeyError, ValueError):  # another one, or recorded with other arguments
        return f"{named(fault)} strikes"


def _regions(fault: Fault) -> dict[str, str]:
    """Which regions ``active`` and ``dormant`` were: a fault's targets begin with its regions."""
    wanted = [name for name in ("region", "one", "other") if name in fault.args]
    return {
        name: region
        for name, region in zip(wanted, fault.targets, strict=False)
        if fault.args[name] in targets.WORDS
    }


def named(fault: Fault) -> str:
    """``vm-down active.dbms``: as it is called on the command line."""
    given = [str(v) for v in fault.args.values() if v not in ("", None, True)]
    return " ".join([fault.f.replace("_", "-"), *given])


def slips(plan: Plan) -> Sequence[str]:
    """How the operator's steps differ from the shipped ones: ``without step fence`` …"""
    code = str(plan.events[0].get("code") or "")
    words = {
        "without": "without step {0}",
        "repeated": "with step {0} done twice",
        "swapped": "with steps {0} and {1} swapped",
        "delayed": "with step {0} put off by {1} s",
    }
    found = re.findall(r"\.(without|repeated|swapped|delayed)\(([^)]*)\)", code)
    return [words[k].format(*[a.strip(" '\"") for a in args.split(",")]) for k, args in found]


def varied(plan: Plan) -> str:
    """How a run differs from the shipped procedure: ``without step fence, by force``; or empty."""
    by_force = "force=True" in str(plan.events[0].get("code") or "")
    return ", ".join([*slips(plan), *(["by force"] if by_force else [])])


def forced(plan: Plan) -> Mapping[str, str]:
    """Ids of steps that went on without their proof, each with why it was missing."""
    found = {s.id: s.events[-1].get("result") for s in plan.steps if s.type == "ok"}
    results = {i: r for i, r in found.items() if isinstance(r, dict) and r.get("forced")}
    return {i: str(r.get("why", "")).partition("\n")[0] for i, r in results.items()}


def happenings(history: History) -> Sequence[Happening]:
    """All that was done to a deployment, in order: faults, heals, power, procedures, clients."""
    if history not in _KNOWN:
        _KNOWN[history] = tuple(_happenings(history))
    return _KNOWN[history]


def _happenings(history: History) -> list[Happening]:
    found = [*_faults(history), *_power(history), *_acts(history)]
    for number, plan in enumerate(history.plans):
        found += [replace(h, plan=plan.number) for h in _plan(plan, again=number > 0)]
    return sorted(found, key=lambda h: h.t)


def _faults(history: History) -> Iterator[Happening]:
    for fault in history.faults:
        if fault.proven is None:  # its effect was not seen, and it was undone
            continue
        yield Happening(fault.since, "fault", broken(fault), 9, fault=fault)
        if fault.healed is not None:
            text = f"{named(fault)} is healed"
            yield Happening(fault.healed, "power", text, 4, fault=fault)


def _power(history: History) -> Iterator[Happening]:
    """Machines that somebody else switched, or that ended by themselves."""
    names = {f.f for f in history.faults}
    alike = Counter(_switched(event, history) for event in history.of_kind("vm"))
    last: dict[tuple[str, str, str], int] = {}
    for event in history.of_kind("vm"):
        cause = str(event.get("cause") or "")
        if cause in _TOLD_ELSEWHERE or cause.split(" ")[0] in names:
            continue
        if any(f.proven and f.invoked <= event.t <= f.proven for f in history.faults):
            continue
        region, _, _ = key = _switched(event, history)
        if event.t - last.get(key, -(10**18)) > _TOGETHER_NS:
            what = {"on": "gets power again", "off": "has no power any more"}
            text = f"{region} {what.get(event['state'], event['state'])}"
            if alike[key] == 1:
                text = text.replace(region, event["id"], 1)
            yield Happening(event.t, "power", f"{text} ({cause or 'nobody did that'})", 8)
        last[key] = event.t


def _switched(event: Event, history: History) -> tuple[str, str, str]:
    """Of an event of a machine's power what several have in common: region, state and cause."""
    return history.region_of(event["id"]), event["state"], str(event.get("cause") or "")


def _acts(history: History) -> Iterator[Happening]:
    """Of a schedule's actions those that nothing else tells."""
    for act in history.of_kind("act"):
        done = act["do"].get("do")
        if act["type"] == "ok" and done == "operate":
            text = f"a client: {act['do'].get('f')} {act['do'].get('key')}"
            yield Happening(act.t, "client", text, 1)
        elif act["type"] == "ok" and done == "crash":
            yield Happening(act.t, "controller", "the controller dies, its memory is lost", 8)


def _plan(plan: Plan, *, again: bool) -> Iterator[Happening]:
    how = "" if again else varied(plan)  # as it was before
    text = f"the operator begins {plan.name} to {plan.to}{' once more' if again else ''}"
    text = f"{text}, {how}" if how else text
    yield Happening(plan.invoked, "operator", text, 5 if again else 7)
    without_proof = forced(plan)
    for step in plan.steps:
        if step.type == "ok" and step.id in without_proof:
            text = f"step {step.id} goes on by force: {without_proof[step.id]}"
            yield Happening(step.invoked, "operator", text, 8, step)
        elif step.type == "ok":
            yield Happening(step.invoked, "operator", f"step {step.id}", 3, step)
        elif step.type == "invoke":
            text = f"step {step.id} is begun and never ends"
            yield Happening(step.invoked, "operator", text, 7, step)
        else:
            ends = {"fail": "fails", "refused": "refuses"}.get(step.type, step.type)
            why = step.text.partition("\n")[0]
            text = f"step {step.id} {ends}{why and ': '}{why}"
            yield Happening(step.ended or step.invoked, "operator", text, 6, step)


def seen(event: Event, history: History) -> str:
    """A proving event, as a clause."""
    kind = event.kind
    if kind == "db":
        state = {True: "accepts writes", False: "is read-only"}.get(event["writable"], "is silent")
        sessions = event.get("sessions") or []
        by = f", with {sessions[0][0]} at work on it" if sessions and sessions[0] else ""
        return f"the database of {event['db']} {state}{by}"
    if kind == "comp":
        mode = f"{event['mode']} mode" if event.get("mode") else str(event["role"])
        on = f" on the database of {event['db']}" if event.get("db") else ""
        return f"{event['id']} is {'in ' if event.get('mode') else ''}{mode}{on}"
    if kind == "op":
        via = f" through {event['via']}" if event["via"] else ""
        ended = {"ok": "succeeds", "fail": "fails", "info": "has no known end"}
        how = ended.get(event.type, "begins")
        return f"a client's {event['f']} of {event.get('key')}{via} {how}"
    if kind == "reach":
        got = "a connection" if event["res"] == "ok" else event["res"]
        return f"{event['src']} gets {got} to {_place(event['dst'], history)}"
    if kind == "edge":
        return f"{event['by']} on {event['src']} is connected to {_place(event['dst'], history)}"
    if kind == "dns":
        said = ", ".join(map(str, event["ans"])) or "nothing"
        return f"{event['host']} is told {said} for {event['fqdn']}"
    if kind == "ack":
        return f"{event['server']} commits {event['opid']}"
    if kind == "final":
        return f"all is read back from {event['source']}"
    return shorten(describe(event), 100)


def _place(place: str, history: History) -> str:
    """An address and port, with the name of its VM."""
    address = place.partition(":")[0]
    known = next((vm.id for vm in history.topology.vms if vm.address == address), "")
    return known or place
