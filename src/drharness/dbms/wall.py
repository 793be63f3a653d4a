"""What time a database thinks it is."""

from __future__ import annotations

from drharness.dbms import settings
from drharness.dbms.place import HOME, Place
from drharness.kernel import clock

_LIMIT_S = 5.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"


async def ahead(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, float]:
    """How far the server's wall clock is ahead of this host's, in seconds (negative: behind).

    :return: ``{"ahead", "within"}``: the answer's travel makes it uncertain by ``within`` seconds
    """
    async with Place(home).session(settings.OBSERVER, timeout) as session:
        earliest = clock.wall().timestamp()
        rows = await session.fetch(_NOW, limit=timeout)
        latest = clock.wall().timestamp()
    middle = (earliest + latest) / 2
    return {"ahead": rows[0]["now"] - middle, "within": (latest - earliest) / 2}
