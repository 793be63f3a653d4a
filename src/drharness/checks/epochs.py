"""Epochs in the order in which they were opened, and where each known change stands in their log.

An epoch's log is its own commits after a prefix of the log of the epoch before it, cut at the seq
with which the epoch begins. What the earlier epoch committed beyond that is its lost suffix; the
same numbers are then used again, so that a seq means something only together with its epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from drharness.checks.models import database_final
from drharness.history.records import Final, Operation
from drharness.history.view import History

Place = tuple[str, int]  # epoch and seq


def epoch_order(history: History) -> tuple[str, ...]:
    """All epochs anybody has seen, by first sight: nobody can see one before it is opened."""
    seen: dict[str, int] = {}

    def sight(epoch: object, t: int) -> None:
        if isinstance(epoch, str) and epoch:
            seen[epoch] = min(seen.get(epoch, t), t)

    for samples in history.dbs.values():
        for sample in samples:
            sight(sample.get("epoch"), sample.t)
    for ack in history.of_kind("ack"):
        sight(ack["epoch"], ack.t)
    for op in history.ops:
        sight(op.epoch, op.done)
    for final in history.finals:
        sight(final.epoch, final.event.t)
    return tuple(sorted(seen, key=seen.__getitem__))


def places(history: History) -> dict[str, Place]:
    """Operation id to the place of its commit, as its client or a master was told."""
    out = {str(ack["opid"]): (str(ack["epoch"]), int(ack["seq"])) for ack in history.of_kind("ack")}
    for w in history.writes:
        if w.type == "ok" and w.epoch and w.seq is not None:
            out[w.opid] = (w.epoch, w.seq)
    return out


class Log:
    """The known part of every epoch's log.

    :ivar order: epochs, oldest first; ``rank``: place of each in it
    :ivar placed: operation id to (epoch, seq), where known
    :ivar final: the database's read-back, None if there was none
    """

    def __init__(self, history: History) -> None:
        self.order = epoch_order(history)
        self.rank: Mapping[str, int] = {epoch: n for n, epoch in enumerate(self.order)}
        self.placed = places(history)
        self.final: Final | None = database_final(history)
        self._writes = {w.opid: w for w in history.writes}
        self._first = dict(self.final.epochs) if self.final else {}
        self._by_epoch: dict[str, list[tuple[int, Operation]]] = defaultdict(list)
        for opid, (epoch, seq) in self.placed.items():
            if opid in self._writes:
                self._by_epoch[epoch].append((seq, self._writes[opid]))

    def survived(self, opid: str) -> bool:
        """Whether the database has it; true if nobody looked."""
        return self.final is None or opid in (self.final.ops or {})

    def begins(self, epoch: str) -> tuple[int, bool]:
        """The first seq of an epoch, and whether that is certain: else its lowest known one."""
        if epoch in self._first:
            return self._first[epoch], True
        return min((seq for seq, _ in self._by_epoch[epoch]), default=1 << 62), False

    def line(self, epoch: str) -> Iterator[tuple[int, Operation, bool]]:
        """The log of an epoch as (seq, change, whether it certainly is in it), in no order."""
        bound, sure = 1 << 62, True
        for one in reversed(self.order[: self.rank.get(epoch, -1) + 1]):
            for seq, w in self._by_epoch[one]:
                if seq < bound:
                    yield seq, w, one == epoch or sure or self.survived(w.opid)
            first, known = self.begins(one)
            if first < bound:
                bound, sure = first, known
            sure = sure and known

    def unplaced(self) -> Sequence[Operation]:
        """Changes that may have been committed nobody knows where."""
        return [w for w in self._writes.values() if w.type == "info" and w.opid not in self.placed]
