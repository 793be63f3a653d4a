"""What one look around inside a VM sees: who it reaches, who it is connected to, what names mean.

Called by name in every VM at once (see ``census``); one process for all of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drharness.dbms import audit
from drharness.dns import stub
from drharness.engines.agent import reach
from drharness.errors import DrHarnessError, WaitTimeout
from drharness.kernel.waiting import wait_until

_ESTABLISHED, _LISTENING = "01", "0A"
_NAMES_S = 1.0  # a resolver whose server is silent answers after its own tries

Socket = tuple[str, str, str]
"""(local "address:port", remote "address:port", inode) of an established connection."""


async def look(
    *,
    targets: Sequence[Sequence[Any]] = (),
    names: Sequence[str] = (),
    source: str = "",
    server: str = "",
    edges: bool = False,
    database: bool = False,
    timeout: float = 0.3,
) -> dict[str, Any]:
    """Everything a census asks of one VM.

    :param targets: (address, port) pairs to open a connection to
    :param names: host names to look up in ``source``: ``hosts`` (this VM's file), else at
        ``server``
    :param edges: also tell the connections there were before (the kernel takes 4 ms for its table)
    :param database: also audit the database of this VM
    :param timeout: seconds for a connection, or for the database to answer
    :returns: ``reach`` (a result per target), ``edges`` as [local, remote, process id, its title],
        ``dns`` (name to ``addresses`` and ``ttl``), ``audit`` (None: not asked, or the database
        does not answer)
    """
    found = sorted(connections()) if edges else []
    owners = _owners() if found else {}
    reached, named, audited = await asyncio.gather(
        reach.probe(targets, timeout),
        _names(names, source, server),
        _audited(timeout=4 * timeout) if database else _nothing(),
    )
    held = [[local, remote, *owners.get(inode, (0, ""))] for local, remote, inode in found]
    return {"reach": reached, "edges": held, "dns": named, "audit": audited}


async def _nothing() -> None:
    """What a VM without a database says of it."""


async def _audited(*, timeout: float) -> dict[str, Any] | None:
    try:
        return await audit.audit(timeout=timeout)
    except DrHarnessError:
        return None


async def _names(names: Sequence[str], source: str, server: str) -> dict[str, Any]:
    if source == "hosts":
        content = Path("/etc/hosts").read_text()
        return {n: {"addresses": stub.from_hosts(content, n), "ttl": None} for n in names}
    asked: list[Awaitable[dict[str, Any]]] = [
        stub.lookup(n, server, timeout=_NAMES_S, tries=1) for n in names
    ]
    said = await asyncio.gather(*asked)
    return {n: {k: a[k] for k in ("addresses", "ttl")} for n, a in zip(names, said, strict=True)}


def connections(table: str = "") -> set[Socket]:
    """This VM's own end of its established connections to other VMs, by the kernel's table.

    Those that others opened to it are left out (their local port is one that listens), but on the
    database's port, where they are what a census is after.

    :param table: text of a ``/proc/net/tcp``; default: the VM's
    """
    rows = [line.split() for line in (table or _read("/proc/net/tcp")).splitlines()[1:]]
    listening = {_place(row[1])[1] for row in rows if row[3] == _LISTENING}
    out = set()
    for row in rows:
        local, remote = _place(row[1]), _place(row[2])
        inbound = local[1] in listening and local[1] != audit.PORT
        if row[3] == _ESTABLISHED and not inbound and not remote[0].startswith("127."):
            out.add((f"{local[0]}:{local[1]}", f"{remote[0]}:{remote[1]}", row[9]))
    return out


def listens(port: int) -> bool:
    """Whether something in this VM accepts connections at a port."""
    rows = [line.split() for line in _read("/proc/net/tcp").splitlines()[1:]]
    return any(row[3] == _LISTENING and _place(row[1])[1] == port for row in rows)


def wait_listening(*, port: int, timeout: float) -> bool:
    """Wait until something listens at a port; False: nothing did in time."""
    try:
        return wait_until(
            lambda: listens(port), f"somebody at port {port}", timeout=timeout, interval=0.005
        )
    except WaitTimeout:
        return False


def _place(text: str) -> tuple[str, int]:
    """``0A03510A:1538`` (a number in the host's byte order) as address and port."""
    address, _, port = text.partition(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)


def _owners() -> Mapping[str, tuple[int, str]]:
    """Inode of a socket to its process: id and title, empty for those forked from PID 1."""
    out: dict[str, tuple[int, str]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            title = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        except OSError:  # it has ended meanwhile
            continue
        for link in links:
            found = re.fullmatch(r"socket:\[(\d+)\]", link)
            if found:
                out[found[1]] = (int(pid), title if title.startswith("postgres:") else "")
    return out


def _read(path: str) -> str:
    with open(path, errors="replace") as handle:
        return handle.read()
