"""Names by the C library, for hosts where it asks nscd, its own caching daemon, before DNS.

nscd answers programs that call ``getaddrinfo``, over a socket of its own, and no DNS questions. So
where that socket is, a component finds addresses as such a program does.
"""

from __future__ import annotations

import asyncio
import os
import socket

_SOCKET = "/var/run/nscd/socket"  # as glibc has it
_NO_SUCH = (socket.EAI_NONAME, socket.EAI_NODATA)


def has_a_cache() -> bool:
    """Whether nscd serves this host."""
    return os.path.exists(_SOCKET)


async def addresses(name: str) -> list[str]:
    """IPv4 addresses of a name, in the order they were given; each once, empty: no such name.

    :raises OSError: nobody could be asked, with the library's text
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH:
            return []
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
