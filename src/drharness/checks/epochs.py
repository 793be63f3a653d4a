"""Epochs in the order in which they were opened, and where each known change stands in their log.

An epoch's log is its own commits after a prefix of the log of the epoch before it, cut at the seq
with which the epoch begins. What the earlier epoch committed beyond that is its lost suffix; the
same numbers are then used again, so that a seq means something only together with its epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from drharness.checks.models import database_final
from drharness.history.event import Event
from drharness.history.records import Final, Operation
from drharness.history.view import History

Place = tuple[str, int]  # epoch and seq
END = 1 << 62  # beyond any seq


def first_seen(history: History) -> dict[str, int]:
    """All epochs anybody has seen, with the instant (ns) of the first sight."""
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
    return seen


def epoch_order(history: History) -> tuple[str, ...]:
    """All epochs, oldest first, by first sight: nobody can see one before it is opened."""
    seen = first_seen(history)
    return tuple(sorted(seen, key=seen.__getitem__))


def first_writable(history: History) -> dict[str, Event]:
    """Epoch to the first sample of a writable database in it."""
    out: dict[str, Event] = {}
    for samples in history.dbs.values():
        for sample in samples:
            epoch = sample.get("epoch")
            if sample["writable"] and epoch and (epoch not in out or sample.t < out[epoch].t):
                out[epoch] = sample
    return out


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
        self._of_key: dict[str, list[Operation]] = defaultdict(list)
        for w in history.writes:
            self._of_key[w.key].append(w)
        self._by_epoch: dict[str, list[tuple[int, Operation]]] = defaultdict(list)
        for opid, (epoch, seq) in self.placed.items():
            if opid in self._writes:
                self._by_epoch[epoch].append((seq, self._writes[opid]))

    def survived(self, opid: str) -> bool:
        """Whether the database has it; true if nobody looked."""
        return self.final is None or opid in (self.final.ops or {})

    def has_other(self, w: Operation) -> bool:
        """Whether another change that survived gave the key of ``w`` the same value."""
        return any(
            other.opid != w.opid and self.survived(other.opid)
            for other in self._of_key[w.key]
            if other.val == w.val
        )

    def begins(self, epoch: str) -> int:
        """The first seq of an epoch; if nobody read it, the lowest known one."""
        if epoch in self._first:
            return self._first[epoch]
        return min((seq for seq, _ in self._by_epoch[epoch]), default=END)

    def line(self, epoch: str) -> Iterator[tuple[int, Operation, bool]]:
        """The log of an epoch as (seq, change, whether it certainly is in it), in no order.

        A change of an earlier epoch is certainly in it only if it survived, and so is one of the
        latest epoch: a lost one is what durability checks find.
        """
        bound = END
        for one in reversed(self.order[: self.rank.get(epoch, -1) + 1]):
            own = one == epoch and not (self.final and epoch == self.final.epoch)
            for seq, w in self._by_epoch[one]:
                if seq < bound:
                    yield seq, w, own or self.survived(w.opid)
            bound = min(bound, self.begins(one))

    def unplaced(self) -> Sequence[Operation]:
        """Changes that may have been committed nobody knows where."""
        return [w for w in self._writes.values() if w.type == "info" and w.opid not in self.placed]
