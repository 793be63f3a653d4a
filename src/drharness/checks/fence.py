"""S5, the fence matrix: which Framework reaches which database, by connections that were tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from drharness.checks.episodes import ns
from drharness.checks.form import NotExercised
from drharness.checks.intent import (
    database_at,
    destination,
    framework_region,
    intent,
    troubled,
)
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History

Pair = tuple[str, str]
"""(region of the Framework, region of the database)."""


def fence_matrix(history: History) -> list[Finding] | NotExercised:
    """S5. The active database is open to the active Framework, every other way is closed.

    Premise: databases were probed from Framework VMs (a census, or the boot of a DBMS VM). Rule:
    a new connection that must be refused is; the active Framework's is taken; with ``boot-deny`` a
    DBMS VM that has just booted lets nobody in; no Configuration Server keeps a session where a
    new one would be refused. Openness is due once the last procedure succeeded, unless the DBMS VM
    booted since it was opened, or a fault touches either side. Slack: none for new connections;
    for sessions eps and two sampling intervals.
    """
    probes = [e for e in history.of_kind("reach") if e.get("phase")]
    if not probes:
        return NotExercised("nobody probed the databases")
    wrong: dict[tuple[str, Pair], list[Event]] = defaultdict(list)
    for event in probes:
        pair = history.region_of(event["src"]), database_at(history, event["dst"])
        if history.topology.vm(event["src"]).role == "framework" and pair[1]:
            verdict = _judge(history, event, pair)
            if verdict:
                wrong[(verdict, pair)].append(event)
    for event, pair in _sessions(history):
        wrong[("session", pair)].append(event)
    return [_finding(what, pair, events) for (what, pair), events in wrong.items()]


def _judge(history: History, event: Event, pair: Pair) -> str:
    """What is wrong with a probe: ``open``, ``closed``, ``booted``; empty for nothing."""
    meant = intent(history, event.t)
    if event["phase"] == "reboot":
        denied = history.topology.return_fence == "boot-deny"
        return (
            "booted"
            if event["res"] == "ok" and (denied or not _wanted(history, event, pair))
            else ""
        )
    if not _wanted(history, event, pair):
        return "open" if event["res"] == "ok" and not _opening(history, event.t, pair) else ""
    vm = history.topology.dbms(pair[1]).id
    booted = [e for e in history.vms.get(vm, ()) if meant.opened < e.t <= event.t]
    due = meant.settled and not any(
        e["state"] == "on" and e.get("cause") != "deployment" for e in booted
    )
    if event["res"] == "ok" or not due or troubled(history, event.t, vm, event["src"]):
        return ""
    return "closed"


def _opening(history: History, t: int, pair: Pair) -> bool:
    """Whether the last procedure to begin opening a way has not ended that step: it may be open."""
    begun = [
        (plan, s)
        for plan in history.plans
        for s in plan.steps
        if s.id == "unblock" and s.invoked <= t
    ]
    if not begun:
        return False
    plan, step = begun[-1]
    way = destination(plan, intent(history, t))
    return pair == way and not (step.type == "ok" and step.ended and step.ended <= t)


def _wanted(history: History, event: Event, pair: Pair) -> bool:
    meant = intent(history, event.t)
    return pair == (meant.framework, meant.database)


def _sessions(history: History) -> Iterable[tuple[Event, Pair]]:
    """Samples of a database with a session from a Framework that must not reach it."""
    slack = ns(history.profile.eps + 2 * history.profile.sampling)
    busy = [(p.invoked, (p.ended or history.end) + slack) for p in history.plans]
    for region, samples in history.dbs.items():
        for event in samples:
            if any(begin <= event.t <= end for begin, end in busy):
                continue
            for _, address in event.get("sessions") or ():
                source = framework_region(history, address or "")
                if source and not _wanted(history, event, (source, region)):
                    yield event, (source, region)


def _finding(what: str, pair: Pair, events: list[Event]) -> Finding:
    source, region = pair
    way = f"the Framework of {source} to the database of {region}"
    phases = ", ".join(dict.fromkeys(str(e.get("phase") or "samples") for e in events))
    texts = {
        "open": (f"no way from {way}", "a new connection was taken"),
        "booted": (f"no way from {way} after a boot", "a new connection was taken"),
        "closed": (f"a way from {way}", f"a new connection was not taken ({events[0].get('res')})"),
        "session": (f"no session from {way}", f"it had one in {len(events)} samples"),
    }
    expected, seen = texts[what]
    return Finding(
        "S5",
        Verdict.FAIL,
        expected,
        f"{seen} (phase {phases})",
        tuple(events),
        "which rules does its DBMS VM have? iptables -S INPUT",
    )
