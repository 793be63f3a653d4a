"""Timing of a deployment: ``fast`` for tests, ``guide`` for the products' own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIN_CONNECT_S = 0.25  # a handshake is answered by the kernel, so a live host needs no longer


@dataclass(frozen=True)
class Profile:
    """All durations in seconds, all rates per second.

    :ivar ttl: TTL of both Framework names
    :ivar addp_timeout: keep-alive: poll after this much silence, lost after the same again
    :ivar addp_remote_timeout: the value a client asks the server to use
    :ivar retry: pause between two attempts to reconnect
    :ivar alive_timeout: how long a Solution Control Server waits for a silent peer
    :ivar sampling: interval of role and database samples
    :ivar eps: slack for a judgement about an instant
    :ivar d: bound for agreement of management components
    :ivar d_rep: bound for a change to reach the standby
    :ivar rto_bound: bound of a full failover
    :ivar writes_per_s: traffic over all living regions
    :ivar reads_per_write: reads beside each write
    :ivar op_deadline: a client gives an operation up after this long: its outcome is unknown
    :ivar min_acked: acknowledged writes that must precede a fault
    :ivar name_cache: components keep a name's address themselves, whatever its TTL and whoever
        flushes: as a JVM does, whose ``networkaddress.cache.ttl`` it is. 0: not at all, -1: until
        the component is started again
    :ivar name_cache_negative: the same of a look-up that failed, in whatever way
        (``networkaddress.cache.negative.ttl``)
    """

    name: str
    ttl: int
    addp_timeout: float
    addp_remote_timeout: float
    retry: float
    alive_timeout: float
    sampling: float
    eps: float
    d: float
    d_rep: float
    rto_bound: float
    writes_per_s: float
    reads_per_write: int
    op_deadline: float
    min_acked: int
    name_cache: int = 0
    name_cache_negative: int = 0

    @property
    def patience(self) -> float:
        """For a connection to be made, of somebody who has another host to try."""
        return max(self.retry, MIN_CONNECT_S)


FAST = Profile(
    name="fast",
    ttl=1,
    addp_timeout=1.0,  # floor: on a busy machine a process is kept waiting for hundreds of ms
    addp_remote_timeout=1.0,
    retry=0.25,
    alive_timeout=3.0,
    sampling=0.1,
    eps=0.5,
    d=3.0,
    d_rep=1.0,
    rto_bound=8.0,
    writes_per_s=50.0,
    reads_per_write=2,
    op_deadline=2.0,
    min_acked=20,
)
GUIDE = Profile(
    name="guide",
    ttl=30,
    addp_timeout=9.0,
    addp_remote_timeout=11.0,
    retry=10.0,
    alive_timeout=30.0,
    sampling=1.0,
    eps=2.0,
    d=30.0,
    d_rep=10.0,
    rto_bound=120.0,
    writes_per_s=10.0,
    reads_per_write=2,
    op_deadline=20.0,
    min_acked=20,
)
PROFILES = {"fast": FAST, "guide": GUIDE}

# What a topology may set itself: the least and the greatest value; integers for counts.
_S = (0.05, 3600.0)
TUNABLE: Mapping[str, tuple[float, float]] = {
    "addp_timeout": _S,
    "addp_remote_timeout": _S,
    "retry": (0.01, 3600.0),
    "alive_timeout": _S,
    "sampling": (0.01, 60.0),
    "eps": (0.01, 3600.0),
    "d": _S,
    "d_rep": _S,
    "rto_bound": (0.1, 86400.0),
    "writes_per_s": (0.1, 2000.0),
    "reads_per_write": (0, 1000),
    "op_deadline": _S,
    "min_acked": (0, 10000),
    "name_cache": (-1, 86400),
    "name_cache_negative": (-1, 86400),
}
