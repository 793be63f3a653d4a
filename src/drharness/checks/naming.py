"""T2, the name matrix: what the Framework names mean to every host, and where it got that from."""

from __future__ import annotations

from drharness.checks.episodes import ns
from drharness.checks.form import NotExercised
from drharness.checks.intent import intent, troubled
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History
from drharness.topology import addresses

SIDES = dict(zip(addresses.FRAMEWORK_NAMES, ("p", "b"), strict=True))


def name_matrix(history: History) -> list[Finding] | NotExercised:
    """T2. Each host takes each Framework name for the address that it is to have in this phase.

    Premise: a census. Rule: on Framework VMs the hosts file says the own region's; the authority
    says the active Framework's region; caches say what the authority does, or what it did before
    the switch until TTL + eps after it, and for no longer than its TTL; no answer is empty. The
    authority and caches are not judged while a procedure is unfinished, nor a host that a fault
    touches, or whose resolver (nor anything, if it is the DNS server). Slack: eps.
    """
    looks = [e for e in history.of_kind("dns") if e.get("phase") and e["fqdn"] in SIDES]
    if not looks:
        return NotExercised("no census")
    findings = []
    for event in looks:
        expected = _expected(history, event)
        if expected and event["ans"] not in expected:
            findings.append(_wrong(event, expected))
        elif expected and event.get("source") == "cache":
            findings += _too_long(history, event)
    return findings


def _expected(history: History, event: Event) -> list[list[str]]:
    """The answers that are right; none: not judged."""
    t, host, name = event.t, event["host"], event["fqdn"]
    if event.get("source") == "hosts":
        if troubled(history, t, host):
            return []
        return [[_address(history, history.region_of(host), name)]]
    meant = intent(history, t)
    if not meant.settled or troubled(history, t, host, "dns"):
        return []
    right = [[_address(history, meant.names, name)]]
    if event.get("source") == "cache":
        before = intent(history, t - ns(history.profile.ttl + history.profile.eps)).names
        right.append([_address(history, before, name)])
    return right


def _address(history: History, region: str, name: str) -> str:
    return addresses.address(history.topology.number(region), "framework", SIDES[name])


def _wrong(event: Event, expected: list[list[str]]) -> Finding:
    said = ", ".join(event["ans"]) or "nothing"
    right = " or ".join(dict.fromkeys(a for answer in expected for a in answer))
    where = {"hosts": "its hosts file says", "cache": "its resolver says"}
    return Finding(
        "T2",
        Verdict.FAIL,
        f"{event['fqdn']} is {right} on {event['host']}",
        f"{where.get(event['source'], 'it says')} {said} in phase {event['phase']}",
        (event,),
    )


def _too_long(history: History, event: Event) -> list[Finding]:
    """A cache that would keep an answer for longer than the authority lets it."""
    said = [
        e["ttl"]
        for e in history.of_kind("dns")
        if e.get("source") == "authority"
        and e["fqdn"] == event["fqdn"]
        and e.get("ttl") is not None
    ]
    most = max([history.profile.ttl, *said])
    left = event.get("ttl")
    if left is None or left <= most:
        return []
    expected = f"{event['host']} keeps {event['fqdn']} for at most {most} s"
    seen = f"it would for {left} s, in phase {event['phase']}"
    return [Finding("T2", Verdict.FAIL, expected, seen, (event,))]
