"""Wrong answers on purpose: what an authoritative server says while it misbehaves. Pure.

Questions that cannot be read at all get what they always get; only answers are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from drharness.dns import codec
from drharness.dns.zone import Zone
from drharness.kernel import validate

HOW = ("nxdomain", "servfail", "slow", "stale", "truncated", "truncated-no-tcp")
SLOWEST_S = 60.0


@dataclass(frozen=True)
class Misbehaviour:
    """How a server's answers are wrong.

    :ivar how: ``servfail``; ``nxdomain``: it denies every name; ``truncated``: TC and no records
        over UDP, the truth over TCP; ``truncated-no-tcp``: nothing over TCP; ``slow``: the truth,
        late; ``stale``: what was so when it began
    :ivar seconds: how late the answers of ``slow`` are
    :ivar zone: the zone that ``stale`` goes on with
    """

    how: str
    seconds: float
    zone: Zone

    def answer(self, zone: Zone, query: codec.Query, *, over: str, limit: int) -> bytes | None:
        """The reply to a query for ``zone``; None: there is none.

        :param over: ``udp`` or ``tcp``
        """
        if self.how == "servfail":
            return codec.failure(query, codec.SERVFAIL)
        if self.how == "nxdomain":
            return codec.denial(zone, query, limit=limit)
        if self.how.startswith("truncated"):
            if over == "udp":
                return codec.truncated(query)
            if self.how != "truncated":
                return None
        return codec.answer(self.zone if self.how == "stale" else zone, query, limit=limit)

    @property
    def delay(self) -> float:
        """Seconds until an answer is sent."""
        return self.seconds if self.how == "slow" else 0.0

    def as_table(self) -> dict[str, object]:
        """As the control socket tells it."""
        return {"how": self.how, "seconds": self.delay}


def misbehaviour(how: str, seconds: float, zone: Zone) -> Misbehaviour:
    """One that begins now.

    :param zone: what is served now
    :raises UsageError: no such way, or ``slow`` without a time
    """
    validate.choice("how", how, HOW)
    if how == "slow":
        validate.number("seconds", seconds, low=0.01, high=SLOWEST_S)
    return Misbehaviour(how, float(seconds), zone)
