"""RTO: how long until writes went through again in every living region, and which was the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drharness.checks.episodes import Episode, episodes, judged_regions
from drharness.checks.recovery import good_writes
from drharness.history.view import NS, History


@dataclass(frozen=True)
class Recovery:
    """RTO of one disturbance.

    :ivar cause: what began it
    :ivar t0: ns, its proven effect (of a planned procedure: its start)
    :ivar regions: seconds from t0 to the acknowledgement of the first good write through each
        living region's proxies; None where there was none
    :ivar phases: what the time went into, as (name, seconds): until the procedure began, each
        step, and from its end to the last region's write
    """

    cause: str
    t0: int
    regions: Mapping[str, float | None]
    phases: tuple[tuple[str, float], ...] = ()

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
        last = f"; last: {self.last}" if self.last else ""
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
    regions: dict[str, float | None] = {}
    for region in judged_regions(history, episode, since=t0, until=until):
        writes = good_writes(history, episode, region, since=t0)
        regions[region] = (writes[0].done - t0) / NS if writes else None
    return Recovery(episode.cause, t0, regions, _phases(episode, t0, regions))


def _window_end(history: History, episode: Episode) -> int:
    bound = int(history.profile.rto_bound * NS)
    return min(episode.until, (episode.liveness_from() or episode.t_fail) + bound)


def _phases(
    episode: Episode, t0: int, regions: Mapping[str, float | None]
) -> tuple[tuple[str, float], ...]:
    plan = episode.plan
    if plan is None:
        return ()
    out = [("until the procedure began", max(0, plan.invoked - t0) / NS)]
    out += [(s.id, (s.ended - s.invoked) / NS) for s in plan.steps if s.ended is not None]
    known = [s for s in regions.values() if s is not None]
    if plan.ended is not None and known:
        after = max(known) - (plan.ended - t0) / NS
        out.append(("from its end to the last region's write", max(0.0, after)))
    return tuple(out)
