"""RTO: how long until writes went through again in every living region, and which was the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drharness.checks.episodes import Episode, episodes, judged_regions
from drharness.checks.phases import HostRecovery, hosts, of_write
from drharness.checks.recovery import good_writes, outage_end
from drharness.history.records import Operation
from drharness.history.view import NS, History


@dataclass(frozen=True)
class Recovery:
    """RTO of one disturbance.

    :ivar cause: what began it
    :ivar t0: ns, its proven effect (of a planned procedure: its start)
    :ivar regions: seconds from t0 to the acknowledgement of the first good write through each
        living region's proxies; None where there was none
    :ivar phases: what the time of the slowest region went into, as (name, seconds), adding up to
        it: detect, fence, promote, unblock, repoint, start, switch, cache, reconnect, write; empty
        without a procedure, or if a region never recovered
    :ivar hosts: each proxy host's way back to normal mode, the slowest last
    """

    cause: str
    t0: int
    regions: Mapping[str, float | None]
    phases: tuple[tuple[str, float], ...] = ()
    hosts: tuple[HostRecovery, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The slowest region's figure; None if one did not recover or there was none to."""
        times = list(self.regions.values())
        known = [t for t in times if t is not None]
        return max(known) if known and len(known) == len(times) else None

    @property
    def last(self) -> str:
        """The region that recovered last, or one that never did; empty if there was none to."""
        never = [r for r, s in self.regions.items() if s is None]
        return (
            never[0] if never else max(self.regions, key=lambda r: self.regions[r] or 0, default="")
        )

    def __str__(self) -> str:
        each = ", ".join(
            f"{r} {'never' if s is None else f'{s:.3f} s'}" for r, s in self.regions.items()
        )
        whole = "not reached" if self.seconds is None else f"{self.seconds:.3f} s"
        host = f", proxy host {self.hosts[-1]}" if self.hosts else ""
        last = f"; last: {self.last}{host}" if self.last else ""
        return f"RTO after {self.cause}: {whole} ({each or 'no living region'}{last})"


def slowest(recoveries: Iterable[Recovery]) -> float | None:
    """Seconds of the slowest recovery; None if there was none to make, or one never came."""
    times = [r.seconds for r in recoveries]
    known = [t for t in times if t is not None]
    return max(known) if known and len(known) == len(times) else None


def recoveries(history: History) -> tuple[Recovery, ...]:
    """One figure per disturbance that had to be overcome; none in a run without any."""
    return tuple(
        _measure(history, episode)
        for episode in episodes(history)
        if episode.liveness_from() is not None
    )


def _measure(history: History, episode: Episode) -> Recovery:
    t0 = episode.t_fail
    until = _window_end(history, episode)
    first: dict[str, Operation | None] = {}
    for region in judged_regions(history, episode, since=t0, until=until):
        writes = good_writes(history, episode, region, since=t0)
        if not episode.promotes():  # a new epoch is the end of an outage; an old one may stop again
            over = outage_end(history, region, since=t0, until=until)
            writes = [w for w in writes if w.invoked > over] if over > t0 else writes
        first[region] = writes[0] if writes else None
    regions = {r: None if w is None else (w.done - t0) / NS for r, w in first.items()}
    known = [w for w in first.values() if w is not None]
    phases: tuple[tuple[str, float], ...] = ()
    if known and len(known) == len(first):
        phases = of_write(history, episode, t0, max(known, key=lambda w: w.done))
    return Recovery(episode.cause, t0, regions, phases, hosts(history, episode, t0, until=until))


def _window_end(history: History, episode: Episode) -> int:
    bound = int(history.profile.rto_bound * NS)
    return min(episode.until, (episode.liveness_from() or episode.t_fail) + bound)
