"""Questions to components from inside their VM: what ``vm.call`` runs.

Each function opens a link to a port on the loopback, asks once and returns plain values.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from drharness.components import wire
from drharness.components.messages import AnyBody, Error
from drharness.kernel.waiting import wait_until
from drharness.topology import addresses

LOOPBACK = "127.0.0.1"
MAX_DUMP = 256 * 1024 * 1024  # bytes: a dump is one line


async def ask(
    port: int, message: dict[str, Any], host: str = LOOPBACK, timeout: float = 5.0
) -> dict[str, Any]:
    """Send one request and return its answer, an ``Error`` included, as a dict with its tag ``t``.

    :param message: a body of docs/protocol.md, ``{"t": "SetMode", "name": .., "mode": ..}``
    :param timeout: seconds, for the connection and for the answer
    :raises msgspec.ValidationError: no such message
    :raises OSError: no connection, connection lost, or (``TimeoutError``) no answer in time
    """
    body = msgspec.convert(message, AnyBody)
    said: list[str] = []
    link = await wire.connect(
        host, port, wire.Quiet(), log=said.append, timeout=timeout, max_line=MAX_DUMP
    )
    try:
        link.hello("client", remote_timeout=0.0)
        answer = await link.request(body, object, timeout=timeout)
    except wire.Refused as refused:
        answer = refused.error
    finally:
        link.close()
    values: dict[str, Any] = msgspec.to_builtins(answer)
    return values


async def _values(port: int, message: dict[str, Any], host: str, timeout: float) -> dict[str, Any]:
    answer = await ask(port, message, host, timeout)
    if answer["t"] == "Error":
        raise wire.Refused(msgspec.convert(answer, Error))
    values: dict[str, Any] = answer["values"]
    return values


async def lca_status(host: str = LOOPBACK, timeout: float = 5.0) -> dict[str, Any]:
    """The agent's view: ``{"vm": .., "apps": {name: {"status", "mode", "role", "pid", ..}}}``."""
    return await _values(addresses.LCA_PORT, {"t": "GetStatus"}, host, timeout)


async def set_mode(
    name: str, mode: str, host: str = LOOPBACK, timeout: float = 10.0
) -> dict[str, Any]:
    """Make ``name`` (``configserver``, ``csproxy``) ``primary`` or ``backup`` through the agent.

    :return: the application's entry; ``changed`` is false if it was not there to be told (the mode
        is remembered)
    :raises wire.Refused: no such application on this VM
    """
    message = {"t": "SetMode", "name": name, "mode": mode}
    return await _values(addresses.LCA_PORT, message, host, timeout)


def wait_proxy(*, vm: str, timeout: float) -> None:
    """In an Application VM: wait until its proxy is in normal mode.

    :param vm: its id, for the error
    :raises WaitTimeout: with the mode it said last
    """
    what = f"{vm}.csproxy is in normal mode"
    _wait_field(what, addresses.MANAGEMENT_PORT, "mode", "normal", timeout=timeout)


def open_application(*, vm: str, timeout: float) -> None:
    """In an Application VM: start its application, and wait until that uses a proxy.

    :param vm: its id, for the error
    :raises WaitTimeout: it is not there, or uses none yet
    """
    asyncio.run(start_component("application", timeout=timeout))
    what = f"{vm}.application connected to its proxy"
    _wait_field(what, addresses.APPLICATION_PORT, "via", "", timeout=timeout)


def _wait_field(what: str, port: int, field: str, wanted: str, *, timeout: float) -> None:
    """Until a component's status has a value (or any, if ``wanted`` is empty)."""
    last = ""

    def probe() -> bool:
        nonlocal last
        last = asyncio.run(component_status(port, timeout=1.0))[field]
        return last == wanted if wanted else bool(last)

    wait_until(
        probe,
        what,
        timeout=timeout,
        retry_on=(OSError, wire.Refused, wire.LinkLost),
        describe=lambda: f"{field}={last!r}",
    )


async def start_component(name: str, host: str = LOOPBACK, timeout: float = 10.0) -> dict[str, Any]:
    """Have the agent start a stopped component; returns its entry at once."""
    message = {"t": "StartApplication", "name": name}
    return await _values(addresses.LCA_PORT, message, host, timeout)


async def stop_component(name: str, host: str = LOOPBACK, timeout: float = 10.0) -> dict[str, Any]:
    """Have the agent stop a component and keep it stopped; returns when it has ended."""
    message = {"t": "StopApplication", "name": name}
    return await _values(addresses.LCA_PORT, message, host, timeout)


async def component_status(
    port: int = addresses.MANAGEMENT_PORT, host: str = LOOPBACK, timeout: float = 5.0
) -> dict[str, Any]:
    """Status of the component behind a port: role, mode, epoch, seq and more (docs/protocol.md)."""
    return await _values(port, {"t": "GetStatus"}, host, timeout)


async def proxy_dump(host: str = LOOPBACK, timeout: float = 10.0) -> dict[str, Any]:
    """All a proxy (or a Configuration Server) serves: ``objects``, ``epoch``, ``seq``, ``mode``."""
    return await _values(addresses.MANAGEMENT_PORT, {"t": "Dump"}, host, timeout)


async def start_traffic(
    writes_per_s: float,
    reads_per_write: int = 2,
    workers: int = 4,
    opening: int = 0,
    run: str = "",
    host: str = LOOPBACK,
    timeout: float = 5.0,
) -> dict[str, Any]:
    """Start the VM's application's workload.

    :raises wire.Refused: traffic runs already, or a value is out of range
    """
    message = {
        "t": "StartTraffic",
        "writes_per_s": writes_per_s,
        "reads_per_write": reads_per_write,
        "workers": workers,
        "opening": opening,
        "run": run,
    }
    return await _values(addresses.APPLICATION_PORT, message, host, timeout)


async def stop_traffic(host: str = LOOPBACK, timeout: float = 60.0) -> dict[str, Any]:
    """Stop it and wait for what is under way: ``counters`` (this traffic), ``total``, ``id``."""
    return await _values(addresses.APPLICATION_PORT, {"t": "StopTraffic"}, host, timeout)


async def canary(
    key: str, val: Any, deadline: float = 0.0, host: str = LOOPBACK, timeout: float = 60.0
) -> dict[str, Any]:
    """Write an object through the application's proxy and read it back.

    :param deadline: seconds for each operation, 0 for the profile's
    :return: ``{"ok": bool, "write": {..}, "read": {..} or None}``; ok: both were, and val came back
    """
    op = {"t": "Op", "f": "write", "key": key, "val": val, "deadline": deadline}
    write = await _values(addresses.APPLICATION_PORT, op, host, timeout)
    if write["type"] != "ok":
        return {"ok": False, "write": write, "read": None}
    op = {"t": "Op", "f": "read", "key": key, "deadline": deadline}
    read = await _values(addresses.APPLICATION_PORT, op, host, timeout)
    return {"ok": read["type"] == "ok" and read["val"] == val, "write": write, "read": read}
