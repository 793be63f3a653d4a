"""What a recovery's time went into, proxy host by proxy host, without gaps or overlaps.

    t0 ── detect ── fence ── promote ── unblock ── repoint ── start ── switch ── cache ── reconnect

A phase ends when its step was first done; ``detect`` ends when the first change was begun (it holds
the time until somebody acted, and the preflight). A host that came back before a later step was
done (its cached name had expired, say) has nothing of that phase: they always add up to its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drharness.checks.episodes import Episode, alive, cut_off, proxies
from drharness.checks.recovery import normal_from, noticed
from drharness.history.records import Operation
from drharness.history.view import NS, History

_STEPS: Mapping[str, str] = {
    "fence": "fence",
    "promote": "promote",
    "unblock": "unblock",
    "repoint": "repoint",
    "start": "start-framework",
    "switch": "switch-names",
    "cache": "flush",
}
PHASES = ("detect", *_STEPS, "reconnect")


@dataclass(frozen=True)
class HostRecovery:
    """How one proxy host came back.

    :ivar proxy: id of its Configuration Server Proxy
    :ivar seconds: from t0 until the proxy was in normal mode again; None: never seen
    :ivar phases: (phase, seconds) in the order of :data:`PHASES`; empty if it never came back
    :ivar noticed: seconds from t0 until the proxy knew that its master was gone (limited mode);
        None: it was never seen in limited mode. Whatever is done before that cannot help it
    """

    proxy: str
    seconds: float | None
    phases: tuple[tuple[str, float], ...] = ()
    noticed: float | None = None

    @property
    def host(self) -> str:
        """Id of the VM."""
        return self.proxy.partition(".")[0]

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.host} never"
        return f"{self.host} {self.seconds:.3f} s"


def hosts(history: History, episode: Episode, t0: int, *, until: int) -> tuple[HostRecovery, ...]:
    """The proxy hosts that were to come back, the slowest last; none without a procedure.

    :param until: ns, the end of the time in which they have to
    """
    if episode.plan is None:
        return ()
    active = episode.plan.to or history.active
    found = []
    for region in history.topology.regions:
        if cut_off(history, region, active, since=t0, until=until):
            continue
        for proxy in proxies(history, region):
            if alive(history, proxy, t0, until):
                found.append(_host(history, episode, proxy, t0))
    return tuple(sorted(found, key=lambda h: (h.seconds is None, h.seconds or 0.0)))


def _host(history: History, episode: Episode, proxy: str, t0: int) -> HostRecovery:
    back = normal_from(history, proxy, episode, since=t0)
    limited = noticed(history, proxy, episode, back)
    after = None if limited is None else (limited.t - t0) / NS
    if back is None:
        return HostRecovery(proxy, None, noticed=after)
    return HostRecovery(proxy, (back.t - t0) / NS, split(episode, t0, back.t), after)


def of_write(
    history: History, episode: Episode, t0: int, write: Operation
) -> tuple[tuple[str, float], ...]:
    """The phases up to a write's acknowledgement: those of its proxy's host, then ``write``."""
    if episode.plan is None:
        return ()
    back = normal_from(history, write.via, episode, since=t0) if write.via else None
    # a sample is up to an interval late, so the write may have been acknowledged before it
    normal = min(back.t, write.done) if back else write.done
    return (*split(episode, t0, normal), ("write", (write.done - normal) / NS))


def split(episode: Episode, t0: int, normal: int) -> tuple[tuple[str, float], ...]:
    """The time from ``t0`` to ``normal`` (ns) as (phase, seconds)."""
    phases, reached = [], t0
    for name, end in _ends(episode):
        stop = max(reached, min(end, normal))
        phases.append((name, (stop - reached) / NS))
        reached = stop
    phases.append(("reconnect", (normal - reached) / NS))
    return tuple(phases)


def _ends(episode: Episode) -> list[tuple[str, int]]:
    """When each phase but the last was over, in ns; phases whose step was never done are not there.

    Of several runs of a procedure the first that did a step counts: later ones find it done.
    """
    steps = [s for p in episode.plans for s in p.steps]
    begun = [s.invoked for s in steps if s.id != "preflight"]
    ends = [("detect", min(begun))] if begun else []
    for name, step in _STEPS.items():
        done = [t for p in episode.plans if (t := p.step_ok(step)) is not None]
        if done:
            ends.append((name, min(done)))
    return ends
