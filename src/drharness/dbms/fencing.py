"""Breaking what a firewall rule leaves alone: sessions that were open before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drharness.dbms import settings
from drharness.dbms.place import HOME, Place
from drharness.dbms.session import until

_SESSIONS = """SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND usename = 'configserver'
    AND (%s::cidr[] IS NULL OR client_addr <<= ANY (%s::cidr[]))"""


async def end_sessions(
    *, subnets: Sequence[str] | None = None, home: str = HOME, timeout: float = 5.0
) -> dict[str, Any]:
    """End the sessions of all Configuration Servers and see that none is left.

    A commit that waits for its standby ends with its session; its client never hears of it.

    :param subnets: only those from these CIDRs; default: all
    :returns: ``{"ended": how many sessions}``
    :raises WaitTimeout: some are still there, or come back
    """
    ended: set[int] = set()
    wanted = None if subnets is None else list(subnets)
    async with Place(home).session(settings.SUPERUSER, timeout) as session:

        async def probe() -> bool:
            found = [
                row["pid"]
                for row in await session.fetch(_SESSIONS, [wanted, wanted], limit=timeout)
            ]
            ended.update(found)
            return not found

        await until(probe, "the sessions of Configuration Servers ended", timeout=timeout)
    return {"ended": len(ended)}
