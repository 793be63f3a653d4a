"""Epochs in their order, the read-back that counts, the servers, the configuration as a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drharness.history.event import Event
from drharness.history.records import Final, Operation
from drharness.history.view import History


def acked(history: History) -> list[Operation]:
    """Acknowledged writes by instant of their acknowledgement."""
    return sorted((w for w in history.writes if w.type == "ok"), key=lambda w: w.done)


def epochs(history: History) -> list[str]:
    """Epochs in which writes were acknowledged, by their earliest acknowledgement."""
    return list(dict.fromkeys(w.epoch for w in acked(history) if w.epoch))


def latest_finals(history: History) -> list[Final]:
    """The last read-back of each source."""
    return list({f.source: f for f in history.finals}.values())


def database_final(history: History) -> Final | None:
    """The read-back from the database of the latest epoch: what survived. None if there was none.

    An epoch without acknowledged writes is later than those with some: it was promoted last.
    """
    order = {epoch: place for place, epoch in enumerate(epochs(history))}
    found = [f for f in latest_finals(history) if f.is_db and f.ops is not None]
    rank = {id(f): (order.get(f.epoch, len(order)), f.seq or 0, f.event.t) for f in found}
    return max(found, key=lambda f: rank[id(f)], default=None)


def fold(changes: Iterable[Operation]) -> dict[str, Any]:
    """The configuration that these changes make, applied in the order given."""
    state: dict[str, Any] = {}
    for w in changes:
        if w.f == "delete":
            state.pop(w.key, None)
        elif w.f == "append":
            before = state.get(w.key)
            state[w.key] = [*(before if isinstance(before, list) else []), w.val]
        else:
            state[w.key] = w.val
    return state


def servers(history: History) -> dict[str, list[Event]]:
    """Samples of Configuration Servers, by component id."""
    return {
        name: samples
        for name, samples in history.comps.items()
        if name.rpartition(".")[2] == "configserver"
    }
