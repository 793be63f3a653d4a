"""T1, the connection graph: who is connected to whom, by the kernels' own tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from drharness.checks.episodes import ns
from drharness.checks.form import NotExercised
from drharness.checks.intent import Intent, database_at, intent, troubled
from drharness.checks.spans import LAPSE
from drharness.checks.standbys import followers
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History
from drharness.topology import Vm, addresses

_DNS = f"{addresses.DNS_SERVER}:53"
_LOOKS = ("reach", "edge", "dns", "audit")


class _Census(NamedTuple):
    """One look at every VM: its phase, ns at which it was begun, and what was seen."""

    phase: str
    since: int
    events: list[Event]


def connection_graph(history: History) -> list[Finding] | NotExercised:
    """T1. Connections are those of the architecture, and none is missing.

    Premise: a census. Rule: an application is connected to its own region's proxies, a proxy to
    the active Framework, a Configuration Server to its peer and, in the active Framework, to the
    active database, a standby to the active database; nobody else to anybody, to the dormant
    database least of all. Who says of itself, before and after the census, that it has a
    connection has it; a standby that is up has one to the active database. Of a VM that gave no
    answer nothing is known. A Configuration Server's session on its own region's database is left
    to S5, which sees it in every sample. A way to the Framework, a claim and a standby are excused
    while a procedure is unfinished or a fault touches them. Slack: none; what counts stood when its
    VM was looked at.
    """
    edges = history.of_kind("edge")
    if not edges and not history.of_kind("audit"):
        return NotExercised("no census")
    findings, told = [], set()
    for event in edges:
        rule = _forbidden(history, event)
        if rule and (rule, event["src"], event["dst"]) not in told:
            told.add((rule, event["src"], event["dst"]))
            seen = f"{event['src']} ({event['by'] or 'a process'}) is connected to {event['dst']}"
            findings.append(_fail(rule, f"{seen} in phase {event['phase']}", (event,)))
    return [*findings, *_missing(history)]


def _fail(expected: str, seen: str, events: tuple[Event, ...]) -> Finding:
    return Finding("T1", Verdict.FAIL, expected, seen, events)


def _forbidden(history: History, event: Event) -> str:
    """The rule that an edge breaks; empty for none."""
    meant = intent(history, event.t)
    vms = {vm.address: vm for vm in history.topology.vms}
    source = next((vm for vm in vms.values() if vm.id == event["src"]), None)
    address, _, port = event["dst"].rpartition(":")
    target = vms.get(address)
    if database_at(history, event["dst"]):
        return _to_database(history, event, source, meant)
    if event["dst"] == _DNS:
        return ""
    if source is None or target is None:
        return "connections between the VMs of the deployment only"
    rules: dict[tuple[str, int], Callable[[], bool]] = {
        ("framework", addresses.CONFIGSERVER_PORT): lambda: _to_master(
            history, event, source, target, meant
        ),
        ("application", addresses.PROXY_PORT): lambda: (
            source.role == "application" and source.region == target.region
        ),
    }
    allowed = rules.get((target.role, int(port)))
    if allowed is None:
        return "connections to services that are meant for other VMs only"
    if allowed():
        return ""
    return {
        "framework": "Configuration Servers are reached by their peer, and by proxies if active",
        "application": "an application is connected to its own region's proxies only",
    }[target.role]


def _to_database(history: History, event: Event, source: Vm | None, meant: Intent) -> str:
    region = database_at(history, event["dst"])
    if source is not None and source.role == "dbms" and source.region != region:
        # behind a cut, the far end of a connection that is gone still stands
        vms = (source.id, history.topology.dbms(region).id)
        stale = region != meant.database and meant.settled
        stale = stale and not troubled(history, event.t, *vms)
        return f"no standby of the database of {region}: it is not the active one" if stale else ""
    if source is None or source.role != "framework":
        return "only standbys and the active Framework are connected to a database"
    if region == meant.database and source.region == meant.framework:
        return ""
    if source.region == region:
        return ""  # its own, as it is configured: S5 tells, by every sample, whether it may
    return f"nobody of {source.region}'s Framework is connected to the database of {region}"


def _to_master(history: History, event: Event, source: Vm, target: Vm, meant: Intent) -> bool:
    if source.role == "framework":
        return source.region == target.region
    if source.role != "application":
        return False
    return (
        target.region == meant.names
        or not meant.settled
        or troubled(history, event.t, source.id, target.id)
    )


def _missing(history: History) -> list[Finding]:
    """Connections that must be there and are not, census by census."""
    findings = []
    for census in _censuses(history):
        begin = census.events[0].t
        meant = intent(history, begin)
        if not meant.settled:
            continue
        edges = [e for e in census.events if e.kind == "edge"]
        looked = _looked_at(history, census)
        for component in history.topology.components:
            port, claim = _CLAIMS.get(component.kind, ("", _never))
            held = any(e["src"] == component.vm and e["dst"].endswith(port) for e in edges)
            if held or component.vm not in looked or troubled(history, begin, component.vm):
                continue
            proof = _claimed(history, component.id, (census.since, begin), claim)
            if proof:
                findings.append(
                    _fail(
                        f"{component.id} has the connection to port {port[1:]} that it says it has",
                        f"its VM has none in phase {census.phase}",
                        proof,
                    )
                )
        findings += _standby(history, census, edges, meant)
    return findings


def _never(event: Event) -> bool:
    return False


_CLAIMS: dict[str, tuple[str, Callable[[Event], bool]]] = {
    "csproxy": (f":{addresses.CONFIGSERVER_PORT}", lambda e: e.get("mode") == "normal"),
    "application": (f":{addresses.PROXY_PORT}", lambda e: bool(e.get("proxy"))),
    "configserver": (f":{addresses.POSTGRES_PORT}", lambda e: e["role"] == "primary"),
}


def _censuses(history: History) -> list[_Census]:
    """Those in which connections were looked at; one tells its phase and when it was begun."""
    found: dict[tuple[str, int], _Census] = {}
    last = _Census("", 0, [])
    for event in history.events:
        if event.kind not in _LOOKS or not event.get("phase"):
            continue
        phase, since = event["phase"], event.get("since")
        if since is None:  # of those that do not tell: the next is over a second later
            goes_on = phase == last.phase and event.t - last.events[-1].t <= ns(1.0)
            since = last.since if goes_on else event.t
        last = found.setdefault((phase, since), _Census(phase, since, []))
        last.events.append(event)
    return [c for c in found.values() if any(e.kind in ("edge", "audit") for e in c.events)]


def _looked_at(history: History, census: _Census) -> set[str]:
    """The VMs that gave an answer; of the others nothing is known."""
    names = {str(e.get("src") or e.get("host") or "") for e in census.events}
    regions = [e["db"] for e in census.events if e.kind == "audit"]
    return names | {history.topology.dbms(region).id for region in regions}


def _claimed(
    history: History, component: str, looked: tuple[int, int], claim: Callable[[Event], bool]
) -> tuple[Event, ...]:
    """The samples around a look (ns, from until) if they and those amid it make the claim.

    What changes is sampled at once; a look lasts up to a second, and nobody knows its moment.
    """
    since, until = looked
    samples: Sequence[Event] = history.comps.get(component, ())
    lapse = ns(LAPSE * history.profile.sampling)
    before = [e for e in samples if e.t <= since][-1:]
    amid = [e for e in samples if since < e.t <= until]
    after = [e for e in samples if e.t > until][:1]
    steady = any((e.get("steady") or 0) >= until for e in after)  # all looks between said the same
    near = [e for e in before if steady or since - e.t <= lapse]
    near += [e for e in after if steady or e.t - until <= lapse]
    return tuple(near) if len(near) == 2 and all(map(claim, (*near, *amid))) else ()


def _standby(
    history: History, census: _Census, edges: Sequence[Event], meant: Intent
) -> list[Finding]:
    """A standby that is up is connected to the active database; of several those that are to be."""
    begin = census.events[0].t
    findings = []
    several = len(history.topology.regions) > 2
    for region in history.topology.regions:
        mine = [e for e in census.events if e.kind == "audit" and e["db"] == region]
        vms = [history.topology.dbms(r).id for r in (region, meant.database)]
        if region == meant.database or not mine or not mine[0]["in_recovery"]:
            continue
        if several and region not in followers(history, begin):
            continue
        place = f"{history.topology.dbms(meant.database).address}:{addresses.POSTGRES_PORT}"
        held = any(e["src"] == vms[0] and e["dst"] == place for e in edges)
        if not held and not troubled(history, begin, *vms):
            expected = f"the standby of {region} is connected to the database of {meant.database}"
            findings.append(_fail(expected, f"it is not, in phase {census.phase}", (mine[0],)))
    return findings
