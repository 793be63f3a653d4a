"""Validity: V1, whether the run could have shown a violation at all."""

from __future__ import annotations

from drharness.checks.episodes import alive, episodes
from drharness.checks.form import NotExercised
from drharness.checks.models import acked
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Fault
from drharness.history.view import History

TYPES = ("invoke", "ok", "fail", "info")


def not_vacuous(history: History) -> list[Finding] | NotExercised:
    """V1. Faults took effect, writes were acknowledged before them, reads tried after them.

    Premise: a fault, a procedure or traffic. Rule: each fault has a receipt, but for one that a
    schedule passed over; the profile's
    min_acked writes were acknowledged before the first disturbance; a read was tried after each
    proven fault; the clients' own counters equal the recorded events; the world was clean at the
    start; no VM ended by itself; the events fit together. Slack: none. A finding is INVALID: the
    run proves nothing.
    """
    disturbed = bool(history.faults or history.plans)
    if not disturbed and not history.of_kind("traffic") and not history.anomalies:
        return NotExercised("no fault, no procedure, no traffic")
    findings = [f for fault in history.faults for f in _receipt(history, fault)]
    if disturbed:
        findings += _enough_before(history)
        findings += _ended(history)
    findings += _lost(history)
    findings += _clean(history, disturbed=disturbed)
    findings += _counters(history)
    for text, events in history.anomalies:
        findings.append(_invalid("each operation is invoked once and completed once", text, events))
    return findings


def _invalid(expected: str, seen: str, events: tuple[Event, ...], advice: str = "") -> Finding:
    return Finding("V1", Verdict.INVALID, expected, seen, events, advice)


def _receipt(history: History, fault: Fault) -> list[Finding]:
    name = f"{fault.f}({', '.join(str(v) for v in fault.args.values())})"
    if fault.proven is None and _passed_over(history, fault):
        return []
    if fault.proven is None or not fault.proof:
        expected = f"a receipt: proof that {name} took effect"
        seen = "it was injected, but its effect was not proven"
        return [_invalid(expected, seen, fault.events)]
    if any(r.invoked >= fault.proven for r in history.reads):
        return []
    expected = f"reads are tried after {name}"
    return [_invalid(expected, "there was none", fault.events, "let traffic run during the fault")]


def _passed_over(history: History, fault: Fault) -> bool:
    """Whether it was an action of a schedule that said so: it could not be done and was undone."""
    ends = [e for e in history.of_kind("act") if e.type != "invoke" and e.t >= fault.invoked]
    return bool(ends) and ends[0].type == "skipped"


def _ended(history: History) -> list[Finding]:
    """A history that breaks off shows nothing about what would have come."""
    if history.of_kind("end"):
        return []
    last = history.events[-1:]
    expected, seen = "the run was judged at its end", "it was interrupted: its history breaks off"
    return [Finding("V1", Verdict.UNKNOWN, expected, seen, last)]


def _enough_before(history: History) -> list[Finding]:
    first = episodes(history)[0]
    before = [w for w in acked(history) if w.done < first.since]
    least = history.profile.min_acked
    if len(before) >= least:
        return []
    events = (first.faults[0].events if first.faults else first.plans[0].events)[:1]
    expected = f"at least {least} writes acknowledged before {first.cause}"
    advice = "let traffic run longer before the fault, or raise its rate"
    return [_invalid(expected, f"there were {len(before)}", events, advice)]


def lost_vms(history: History) -> list[Event]:
    """The power-offs that nobody asked for: a VM ended by itself."""
    return [event for event in history.of_kind("vm") if event.get("cause") == "lost"]


def _lost(history: History) -> list[Finding]:
    expected = "a VM is on until it is powered off"
    return [
        _invalid(expected, f"{event['id']} ended by itself", (event,), "look into its agent.log")
        for event in lost_vms(history)
    ]


def _clean(history: History, *, disturbed: bool) -> list[Finding]:
    starts = history.of_kind("start")
    expected = "nothing in the configuration database that this run did not write"
    if not starts:
        if not disturbed:
            return []
        return [_invalid(expected, "nobody looked at the start", ())]
    start = starts[0]
    earlier = {w.key for w in history.writes if w.invoked < start.t and w.type != "fail"}
    if start["objects"] <= len(earlier):
        return []
    seen = f"{start['objects']} objects, of which this run wrote {len(earlier)}"
    return [_invalid(expected, seen, (start,))]


def _counters(history: History) -> list[Finding]:
    """Each client's counters against its events between start and stop of the traffic."""
    findings, begin = [], history.events[0].t
    for event in history.of_kind("traffic"):
        if event["type"] == "start":
            begin = event.t
            continue
        counters = {
            client: counted
            for client, counted in (event.get("counters") or {}).items()
            if not history.region_of(client) or alive(history, client, begin, event.t)
        }
        recorded = _recorded(history, set(counters), begin, event.t)
        for client, counted in counters.items():
            differs = [k for k in TYPES if k in counted and counted[k] != recorded[client][k]]
            if differs:
                k = differs[0]
                expected = f"the history has every event of {client}"
                seen = f"{client} counted {counted[k]} {k}, the history has {recorded[client][k]}"
                findings.append(_invalid(expected, seen, (event,), "events were lost or doubled"))
    return findings


def _recorded(
    history: History, clients: set[str], begin: int, end: int
) -> dict[str, dict[str, int]]:
    """Operation events per client; canaries are nobody's traffic."""
    out = {client: dict.fromkeys(TYPES, 0) for client in clients}
    for event in history.of_kind("op"):
        if begin <= event.t <= end and not event.get("canary"):
            owner = _owner(event, clients)
            if owner:
                out[owner][event["type"]] += 1
    return out


def _owner(event: Event, clients: set[str]) -> str:
    """By who recorded it; else by the client's name that begins its process or operation id."""
    names = (str(event.get("src", "")), event["proc"], event["opid"])
    for name in names:
        for client in (name, name.partition("/")[0]):
            if client in clients:
                return client
    return ""
