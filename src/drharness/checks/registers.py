"""Linearizability: W1, what the masters said of each object has one order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from drharness.checks.epochs import Log, first_seen
from drharness.checks.form import NotExercised
from drharness.checks.linear import Answer, Call, linearize
from drharness.checks.verdict import Finding, Verdict
from drharness.history.records import Operation
from drharness.history.view import History

Findings = list[Finding] | NotExercised


def registers_linear(history: History) -> Findings:
    """W1. The changes of each object, and what they were told of it, have an order in real time.

    Premise: an object with two acknowledged changes, in a database that was empty at the start.
    Rule, for each object and each epoch: its changes in the epoch's log (of earlier epochs what the
    epoch kept, so lost ones and who saw them are left out), a cas that was refused for another
    value, and reads from a master can be put in an order that respects their times and in which
    each fits. Changes of unknown outcome may be anywhere after they began, or nowhere. What a
    master of an earlier epoch still said once this one had begun binds only its own. Reads through
    proxies are S10's and S11's. Slack: none; a search that grows too large is UNKNOWN.
    """
    if any(e["objects"] for e in history.of_kind("start")):
        return NotExercised("the database held objects before the run")
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for op in history.ops:
        if op.is_write or (op.type == "ok" and op.via.rpartition(".")[2] == "configserver"):
            by_key[op.key].append(op)
    shared = {k: ops for k, ops in by_key.items() if sum(_acked(o) for o in ops) > 1}
    if not shared:
        return NotExercised("no object was changed twice")
    parts = _Parts(history)
    findings = []
    for key, ops in shared.items():
        for epoch in parts.log.order:
            calls = parts.calls(key, ops, epoch)
            answer = linearize(calls)
            if not answer.ok:
                findings.append(_no_order(key, epoch, ops, answer))
                break
    return findings


def _acked(op: Operation) -> bool:
    return op.is_write and op.type == "ok"


class _Parts:
    """What belongs to an epoch, of each object."""

    def __init__(self, history: History) -> None:
        self.log = Log(history)
        order, seen = self.log.order, first_seen(history)
        ends = [*(seen[epoch] for epoch in order[1:]), history.end + 1]
        self._times = {e: (seen[e], end) for e, end in zip(order, ends, strict=True)}
        self._lines: dict[str, Mapping[str, Sequence[tuple[int, Operation, bool]]]] = {}
        self._open: dict[str, list[Operation]] = defaultdict(list)
        for w in self.log.unplaced():
            self._open[w.key].append(w)

    def _line(self, epoch: str, key: str) -> Sequence[tuple[int, Operation, bool]]:
        if epoch not in self._lines:
            line: dict[str, list[tuple[int, Operation, bool]]] = defaultdict(list)
            for entry in self.log.line(epoch):
                line[entry[1].key].append(entry)
            self._lines[epoch] = line
        return self._lines[epoch].get(key, ())

    def calls(self, key: str, ops: Sequence[Operation], epoch: str) -> list[Call]:
        """The calls of one object that the log of an epoch has to explain."""
        begun, over = self._times[epoch]
        line = self._line(epoch, key)
        out = [
            _call(w, done=w.done if w.type == "ok" and sure else None, must=sure, hint=seq)
            for seq, w, sure in line
        ]
        out += self._unknown(key, epoch, over)
        # who was refused by an earlier epoch may have been refused for what was lost
        lost = self._lost(ops, epoch, {w.opid for _, w, sure in line if sure})
        for op in ops:
            told = _refused(op) if op.is_write else _call(op, done=op.done)
            elsewhere = op.epoch not in ("", epoch)  # no epoch: nobody knows who refused it
            before = begun if elsewhere else over
            if told is None or op.done > before or (lost and elsewhere):
                continue
            if not lost or op.epoch or op.invoked >= begun:
                out.append(told)
        return out

    def _lost(self, ops: Sequence[Operation], epoch: str, kept: set[str]) -> bool:
        """Whether an earlier epoch committed something of this object that this one lacks."""
        rank, placed = self.log.rank, self.log.placed
        return any(
            op.opid in placed and rank[placed[op.opid][0]] < rank[epoch] and op.opid not in kept
            for op in ops
        )

    def _unknown(self, key: str, epoch: str, over: int) -> list[Call]:
        final = self.log.final
        latest = final is not None and final.epoch == epoch
        ops = (final.ops if final else None) or {}
        out = []
        for w in self._open.get(key, ()):
            if w.invoked > over or (latest and w.opid not in ops):
                continue
            out.append(_call(w, done=None, must=latest, hint=ops.get(w.opid)))
        return out


def _call(op: Operation, *, done: int | None, must: bool = True, hint: int | None = None) -> Call:
    val = op.val if op.is_write else op.result
    expected = op.events[0].get("expected")
    return Call(op.opid, op.f, op.invoked, done, val, expected, must, hint)


def _refused(op: Operation) -> Call | None:
    """What a refusal tells of the value; None: nothing."""
    told = {"cas": "differs", "create": "exists"}.get(op.f)
    if op.cls != "rejected" or told is None:
        return None
    return Call(op.opid, told, op.invoked, op.done, None, op.events[0].get("expected"))


def _no_order(key: str, epoch: str, ops: Sequence[Operation], answer: Answer) -> Finding:
    expected = f"an order of all that was done to {key} in epoch {epoch}, each after what it saw"
    if answer.ok is None:
        seen = f"the search gave up after {answer.steps} steps"
        return Finding("W1", Verdict.UNKNOWN, expected, seen)
    known = {op.opid: op for op in ops}
    last = known[answer.order[-1]] if answer.order else None
    stuck = [known[i] for i in answer.stuck if i in known]
    what = " or ".join(f"{o.f} {o.opid}" for o in stuck[:3])
    seen = f"after {len(answer.order)} of them none of the next fits: {what}"
    events = (*(last.events[-1:] if last else ()), *(e for o in stuck for e in o.events))
    advice = "a change was lost, done twice, or compared with a value that was no longer there"
    return Finding("W1", Verdict.FAIL, expected, seen, events, advice)
