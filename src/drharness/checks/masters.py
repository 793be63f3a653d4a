"""Masters: S2, the role a Configuration Server claims is its database's; S8, the ack chain."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.checks.episodes import ns
from drharness.checks.epochs import epoch_order, first_writable
from drharness.checks.form import NotExercised
from drharness.checks.models import acked, servers
from drharness.checks.spans import Span, spans
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Operation
from drharness.history.view import NS, History

Findings = list[Finding] | NotExercised


@dataclass(frozen=True)
class _Claim:
    """A span in which a server was primary on one database in one epoch (empty: not said)."""

    span: Span
    db: str
    epoch: str


@dataclass(frozen=True)
class _Doubt:
    """Why a claim cannot be right from ``since`` to ``until`` (ns)."""

    text: str
    since: int
    until: int
    events: tuple[Event, ...]


def role_matches(history: History) -> Findings:
    """S2. A primary Configuration Server works on the writable database of the current epoch.

    Premise: samples of a primary Configuration Server and of databases. Rule: while it claims to
    be primary on a database in an epoch, no later epoch has been seen on a writable database; the
    database it names is known, not in recovery, and in that epoch itself. Slack: eps and two
    sampling intervals, as for S3; a database that does not answer says nothing.
    """
    claims = [
        c for name, samples in servers(history).items() for c in _claims(history, name, samples)
    ]
    if not claims:
        return NotExercised("no Configuration Server said that it was primary")
    if not history.dbs:
        expected, seen = "samples of the databases throughout the run", "there is not one"
        return [Finding("S2", Verdict.UNKNOWN, expected, seen)]
    slack = ns(history.profile.eps + 2 * history.profile.sampling)
    order = {epoch: place for place, epoch in enumerate(epoch_order(history))}
    opened = first_writable(history)
    findings = []
    for claim in claims:
        doubts = [*_superseded(claim, opened, order), *_belied(history, claim)]
        worst = max(doubts, key=lambda d: d.until - d.since, default=None)
        if worst is not None and worst.until - worst.since > slack:
            findings.append(_mismatch(claim, worst))
    return findings


def _claims(history: History, name: str, samples: Sequence[Event]) -> list[_Claim]:
    said = {
        (str(e.get("db") or ""), str(e.get("epoch") or "")): None
        for e in samples
        if e["role"] == "primary"
    }

    def makes(db: str, epoch: str, event: Event) -> bool:
        place = (event.get("db") or "", event.get("epoch") or "")
        return bool(event["role"] == "primary" and place == (db, epoch))

    return [
        _Claim(span, db, epoch)
        for db, epoch in said
        for span in spans(history, name, samples, claim=lambda e, d=db, n=epoch: makes(d, n, e))  # type: ignore[misc]
    ]


def _superseded(
    claim: _Claim, opened: Mapping[str, Event], order: Mapping[str, int]
) -> list[_Doubt]:
    """Later epochs that had been opened while a server still claimed an earlier one."""
    if claim.epoch not in order:
        return []
    return [
        _Doubt(
            f"epoch {epoch} was opened on {sample['db']} before",
            max(claim.span.since, sample.t),
            claim.span.until,
            (sample,),
        )
        for epoch, sample in opened.items()
        if order[epoch] > order[claim.epoch]
    ]


def _belied(history: History, claim: _Claim) -> list[_Doubt]:
    """What the database that a server names says against it."""
    held = claim.span
    if not claim.db:
        peer = held.events[0].get("peer")
        text = f"{peer} is no database of this deployment"
        return [_Doubt(text, held.since, held.until, ())] if peer else []
    samples = history.dbs.get(claim.db, [])
    out = []
    for text, says in (
        ("is in recovery", lambda e: e["writable"] is False),
        (
            f"is not in epoch {claim.epoch}",
            lambda e: bool(claim.epoch and e.get("epoch") and e["epoch"] != claim.epoch),
        ),
    ):
        for other in spans(history, claim.db, samples, claim=says):
            since, until = max(held.since, other.since), min(held.until, other.until)
            out.append(_Doubt(f"{claim.db}'s database {text}", since, until, other.events))
    return out


def _mismatch(claim: _Claim, doubt: _Doubt) -> Finding:
    place = f"on {claim.db or 'its database'} in epoch {claim.epoch or 'unknown'}"
    return Finding(
        "S2",
        Verdict.FAIL,
        "a primary Configuration Server works on the writable database of the current epoch",
        f"{claim.span.who} was primary {place} for {(doubt.until - doubt.since) / NS:.2f} s, "
        f"though {doubt.text}",
        (*claim.span.events, *doubt.events),
        "what it acknowledges there is not in the surviving database; was it fenced?",
    )


def acknowledged_in_order(history: History) -> Findings:
    """S8. A client's ok follows a master's acknowledgement of the same commit, by a primary.

    Premise: acknowledged writes and masters' ``ack`` events. Rule: each ok write has an ``ack`` of
    its operation id, epoch and seq, recorded between its invocation and its ok; the server that
    recorded it said last before that that it was primary, in that epoch. Slack: none; a master
    records before it answers, and its samples and acknowledgements are in one file.
    """
    writes = acked(history)
    acks: dict[str, list[Event]] = defaultdict(list)
    for ack in history.of_kind("ack"):
        acks[ack["opid"]].append(ack)
    if not writes:
        return NotExercised("no write was acknowledged")
    if not acks:
        return NotExercised("no master recorded what it acknowledged")
    if any(name.rpartition(".")[2] == "configserver" for name, _ in history.topology.replaced):
        return NotExercised("a Configuration Server is replaced: it need not record what it does")
    return [*_unsupported(writes, acks), *_by_no_primary(history, acks)]


def _unsupported(writes: Sequence[Operation], acks: Mapping[str, list[Event]]) -> list[Finding]:
    early: list[tuple[Operation, tuple[Event, ...]]] = []
    never: list[tuple[Operation, tuple[Event, ...]]] = []
    for w in writes:
        mine = [a for a in acks.get(w.opid, ()) if (a["epoch"], a["seq"]) == (w.epoch, w.seq)]
        if any(w.invoked <= a.t <= w.done for a in mine):
            continue
        (early if mine else never).append((w, tuple(mine or acks.get(w.opid, ()))))
    findings = []
    for bad, seen in (
        (early, "were told ok before a master acknowledged them"),
        (never, "were told ok at a place at which no master acknowledged them"),
    ):
        if bad:
            first = bad[0][0]
            text = f"{len(bad)} writes {seen}, the first {first.opid} via {first.via or 'nobody'}"
            events = tuple(e for w, found in bad for e in (*w.events, *found))
            findings.append(_broken_chain(text, events))
    return findings


def _broken_chain(seen: str, events: tuple[Event, ...]) -> Finding:
    expected = "each write was acknowledged by the primary of its epoch, then to the client"
    advice = "an answer given before the commit is a promise that a crash breaks"
    return Finding("S8", Verdict.FAIL, expected, seen, events, advice)


def _by_no_primary(history: History, acks: Mapping[str, list[Event]]) -> list[Finding]:
    samples = servers(history)
    times = {name: [e.t for e in found] for name, found in samples.items()}
    bad: list[Event] = []
    for ack in (a for found in acks.values() for a in found):
        server = ack["server"]
        last = bisect_right(times.get(server, []), ack.t)
        if not last:
            continue  # it recorded nothing of itself: S3 says so
        said = samples[server][last - 1]
        same = ack.get("again") or said.get("epoch") in (None, ack["epoch"])
        if said["role"] != "primary" or not same:
            bad += [said, ack]
    if not bad:
        return []
    text = f"{len(bad) // 2} writes were acknowledged by no primary, the first {bad[1]['opid']}"
    return [_broken_chain(text, tuple(bad))]
