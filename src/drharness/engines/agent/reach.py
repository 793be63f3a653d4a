"""Can one reach the other? TCP probes from inside a VM, for new and for established connections."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from collections.abc import Sequence
from typing import Any

from drharness.engines.local.netlink import Netlink

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL answers one byte, whatever its mood
_GATE = "/run/drharness/gate"
_LOOPBACK = 1  # its index; the kernel answers for its addresses on every interface
_SILENT = errno.ETIMEDOUT
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


def _result_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        return "reset"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "unreachable"
    return f"error: {error}"


async def _connect(host: str, port: int, timeout: float, source: str = "") -> str:
    """What became of a new connection; by the kernel's word, however late this process is to ask.

    On a busy machine the time may be over before a process that waited for an answer runs again,
    and the answer be there for long.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as link:
        link.setblocking(False)
        try:
            if source:
                link.bind((source, 0))
            code = link.connect_ex((host, port))
            if code == errno.EINPROGRESS:
                await _answered(link, timeout)
                there = select.select([], [link], [], 0)[1]
                code = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if there else _SILENT
        except OSError as error:
            return _result_of(error)
    return _result_of(OSError(code, os.strerror(code))) if code else "ok"


async def _answered(link: socket.socket, timeout: float) -> None:
    """Wait until a connection was made or refused, at most that long."""
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(link, answered.set)
    try:
        async with asyncio.timeout(timeout):
            await answered.wait()
    except TimeoutError:
        pass  # the caller looks once more
    finally:
        loop.remove_writer(link)


async def probe(targets: Sequence[Sequence[Any]], timeout: float = 0.5) -> list[str]:
    """Open a new TCP connection to each target at once.

    :param targets: (address, port) pairs
    :param timeout: seconds without any answer before it is a ``timeout``
    :return: per target ``ok``, ``refused``, ``reset``, ``unreachable`` or ``timeout``
    """
    return list(await asyncio.gather(*(_connect(h, int(p), timeout) for h, p in targets)))


async def probe_as(
    source: str, targets: Sequence[Sequence[Any]], timeout: float = 0.5
) -> list[str]:
    """As :func:`probe`, from an address that this VM has only meanwhile.

    A firewall's rule for a subnet whose VMs are powered off can so be tried from a VM that is on.

    :param source: a free address of this VM's layer-2 network
    """
    with Netlink() as netlink:
        netlink.add_address(_LOOPBACK, source, 32)
        netlink.flush()
        try:
            return list(
                await asyncio.gather(*(_connect(h, int(p), timeout, source) for h, p in targets))
            )
        finally:
            netlink.remove_address(_LOOPBACK, source, 32)
            netlink.flush()


async def probe_established(host: str, port: int, timeout: float = 0.5, wait: float = 10.0) -> str:
    """Open a connection to a PostgreSQL server, wait for the gate file, then use the connection.

    :param wait: seconds the gate may take; it is made by :func:`open_gate`
    :return: as :func:`probe`, for the established connection
    """
    reader, writer = await asyncio.open_connection(host, port)
    loop = asyncio.get_running_loop()
    with open(_GATE + ".waiting", "w"):
        pass
    end = loop.time() + wait
    while not os.path.exists(_GATE):
        if loop.time() > end:
            raise TimeoutError(f"nobody opened the gate within {wait:.0f} s")
        await asyncio.sleep(0.01)
    writer.write(_SSL_REQUEST)
    try:
        async with asyncio.timeout(timeout):
            await reader.readexactly(1)
    except (OSError, EOFError) as error:
        return _result_of(error)
    finally:
        writer.close()
        os.unlink(_GATE)
        os.unlink(_GATE + ".waiting")
    return "ok"


def open_gate() -> bool:
    """Let a waiting :func:`probe_established` go on. False: none waits yet."""
    if not os.path.exists(_GATE + ".waiting"):
        return False
    with open(_GATE, "w"):
        pass
    return True
