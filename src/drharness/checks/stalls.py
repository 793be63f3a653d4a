"""The host's own delays: time in which it kept processes waiting that had something to do.

Bounds in seconds are meant for the system under test. Where the machine itself stood still for a
part of that time, which every VM's agent measures independently of the system, the bound is
extended by as much.
"""

from __future__ import annotations

from drharness.history.view import NS, History


def spells(history: History, since: int, until: int) -> list[tuple[int, int]]:
    """Stalls within [since, until] (ns), those of several VMs at once merged into one."""
    found = sorted(
        (max(since, e["since"]), min(until, e.t))
        for e in history.of_kind("stall")
        if e["since"] < until and e.t > since
    )
    merged: list[tuple[int, int]] = []
    for begin, end in found:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def stalled(history: History, since: int, until: int) -> int:
    """How long the host stood still within [since, until], in ns."""
    return sum(end - begin for begin, end in spells(history, since, until))


def extended(history: History, since: int, bound: int) -> int:
    """A bound (ns) moved back by the time that the host stood still from ``since`` until then."""
    while (moved := bound + stalled(history, since, bound)) > bound:
        since, bound = bound, moved
    return bound


def told(history: History) -> str:
    """A sentence about the host's stalls in the whole run; empty if there were none."""
    found = spells(history, history.events[0].t, history.end)
    if not found:
        return ""
    longest, whole = (f(end - begin for begin, end in found) / NS for f in (max, sum))
    return (
        f"the host kept processes waiting, {longest:.2f} s at the longest, {whole:.2f} s in all; "
        "time bounds are extended by what fell into them"
    )
