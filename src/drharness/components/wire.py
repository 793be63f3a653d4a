"""Making links: connect, accept, and keep one up for ever. The only module that touches sockets.

Components import everything about links from here; the link itself is in ``link``.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from drharness.components.environment import Environment, NameNotFound
from drharness.components.link import (
    MAX_LINE,
    Handler,
    Link,
    LinkLost,
    Log,
    Quiet,
    Refused,
    encode_note,
    unsupported,
)
from drharness.topology.profile import MIN_CONNECT_S

__all__ = [
    "MAX_LINE",
    "Handler",
    "Link",
    "LinkLost",
    "Peer",
    "Quiet",
    "Refused",
    "connect",
    "dial",
    "encode_note",
    "is_address",
    "serve",
    "unsupported",
]


async def connect(
    address: str,
    port: int,
    handler: Handler,
    *,
    log: Log,
    timeout: float,
    max_line: int = MAX_LINE,
) -> Link:
    """Connect to an IPv4 address.

    :raises OSError: refused, unreachable, or (``TimeoutError``) no answer within ``timeout`` s
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        _, link = await loop.create_connection(
            lambda: Link(handler, log, max_line=max_line), address, port
        )
    return link


def is_address(host: str) -> bool:
    """Whether ``host`` is an IPv4 address rather than a name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


async def dial(
    env: Environment, host: str, port: int, handler: Handler, *, patience: float | None = None
) -> Link:
    """Resolve ``host`` now, connect to its first address, say hello, start the keep-alive.

    :param patience: seconds for the connection; default: that of somebody with another host to try
    :raises NameNotFound: the name cannot be resolved
    :raises OSError: refused, unreachable or no answer in time
    """
    profile = env.profile
    if is_address(host):
        address = host
    else:
        async with asyncio.timeout(max(profile.addp_timeout, MIN_CONNECT_S)):
            address = (await env.resolve(host))[0]
    if patience is None:
        patience = profile.patience
    link = await connect(address, port, handler, log=env.log, timeout=patience)
    link.hello(env.component, remote_timeout=profile.addp_remote_timeout)
    link.keep_alive(profile.addp_timeout)
    return link


async def serve(env: Environment, port: int, handler: Handler, *, address: str) -> asyncio.Server:
    """Accept links on ``address`` and ``port``.

    :raises OSError: the port is taken
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Link(handler, env.log), address, port, start_serving=False
    )
    try:
        await server.start_serving()
    except asyncio.CancelledError:
        server.close()
        raise
    return server


class Peer:
    """Keeps one outgoing link up, for ever: tries each host in turn, resolving it again each time.

    It pauses ``profile.retry`` s after each round over all hosts, not after each attempt: a host
    that answers "not me" costs no pause before the other one is asked, which the bound on the time
    to reconnect needs.

    :ivar link: the link that is logged in, or None
    :ivar why: why there is none
    """

    def __init__(
        self,
        env: Environment,
        what: str,
        hosts: Sequence[str],
        port: int,
        *,
        handler: Handler,
        login: Callable[[Link], Awaitable[None]],
    ) -> None:
        self._env, self._what, self._hosts, self._port = env, what, tuple(hosts), port
        self._handler, self._login = handler, login
        self._said: dict[str, str] = {}
        self.link: Link | None = None
        self.why = "never connected"

    async def run(self) -> None:
        """Connect, log in, wait for the end, and again; ends only by cancellation."""
        while True:
            for host in self._hosts:
                await self._stay(host)
            await asyncio.sleep(self._env.profile.retry)

    async def _stay(self, host: str) -> None:
        where = f"[{self._what}] at host {host} port {self._port}"
        link: Link | None = None
        try:
            link = await dial(self._env, host, self._port, self._handler)
            await self._login(link)
            self.link = link
            self._said.clear()
            self._env.log(f"00-04503 Connected to {where} ({link.remote})")
            reason = self.why = await link.ended
            self._env.log(f"00-04504 Connection to {where} lost: {reason}")
        except (OSError, NameNotFound, Refused) as error:
            self._say(where, f"{type(error).__name__}: {error}")
        finally:
            self.link = None
            if link is not None:
                link.close()

    def _say(self, where: str, reason: str) -> None:
        if self._said.get(where) != reason:
            self._said[where] = reason
            self._env.log(f"cannot connect to {where}: {reason}")
