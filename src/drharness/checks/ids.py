"""Identity: S12, every change is applied once, and no number is given to two things."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from drharness.checks.epochs import Log
from drharness.checks.form import NotExercised
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History

Findings = list[Finding] | NotExercised
Number = TypeVar("Number", bound=Hashable)


def applied_once(history: History) -> Findings:
    """S12. No operation is applied twice, no seq and no object id is given out twice.

    Premise: acknowledgements, or a database's history log. Rule: an operation id has one place in
    the log; a place (epoch, seq) has one operation; so has a seq in the surviving log, over all
    epochs; an object id stands for one key in each epoch and in the surviving log. Numbers of a
    lost suffix are given out again by the next epoch, rightly: that something is lost is D1's.
    Gaps are legal. Slack: none.
    """
    acks = [a for a in history.of_kind("ack") if a.get("opid")]
    log = Log(history)
    ops = (log.final.ops if log.final else None) or {}
    if not acks and not ops and not log.placed:
        return NotExercised("nothing was committed")
    key = {w.opid: w.key for w in history.writes}
    told = [(opid, place) for opid, place in log.placed.items()]
    told += [(a["opid"], (a["epoch"], a["seq"])) for a in acks]
    ids = [(f"{a['epoch']} {a['dbid']}", key.get(a["opid"])) for a in acks if a.get("dbid")]
    ids += [
        (str(dbid), key.get(opid))
        for opid, dbid in ((log.final.dbids if log.final else None) or {}).items()
    ]
    rules: tuple[tuple[str, Mapping[str, set[object]]], ...] = (
        ("operation {} was applied at {}", _together((o, p) for o, p in told)),
        ("place {} was given to {}", _together((f"{e}/{s}", o) for o, (e, s) in told)),
        (
            "seq {} of the history log was given to {}",
            _together((str(s), o) for o, s in ops.items()),
        ),
        ("object id {} was given to {}", _together((n, k) for n, k in ids if k)),
    )
    return [_twice(history, text, found) for text, of in rules if (found := _several(of))]


def _together(pairs: Iterable[tuple[str, object]]) -> Mapping[str, set[object]]:
    out: dict[str, set[object]] = defaultdict(set)
    for number, holder in pairs:
        out[number].add(holder)
    return out


def _several(of: Mapping[str, set[object]]) -> dict[str, list[str]]:
    return {
        n: sorted("/".join(map(str, h)) if isinstance(h, tuple) else str(h) for h in holders)
        for n, holders in of.items()
        if len(holders) > 1
    }


def _twice(history: History, text: str, found: Mapping[str, list[str]]) -> Finding:
    number, holders = next(iter(found.items()))
    names = {number, *holders}
    more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
    return Finding(
        "S12",
        Verdict.FAIL,
        "every change is applied once, and no number stands for two things",
        text.format(number, " and ".join(holders)) + more,
        tuple(_about(history, names)),
        "numbers must come from the database's own rows, in the transaction that uses them",
    )


def _about(history: History, names: set[str]) -> list[Event]:
    """Acknowledgements and completions of what a finding names."""
    keys = {w.opid: w.key for w in history.writes}
    return [
        a
        for a in history.of_kind("ack")
        if {a["opid"], f"{a['epoch']}/{a['seq']}", keys.get(a["opid"])} & names
    ] or [w.events[-1] for w in history.writes if w.opid in names or w.key in names]
