"""What clients see of proxies: S7 no resurrection, S10 a cache is a prefix, S11 it goes forward."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from drharness.checks.epochs import END, Log, Place
from drharness.checks.form import NotExercised
from drharness.checks.models import fold
from drharness.checks.text import shorten
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Operation
from drharness.history.view import History

Findings = list[Finding] | NotExercised


def _placed_reads(history: History) -> list[Operation]:
    """Answered reads that say where in the log their proxy was, by invocation."""
    found = [r for r in history.reads if r.type == "ok" and r.epoch and r.seq is not None]
    return sorted(found, key=lambda r: r.invoked)


def _unplaced_reads(history: History) -> list[Operation]:
    """Answered reads that do not say where in the log their proxy was."""
    return [r for r in history.reads if r.type == "ok" and not (r.epoch and r.seq is not None)]


def nothing_resurrected(history: History) -> Findings:
    """S7. What an epoch lost is not read again once its successor was read from.

    Premise: writes that are not in the database, and reads from a later epoch. Rule: no read
    answered in a later epoch than a lost write returns its value; nor does a read through a proxy
    that has served a later epoch before. A proxy that is still in the old epoch may show its frozen
    copy: it cannot know. A value that a surviving write to that key also has counts as that one's.
    Slack: none.
    """
    log = Log(history)
    if log.final is None:
        return NotExercised("no read-back from the database tells what was lost")
    lost = _lost(history, log)
    if not lost:
        return NotExercised("no write that may have been seen was lost")
    reads = _placed_reads(history)
    oldest = min(log.rank.get(log.placed.get(w.opid, ("", 0))[0], 0) for w in lost)
    if not any(log.rank[r.epoch] > oldest for r in reads):
        return NotExercised("nobody read from a later epoch than what was lost")
    found = _resurrected(log, lost, reads)
    if not found:
        return []
    read, write = found[0]
    return [
        Finding(
            "S7",
            Verdict.FAIL,
            "what an epoch lost is not readable once the next one was read from",
            f"{len(found)} reads returned lost values, the first {read.opid} via {read.via}: "
            f"{write.key}={shorten(write.val, 24)} of {write.opid}, in epoch {read.epoch}",
            tuple(e for r, w in found for e in (*w.events, *r.events)),
            "did the proxy keep objects that the new epoch never had, instead of reloading?",
        )
    ]


def _lost(history: History, log: Log) -> list[Operation]:
    """Writes that somebody may have seen and that the database does not have."""
    taken = log.final.event.t if log.final else 0
    return [
        w
        for w in history.writes
        if w.done < taken
        and not log.survived(w.opid)
        and (w.opid in log.placed or w.type == "info")
        and w.f != "delete"
    ]


def _resurrected(
    log: Log, lost: Sequence[Operation], reads: Sequence[Operation]
) -> list[tuple[Operation, Operation]]:
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for w in lost:
        by_key[w.key].append(w)
    served: dict[str, list[tuple[int, int]]] = defaultdict(list)  # proxy -> (rank, instant) rising
    found = []
    for r in sorted(reads, key=lambda r: r.done):
        rank = log.rank[r.epoch]
        for w in by_key.get(r.key, ()):
            if _shows(r.result, w) and not log.has_other(w) and _too_late(log, r, w, served[r.via]):
                found.append((r, w))
                break
        if not served[r.via] or rank > served[r.via][-1][0]:
            served[r.via].append((rank, r.done))
    return found


def _shows(result: Any, w: Operation) -> bool:
    if w.f == "append":
        return isinstance(result, list) and w.val in result
    return bool(result is not None and result == w.val)


def _too_late(log: Log, r: Operation, w: Operation, served: Sequence[tuple[int, int]]) -> bool:
    if w.opid not in log.placed:  # of unknown epoch: only the latest certainly never had it
        return log.final is not None and r.epoch == log.final.epoch
    rank = log.rank[log.placed[w.opid][0]]
    return log.rank[r.epoch] > rank or any(n > rank and t < r.invoked for n, t in served)


def cache_is_prefix(history: History) -> Findings:
    """S10. A proxy serves the fold of a prefix of its epoch's log.

    Premise: reads that say in which epoch and at which seq they were answered, or ``cache`` events.
    Rule: such a read returns what the known changes to its key make, up to that seq; another value
    only if a write of unknown outcome, begun before, explains it; lost values are S7's. An answered
    read that names no place returns what some place makes that is not before the latest at which
    its proxy was known to be. Two proxies at the same epoch and seq have the same digest. Slack:
    none.
    """
    reads, caches = _placed_reads(history), history.of_kind("cache")
    if not reads and not caches:
        return NotExercised("no read says how far its proxy was")
    log = Log(history)
    resurrected = {r.opid for r, _ in _resurrected(log, _lost(history, log), reads)}
    folds = _Folds(history, log)
    bad = [
        (r, value)
        for r in reads
        if r.opid not in resurrected and not folds.explains(r, value := folds.value(r))
    ]
    findings = _unequal(caches) + _from_nowhere(history, log, folds)
    if bad:
        read, value = bad[0]
        events = [e for r, _ in bad for e in r.events]
        events[2:2] = folds.events(read)
        findings.append(
            Finding(
                "S10",
                Verdict.FAIL,
                "a proxy serves what the log makes up to the seq it names",
                f"{len(bad)} reads got something else, the first {read.opid} via {read.via}: "
                f"{read.key} is {shorten(value, 24)} at {read.epoch}/{read.seq}, it returned "
                f"{shorten(read.result, 24)}",
                tuple(events),
                "was a change left out, or applied out of order?",
            )
        )
    return findings


class _Folds:
    """The value of a key at a place in an epoch's log."""

    def __init__(self, history: History, log: Log) -> None:
        self._log = log
        self._lines: dict[str, dict[str, list[tuple[int, Operation, bool]]]] = {}
        self._open: dict[str, list[Operation]] = defaultdict(list)
        for w in log.unplaced():
            self._open[w.key].append(w)
        starts = history.of_kind("start")
        self._empty = bool(starts) and starts[0]["objects"] == 0

    def _changes(self, r: Operation) -> list[tuple[int, Operation, bool]]:
        if r.epoch not in self._lines:
            line: dict[str, list[tuple[int, Operation, bool]]] = defaultdict(list)
            for entry in self._log.line(r.epoch):
                line[entry[1].key].append(entry)
            for entries in line.values():
                entries.sort(key=itemgetter(0))
            self._lines[r.epoch] = line
        entries = self._lines[r.epoch].get(r.key, [])
        seq = END if r.seq is None else r.seq
        return entries[: bisect_right(entries, seq, key=itemgetter(0))]

    def places(self, r: Operation, low: Place) -> Iterator[Operation]:
        """The read as it would be at each place, from ``low`` on, that its key differs between."""
        for epoch in self._log.order[self._log.rank[low[0]] :]:
            begun = self._log.begins(epoch)
            first = low[1] if epoch == low[0] else 0 if begun == END else begun - 1
            end = msgspec.structs.replace(r, epoch=epoch, seq=None)
            later = {seq for seq, _, _ in self._changes(end) if seq > first}
            for seq in (first, *sorted(later)):
                yield msgspec.structs.replace(r, epoch=epoch, seq=seq)

    def value(self, r: Operation) -> Any:
        """What a read should return, by the changes that are certain."""
        sure = [w for _, w, certain in self._changes(r) if certain]
        if sure and sure[-1].f in ("write", "create", "cas"):
            return sure[-1].val
        return fold(sure).get(r.key)

    def explains(self, r: Operation, value: Any) -> bool:
        """Whether a read's result is that, or may be something an uncertain change made."""
        if r.result == value:
            return True
        known = self._changes(r)
        if not known and not self._empty:
            return True  # the database held objects before the run: this may be one
        maybe = [w for _, w, certain in known if not certain]
        maybe += [w for w in self._open.get(r.key, ()) if w.invoked <= r.done]
        return any(
            w.f == "append" or r.result == (None if w.f == "delete" else w.val) for w in maybe
        )

    def events(self, r: Operation) -> list[Event]:
        """The change that a read should have shown."""
        known = self._changes(r)
        return list(known[-1][1].events[-1:]) if known else []


def _from_nowhere(history: History, log: Log, folds: _Folds) -> list[Finding]:
    """Reads that name no place, and return what no place makes at which their proxy may be."""
    known = _known_places(history, log)
    for r in sorted(_unplaced_reads(history), key=lambda r: r.invoked):
        before = [(log.rank[e], seq, e) for done, (e, seq) in known[r.via] if done < r.invoked]
        if not before:
            continue  # it may be anywhere, also at the beginning of the log
        _, seq, epoch = max(before)
        if any(folds.explains(at, folds.value(at)) for at in folds.places(r, (epoch, seq))):
            continue
        should = msgspec.structs.replace(r, epoch=epoch, seq=seq)
        got = "nothing" if r.result is None else shorten(r.result, 24)
        seen = (
            f"{r.opid} via {r.via} named no place and returned {got}: {r.key} is "
            f"{shorten(folds.value(should), 24)} at {epoch}/{seq}, where the proxy was before"
        )
        events = (*r.events, *folds.events(should))
        expected = "a proxy serves what the log makes, no less than it had"
        hint = "does it answer from an empty copy instead of its own?"
        return [Finding("S10", Verdict.FAIL, expected, seen, events, hint)]
    return []


def _known_places(history: History, log: Log) -> dict[str, list[tuple[int, Place]]]:
    """Proxy -> (instant, place) of what it answered and said of itself."""
    known: dict[str, list[tuple[int, Place]]] = defaultdict(list)
    for op in history.ops:
        if op.type == "ok" and op.epoch and op.seq is not None:
            known[op.via].append((op.done, (op.epoch, op.seq)))
    for proxy, samples in history.comps.items():
        for sample in samples:
            epoch, seq = sample.get("epoch"), sample.get("seq")
            if epoch in log.rank and seq is not None and sample.get("mode"):
                known[proxy].append((sample.t, (epoch, seq)))
    return known


def _unequal(caches: Sequence[Event]) -> list[Finding]:
    first: dict[tuple[str, int], Event] = {}
    for event in caches:
        if not event.get("sha") or event.get("seq") is None:
            continue
        place = (str(event.get("epoch")), int(event["seq"]))
        other = first.setdefault(place, event)
        if other["sha"] != event["sha"]:
            seen = f"{other['proxy']} and {event['proxy']} differ at {place[0]}/{place[1]}"
            expected = "proxies at one place of the log hold the same"
            return [Finding("S10", Verdict.FAIL, expected, seen, (other, event))]
    return []


def sessions_go_forward(history: History) -> Findings:
    """S11. What one client process sees through one proxy never goes back.

    Premise: a client process that reads through a proxy that answered it before. Rule: a read is
    answered from no earlier epoch than the read or the acknowledged write before it, and within an
    epoch from no lower seq; in a new epoch the seq may be lower once, for its log is cut. Slack:
    none, a process has one operation at a time.
    """
    rank = Log(history).rank
    rows: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for op in sorted(history.ops, key=lambda o: o.invoked):
        if op.type == "ok" and op.via and op.epoch and op.seq is not None:
            rows[op.proc, op.via].append(op)
    if not any(not op.is_write for row in rows.values() for op in row[1:]):
        return NotExercised("no client read through a proxy that had answered it before")
    back: list[tuple[Operation, Operation]] = []
    for row in rows.values():
        latest = row[0]
        for op in row[1:]:
            if (rank[op.epoch], op.seq or 0) >= (rank[latest.epoch], latest.seq or 0):
                latest = op
            elif not op.is_write and latest.done <= op.invoked:
                back.append((latest, op))
    if not back:
        return []
    before, after = back[0]
    return [
        Finding(
            "S11",
            Verdict.FAIL,
            "what a client sees through a proxy never goes back",
            f"{len(back)} answers were older than one before, the first {after.opid} via "
            f"{after.via}: {after.epoch}/{after.seq} after {before.epoch}/{before.seq}",
            tuple(e for one, two in back for e in (one.events[-1], two.events[-1])),
            "did the proxy answer from an older copy of its data?",
        )
    ]
