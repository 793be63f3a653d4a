"""Safety: S1 one writable database, S3 one master, S9 limited mode refuses, S13 the state."""

from __future__ import annotations

from itertools import pairwise

from drharness.checks.episodes import ns
from drharness.checks.form import NotExercised
from drharness.checks.models import acked, database_final, epochs, fold, latest_finals, servers
from drharness.checks.spans import Overlap, overlaps, said_within, spans
from drharness.checks.text import shorten
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Final, Operation
from drharness.history.view import NS, History

Findings = list[Finding] | NotExercised


def one_writable_database(history: History) -> Findings:
    """S1. Two databases never accept writes while Configuration Servers hold sessions to both.

    Premise: something was written, or a procedure run. Rule: (a) no overlap of two databases'
    samples ``writable`` in which each has a Configuration Server session; (b) no acknowledged
    write of an epoch was invoked after the next epoch's earliest acknowledgement. Slack: (a) two
    sampling intervals; (b) none, since both instants are the clients' own on one clock.
    """
    if not history.dbs and not acked(history):
        return NotExercised("no database sample and no acknowledged write")
    findings = _late_writes(history)
    if not history.dbs:
        return [*findings, _no_samples("S1", "databases")]
    slack = ns(2 * history.profile.sampling)
    claims = [
        span
        for region, samples in history.dbs.items()
        for span in spans(history, region, samples, claim=lambda e: bool(e["writable"]))
    ]
    for both in overlaps(claims):
        if both.until - both.since <= slack:
            continue
        proof = [_session(history, s.who, both) for s in (both.one, both.two)]
        if all(proof):
            events = (*both.one.events, *both.two.events, *(e for e in proof if e))
            events = (*events, *(e for e, _ in forced(history)))
            findings.append(_two_writable(both, tuple(_by_place(events)), _why_forced(history)))
    return findings


def forced(history: History) -> list[tuple[Event, str]]:
    """Procedures that went on without proof, each with what its operator was told."""
    return [
        (event, f"{event['procedure']} was forced at step {step}: {why}")
        for event in history.of_kind("plan")
        for step, why in (event.get("forced") or {}).items()
    ]


def _why_forced(history: History) -> str:
    return "".join(f"\n            {text}" for _, text in forced(history))


def _by_place(events: tuple[Event, ...]) -> list[Event]:
    """Each event once, by its place in the history."""
    return sorted({e.i: e for e in events}.values(), key=lambda e: e.i)


def _session(history: History, region: str, both: Overlap) -> Event | None:
    """Something that shows a Configuration Server's session on a database within an overlap."""
    for sample in said_within(history.dbs[region], both.since, both.until):
        if sample.get("sessions"):
            return sample
    for samples in history.comps.values():
        for sample in said_within(samples, both.since, both.until):
            if sample.get("db") == region:
                return sample
    return None


def _two_writable(both: Overlap, events: tuple[Event, ...], cause: str) -> Finding:
    return Finding(
        "S1",
        Verdict.FAIL,
        "at most one writable database that Configuration Servers have sessions to",
        f"{both.one.who} and {both.two.who} both accepted writes, with sessions to both, "
        f"for {(both.until - both.since) / NS:.2f} s",
        events,
        f"the former active database must be fenced before another one is promoted{cause}",
    )


def _late_writes(history: History) -> list[Finding]:
    findings, writes = [], acked(history)
    order = epochs(history)
    for old, new in pairwise(order):
        first = next(w for w in writes if w.epoch == new)
        late = [w for w in writes if w.epoch == old and w.invoked > first.done]
        if late:
            findings.append(
                Finding(
                    "S1",
                    Verdict.FAIL,
                    f"no write of epoch {old} is begun and acknowledged once epoch {new} "
                    "acknowledges writes",
                    f"{len(late)} writes of epoch {old} were, the first {late[0].opid}",
                    (first.events[-1], *(e for w in late for e in w.events)),
                    "two databases took writes at the same time; they cannot be merged",
                )
            )
    return findings


def _no_samples(invariant: str, of: str) -> Finding:
    return Finding(
        invariant,
        Verdict.UNKNOWN,
        f"samples of the {of} throughout the run",
        "there is not one",
        advice="were the events of the VMs' components merged into this history?",
    )


def one_master(history: History) -> Findings:
    """S3. At most one Configuration Server serves as primary, over all regions.

    Premise: samples of Configuration Servers. Rule: claims to be primary of two of them don't
    overlap. Slack: eps and two sampling intervals, for one that hasn't yet seen that it lost its
    writer lock; a claim lapses three sampling intervals after its last sample.
    """
    found = servers(history)
    if not found:
        if not acked(history):
            return NotExercised("no Configuration Server ran")
        return [_no_samples("S3", "Configuration Servers")]
    slack = ns(history.profile.eps + 2 * history.profile.sampling)
    claims = [
        span
        for name, samples in found.items()
        for span in spans(history, name, samples, claim=lambda e: e["role"] == "primary")
    ]
    why = _why_forced(history)
    return [
        Finding(
            "S3",
            Verdict.FAIL,
            "at most one Configuration Server is primary",
            f"{both.one.who} and {both.two.who} both were, "
            f"for {(both.until - both.since) / NS:.2f} s",
            tuple(_by_place((*both.one.events, *both.two.events))),
            f"is the former active region fenced, the dormant Framework stopped?{why}",
        )
        for both in overlaps(claims)
        if both.until - both.since > slack
    ]


def limited_mode_refuses(history: History) -> Findings:
    """S9. A proxy in limited mode acknowledges no write, and what it refused never shows up.

    Premise: acknowledged or refused writes. Rule: no write begins and is acknowledged strictly
    inside a limited interval of its proxy, or says itself ``mode: limited``; no write refused for
    limited mode is in a database's final history log. Slack: two sampling intervals at both ends.
    """
    ok = [w for w in acked(history) if w.via]
    refused = {w.opid: w for w in history.writes if w.cls == "limited"}
    if not ok and not refused:
        return NotExercised("no write was acknowledged or refused")
    inside = _acked_inside(history, ok)
    findings = []
    if inside:
        events = tuple(e for w, sample in inside for e in (*sample, *w.events))
        findings.append(
            Finding(
                "S9",
                Verdict.FAIL,
                "no write is acknowledged by a proxy in limited mode",
                f"{len(inside)} were, the first {inside[0][0].opid} via {inside[0][0].via}",
                events,
                "a limited proxy must refuse at once; nothing can have been committed for it",
            )
        )
    for final in history.finals:
        back = [refused[opid] for opid in final.ops or {} if opid in refused]
        if back:
            findings.append(_refused_but_there(final, back))
    return findings


def _acked_inside(
    history: History, ok: list[Operation]
) -> list[tuple[Operation, tuple[Event, ...]]]:
    slack = ns(2 * history.profile.sampling)
    limited = {
        proxy: spans(
            history,
            proxy,
            history.comps.get(proxy, ()),
            claim=lambda e: e.get("mode") == "limited",
        )
        for proxy in {w.via: None for w in ok}
    }
    out: list[tuple[Operation, tuple[Event, ...]]] = []
    for w in ok:
        during = next(
            (
                s.events
                for s in limited[w.via]
                if s.since + slack < w.invoked and w.done < s.until - slack
            ),
            (),
        )
        if during or w.mode == "limited":
            out.append((w, during))
    return out


def _refused_but_there(final: Final, back: list[Operation]) -> Finding:
    return Finding(
        "S9",
        Verdict.FAIL,
        "a write refused in limited mode never shows up",
        f"{len(back)} refused writes are in {final.source}, the first {back[0].opid}",
        (*(e for w in back for e in w.events), final.event),
        "was it queued and sent later?",
    )


def state_is_model(history: History) -> Findings:
    """S13. The final state is what the surviving changes make, and everybody reads the same.

    Premise: a read-back. Rule: the database's objects are the fold, in seq order, of the changes in
    its history log; those are ok or unknown ones of this run, at the acknowledged seq, never failed
    ones (refused ones: S9); an index scan equals a sequential scan; proxies in normal mode have
    the database's epoch, seq and objects. Slack: none, all is at rest.
    """
    if not history.finals:
        if not acked(history):
            return NotExercised("nothing was written or read back")
        expected = "a read-back of everything once all is at rest"
        return [Finding("S13", Verdict.UNKNOWN, expected, "there is none")]
    final = database_final(history)
    if final is None:
        expected = "a read-back from the database, with its history log"
        seen = "only proxies were read back"
        return [Finding("S13", Verdict.UNKNOWN, expected, seen)]
    return [
        *_log_findings(history, final),
        *_fold_findings(history, final),
        *_agreement(history, final),
    ]


def _log_findings(history: History, final: Final) -> list[Finding]:
    ops = final.ops or {}
    mine = {w.opid: w for w in history.writes}
    findings = []
    failed = [
        w for w in history.writes if w.type == "fail" and w.cls != "limited" and w.opid in ops
    ]
    if failed:
        seen = f"{len(failed)} failed writes are in {final.source}, the first {failed[0].opid}"
        events = (*(e for w in failed for e in w.events), final.event)
        findings.append(_s13("a write that failed never shows up", seen, events))
    moved = [
        w
        for w in history.writes
        if w.type == "ok" and w.seq is not None and ops.get(w.opid, w.seq) != w.seq
    ]
    if moved:
        w = moved[0]
        seen = f"{len(moved)} stand elsewhere, the first {w.opid}: {w.seq} became {ops[w.opid]}"
        events = (*(e for w in moved for e in w.events), final.event)
        findings.append(_s13("changes keep the seq they were acknowledged with", seen, events))
    begun = min((e["seq"] or 0 for e in history.of_kind("start")), default=0)
    strangers = [opid for opid, seq in ops.items() if opid not in mine and seq > begun]
    if strangers:
        seen = f"{len(strangers)} are not, the first {strangers[0]!r}: their keys are not judged"
        expected = f"all changes in {final.source} were asked for by recorded clients"
        findings.append(Finding("S13", Verdict.UNKNOWN, expected, seen, (final.event,)))
    if final.index_equals_heap is False:
        seen = f"in {final.source} they differ"
        expected = "an index scan returns what a sequential scan does"
        findings.append(_s13(expected, seen, (final.event,)))
    return findings


def _s13(expected: str, seen: str, events: tuple[Event, ...]) -> Finding:
    return Finding("S13", Verdict.FAIL, expected, seen, events)


def _fold_findings(history: History, final: Final) -> list[Finding]:
    ops = final.ops or {}
    mine = {w.opid: w for w in history.writes}
    survivors = [mine[opid] for opid, _ in sorted(ops.items(), key=lambda x: x[1]) if opid in mine]
    expected = fold(survivors)
    touched = {w.key for w in survivors}
    whole = len(survivors) == len(ops) and all(
        e["objects"] == 0 for e in history.of_kind("start")[:1]
    )
    if whole and history.of_kind("start"):
        touched |= set(final.objects)
    elif len(survivors) < len(ops):
        return []  # changes by unrecorded clients may have touched any key: reported as unknown
    wrong = sorted(
        key
        for key in touched
        if (key in expected, expected.get(key)) != (key in final.objects, final.objects.get(key))
    )
    if not wrong:
        return []
    key = wrong[0]
    seen = (
        f"{len(wrong)} objects differ in {final.source}, the first {key}: expected "
        f"{shorten(expected.get(key, 'no object'))}, found "
        f"{shorten(final.objects.get(key, 'no object'))}"
    )
    proof = [e for w in survivors if w.key == key for e in w.events]
    return [_s13("objects are what the surviving changes make", seen, (*proof, final.event))]


def _agreement(history: History, final: Final) -> list[Finding]:
    findings = []
    for other in latest_finals(history):
        if other is final or not _must_agree(history, other, final):
            continue
        differs = [
            name
            for name in ("epoch", "seq", "objects")
            if getattr(other, name) != getattr(final, name)
        ]
        if differs:
            seen = f"{other.source} and {final.source} differ in {', '.join(differs)}" + _example(
                other, final
            )
            expected = "proxies and databases at rest hold the same"
            findings.append(_s13(expected, seen, (other.event, final.event)))
    return findings


def _must_agree(history: History, other: Final, final: Final) -> bool:
    """Databases at the same point, and proxies in normal mode; limited ones are frozen rightly."""
    if other.is_db:
        return (other.epoch, other.seq) == (final.epoch, final.seq)
    samples = [s for s in history.comps.get(other.source, ()) if s.t <= other.event.t]
    mode = other.mode or (str(samples[-1].get("mode") or "") if samples else "normal")
    return mode == "normal"


def _example(one: Final, two: Final) -> str:
    if (one.epoch, one.seq) != (two.epoch, two.seq):
        return f": ({one.epoch}, {one.seq}) and ({two.epoch}, {two.seq})"
    keys = sorted(
        k for k in {*one.objects, *two.objects} if one.objects.get(k) != two.objects.get(k)
    )
    return f": {keys[0]}, for one" if keys else ""
