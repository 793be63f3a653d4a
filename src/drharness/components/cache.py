"""Configuration data in memory: the fold of a prefix of the commit order. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from drharness.components.messages import EpochLine, Event
from drharness.components.store import Snapshot


class Gap(Exception):
    """An event does not follow what was applied last."""


class Cache:
    """All objects as of (epoch, seq).

    :ivar objects: key to (dbid, value)
    :ivar epochs: the epoch table, oldest first
    :ivar loaded: whether it holds a state at all
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, object]] = {}
        self.epoch = ""
        self.seq = 0
        self.epochs: tuple[EpochLine, ...] = ()
        self.loaded = False

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> Cache:
        """What a snapshot of the database holds."""
        lines = tuple(EpochLine(e.token, e.first_seq) for e in snapshot.epochs)
        return cls.of_objects(
            ((k, d, v) for k, (d, v) in snapshot.objects.items()),
            epoch=snapshot.epoch,
            seq=snapshot.seq,
            epochs=lines,
        )

    @classmethod
    def of_objects(
        cls,
        objects: Iterable[tuple[str, int, object]],
        *,
        epoch: str,
        seq: int,
        epochs: Sequence[EpochLine],
    ) -> Cache:
        """A cache of these (key, dbid, value) objects at (epoch, seq)."""
        made = cls()
        made.objects = {key: (dbid, val) for key, dbid, val in objects}
        made.epoch, made.seq, made.epochs = epoch, seq, tuple(epochs)
        made.loaded = True
        return made

    def apply(self, event: Event) -> None:
        """Add one change.

        :raises Gap: it does not follow the last one
        """
        if event.prev != self.seq or event.seq <= self.seq:
            raise Gap(f"event {event.seq} follows {event.prev}, the cache is at {self.seq}")
        if event.f == "delete":
            self.objects.pop(event.key, None)
        else:
            self.objects[event.key] = (event.dbid, event.val)
        self.seq, self.epoch = event.seq, event.epoch

    def values(self) -> dict[str, object]:
        """Key to value."""
        return {key: val for key, (_, val) in self.objects.items()}

    def sha(self) -> str:
        """SHA-256 (hex) of key to value as JSON with sorted keys and no spaces."""
        return hashlib.sha256(msgspec.json.encode(self.values(), order="sorted")).hexdigest()


def common_prefix(epochs: Sequence[EpochLine], *, current_seq: int, epoch: str, last: int) -> bool:
    """Whether a client that stopped at ``last`` in ``epoch`` holds a prefix of this database.

    :param epochs: the database's epoch table, oldest first
    :param current_seq: its last commit
    """
    for index, line in enumerate(epochs):
        if line.token == epoch:
            if index + 1 < len(epochs):
                return last < epochs[index + 1].first_seq
            return last <= current_seq
    return False
