"""Whom a standby follows: an edit of its configuration file, in force without a restart.

The file and not ``ALTER SYSTEM``: what a fault sets for a while overrules the file only.
"""

from __future__ import annotations

import os
import re
from typing import Any

from drharness.dbms import settings
from drharness.dbms.place import HOME, Place, setting
from drharness.dbms.promotion import switch_lsn
from drharness.dbms.session import until
from drharness.errors import UsageError

_LIMIT_S = 5.0
_CONF = "data/postgresql.conf"
_TIMELINE = """SELECT ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))
    ::bit(64)::bigint AS tli"""


async def follow(
    *, address: str, slot: str = "", home: str = HOME, timeout: float = _LIMIT_S
) -> dict[str, str]:
    """On a standby: receive from another server from now on; doing it again changes nothing.

    :param address: IPv4 address of that server
    :param slot: region whose slot there to use; empty: none, as on a server that is a standby too
    :returns: ``was`` and ``is``: the address before, and the one in the file now
    :raises UsageError: the configuration file names no upstream
    :raises WaitTimeout: the running server has not taken the file's values
    """
    place = Place(home)
    conf = (place.data / "postgresql.conf").read_text(encoding="utf-8")
    line = re.search(r"^primary_conninfo = '(.*)'$", conf, re.MULTILINE)
    was = re.search(r"(?<=\bhost=)\S+", line[1]) if line else None
    if line is None or was is None:
        raise UsageError(f"{place.data}/postgresql.conf: expected a host in primary_conninfo.")
    upstream = line[1].replace(f"host={was[0]}", f"host={address}", 1)
    name = settings.slot_name(slot)
    fresh = conf.replace(line[0], f"primary_conninfo = '{upstream}'")
    fresh = re.sub(r"^primary_slot_name = .*$", f"primary_slot_name = '{name}'", fresh, flags=re.M)
    place.write(f"{_CONF}.new", fresh)
    os.replace(f"{home}/{_CONF}.new", f"{home}/{_CONF}")
    async with place.session(settings.SUPERUSER, timeout) as session:
        await session.fetch("SELECT pg_reload_conf()", limit=timeout)

        async def in_force() -> bool:
            return await setting(session, "primary_slot_name", timeout) == name and (
                f"host={address} " in f"{await setting(session, 'primary_conninfo', timeout)} "
            )

        await until(in_force, f"{address} as the server to receive from", timeout=timeout)
    return {"was": was[0], "is": address}


async def forked(*, home: str = HOME, timeout: float = _LIMIT_S) -> dict[str, Any]:
    """On a promoted server: ``tli`` of its timeline, and the ``lsn`` at which that began."""
    place = Place(home)
    async with place.session(settings.SUPERUSER, timeout) as session:
        tli = int((await session.fetch(_TIMELINE, limit=timeout))[0]["tli"])
    return {"tli": tli, "lsn": switch_lsn(place, tli)}
