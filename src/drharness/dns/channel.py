"""Run-time control of a DNS process: newline-delimited JSON on a unix socket in its VM.

A request is ``{"do": "<verb>", ...}``; the reply is the verb's result, or
``{"error": text, "usage": bool}``. Requests of one connection are answered in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from drharness.errors import DrHarnessError, StartupFailed, UsageError
from drharness.kernel import sockets, validate

MAX_LINE = 64 << 20

Verb = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the request without ``do``; raises UsageError or OSError for what cannot be done."""


class Channel:
    """A control socket being served."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self.verbs = verbs
        self.sessions: dict[asyncio.Transport, None] = {}
        self.server: asyncio.Server | None = None
        self.closed = False

    def close(self) -> None:
        """Stop listening and end all connections."""
        self.closed = True
        if self.server is not None:
            self.server.close()
        for transport in list(self.sessions):
            transport.abort()


class _Session(asyncio.Protocol):
    """One connection: lines in, lines out."""

    def __init__(self, owner: Channel) -> None:
        self._owner = owner
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.sessions[transport] = None
        if self._owner.closed:  # it was being accepted meanwhile
            transport.abort()

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        assert self._transport is not None
        for line in lines:
            self._transport.write(json.dumps(_answer(line, self._owner.verbs)).encode() + b"\n")
        if len(self._buffer) > MAX_LINE:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._owner.sessions.pop(self._transport, None)


async def serve(path: str, verbs: Mapping[str, Verb]) -> Channel:
    """Listen for requests; a socket file that a dead process left is replaced.

    :raises StartupFailed: the path is in use by a living process, or cannot be made
    """
    made = Channel(verbs)
    loop = asyncio.get_running_loop()
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with sockets.short(path) as name:
            if _answers(name):
                raise StartupFailed(f"DNS: another process is listening on {path}: end it first.")
            made.server = await loop.create_unix_server(lambda: _Session(made), name)
    except OSError as error:
        raise StartupFailed(f"DNS: cannot listen on {path}: {error.strerror or error}.") from error
    return made


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _answer(line: bytes, verbs: Mapping[str, Verb]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise UsageError(f"request: expected a JSON object, got {request!r}.")
        verb = validate.choice("do", request.pop("do", None), verbs)
        return verbs[verb](request)
    except (ValueError, KeyError, TypeError) as error:
        return {"error": str(error), "usage": True}
    except OSError as error:
        return {"error": str(error), "usage": False}


async def call(path: str, do: str, *, timeout: float = 5.0, **fields: Any) -> dict[str, Any]:
    """Send one request and return its result.

    :raises UsageError: the process says that the request is wrong
    :raises DrHarnessError: no process answers at ``path``, or it could not do it
    """
    try:
        async with asyncio.timeout(timeout):
            with sockets.short(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=MAX_LINE)
            try:
                writer.write(json.dumps({"do": do, **fields}).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError as error:
        raise DrHarnessError(f"{path}: no answer to {do!r} in {timeout:.1f} s") from error
    except OSError as error:
        raise DrHarnessError(f"{path}: no DNS process answers there: {error}") from error
    if not line:
        raise DrHarnessError(f"{path}: the DNS process ended before it answered {do!r}")
    result: dict[str, Any] = json.loads(line)
    if "error" in result:
        kind = UsageError if result.get("usage") else DrHarnessError
        raise kind(f"{result['error']}")
    return result
