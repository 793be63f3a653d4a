"""RPO: the exact list of lost acknowledged changes, and its size in seconds and bytes of WAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drharness.checks.episodes import episodes
from drharness.checks.models import acked, database_final
from drharness.history.lsn import position
from drharness.history.records import Operation, Plan
from drharness.history.view import NS, History


@dataclass(frozen=True)
class Lost:
    """An acknowledged change that is not in the final state.

    :ivar acked_before_s: seconds between its acknowledgement and the disturbance (negative: it was
        acknowledged after it); None in a run without one
    """

    opid: str
    key: str
    val: Any
    seq: int | None
    epoch: str
    acked_before_s: float | None

    def __str__(self) -> str:
        when = ""
        if self.acked_before_s is not None:
            side = "before" if self.acked_before_s >= 0 else "after"
            when = f", acknowledged {abs(self.acked_before_s):.3f} s {side} the fault"
        return f"{self.opid} {self.key}={self.val!r:.40} seq {self.seq} epoch {self.epoch}{when}"


@dataclass(frozen=True)
class Rpo:
    """How much is lost.

    :ivar lost: the acknowledged changes that are gone
    :ivar seconds: of acknowledged work that are gone: from the acknowledgement of the first lost
        change to the disturbance, or to that of the last lost change if it came later; 0 if none is
    :ivar wal_bytes: WAL that the former primary was last seen to have beyond the point at which
        the promoted server left its timeline, lost acknowledged changes or not; a lower bound, for
        samples are a sampling interval apart. None: no promotion, or nothing was seen of it
    """

    lost: tuple[Lost, ...]
    seconds: float
    wal_bytes: int | None

    def __str__(self) -> str:
        count = f"{len(self.lost)} acknowledged change{'' if len(self.lost) == 1 else 's'} lost"
        if self.lost:
            count += f", {self.seconds:.3f} s of work"
        return count if self.wal_bytes is None else f"{count}; {self.wal_bytes} bytes of WAL"


def lost_writes(history: History) -> list[Operation] | None:
    """Acknowledged writes missing from the database's history log; None: unknown."""
    final = database_final(history)
    if final is None or final.ops is None:
        return None
    ops = final.ops
    return [w for w in acked(history) if w.done < final.event.t and w.opid not in ops]


def measure(history: History) -> Rpo | None:
    """What a run has lost; None if nothing was read back from a database."""
    writes = lost_writes(history)
    if writes is None:
        return None
    disturbances = episodes(history)
    lost = []
    for w in writes:
        after = [e.t_fail for e in disturbances if e.until >= w.done]
        before = (after[0] - w.done) / NS if after else None
        lost.append(Lost(w.opid, w.key, w.val, w.seq, w.epoch, before))
    seconds = 0.0
    if writes:
        first, last = min(w.done for w in writes), max(w.done for w in writes)
        broken = [e.t_fail for e in disturbances if e.until >= first]
        seconds = (max(last, *broken[:1]) - first) / NS if broken else (last - first) / NS
    return Rpo(tuple(lost), seconds, _wal_bytes(history))


def _wal_bytes(history: History) -> int | None:
    found = [b for p in history.plans if (b := _beyond_switch(history, p)) is not None]
    return sum(found) if found else None


def _beyond_switch(history: History, plan: Plan) -> int | None:
    """Bytes of WAL of the former primary behind the switch point of a plan's promotion."""
    done = [s for s in plan.steps if s.id == "promote" and s.type == "ok"]
    result = done[0].events[-1].get("result") if done and plan.promoted else None
    switch = result.get("switch_lsn") if isinstance(result, dict) else None
    if not switch or not plan.to:
        return None
    seen = [
        e["cur"]
        for region, samples in history.dbs.items()
        if region != plan.to
        for e in samples
        if e.get("cur")
    ]
    return max(0, max(map(position, seen)) - position(switch)) if seen else None
