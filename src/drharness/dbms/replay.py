"""Whether a standby has applied all that it can."""

from __future__ import annotations

from typing import Any

from drharness.dbms import settings
from drharness.dbms.place import HOME, Place
from drharness.dbms.session import until

# What the startup process waits for when it wants more WAL; a conflict, a pause or a delay has
# another name.
_AT_THE_END = ("RecoveryWalStream", "RecoveryRetrieveRetryInterval")
_LOOK = """SELECT wait_event AS waits, pg_last_wal_replay_lsn()::text AS replay,
    pg_last_wal_receive_lsn()::text AS recv
    FROM pg_stat_activity WHERE backend_type = 'startup'"""


async def out_of_wal(*, home: str = HOME, timeout: float = 5.0) -> bool:
    """On a standby: whether it has applied every whole record that it received, and waits for more.

    A primary writes WAL by pages. When it dies, the last record received may be half of one: then
    what was replayed stays behind what was received for ever, and nothing is missing.
    """
    looks: list[dict[str, Any]] = []

    async with Place(home).session(settings.SUPERUSER, timeout) as session:

        async def looked_twice() -> bool:
            looks.extend(await session.fetch(_LOOK, limit=timeout))
            return len(looks) > 1 or not looks

        await until(looked_twice, "replay looked at twice", timeout=timeout, interval=0.05)
    return (
        len(looks) > 1
        and all(look["waits"] in _AT_THE_END for look in looks)
        and looks[0]["replay"] == looks[-1]["replay"]
        and looks[0]["recv"] == looks[-1]["recv"]
    )
