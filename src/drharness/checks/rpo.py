"""RPO as the exact list of lost acknowledged changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drharness.checks.episodes import episodes
from drharness.checks.models import acked, database_final
from drharness.history.records import Operation
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


def lost_writes(history: History) -> list[Operation] | None:
    """Acknowledged writes missing from the database's history log; None: unknown."""
    final = database_final(history)
    if final is None or final.ops is None:
        return None
    ops = final.ops
    return [w for w in acked(history) if w.done < final.event.t and w.opid not in ops]


def lost_changes(history: History) -> tuple[Lost, ...] | None:
    """The lost acknowledged changes as they were acknowledged; None if nothing was read back."""
    lost = lost_writes(history)
    if lost is None:
        return None
    disturbances = episodes(history)
    out = []
    for w in lost:
        after = [e.t_fail for e in disturbances if e.until >= w.done]
        before = (after[0] - w.done) / NS if after else None
        out.append(Lost(w.opid, w.key, w.val, w.seq, w.epoch, before))
    return tuple(out)
