"""Components with one mistake each, for :meth:`Topology.replace`; otherwise they are the real ones.

Each class is one mistake; the functions at the end are what a VM's agent starts.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable

from drharness.components import wire
from drharness.components.application import Application
from drharness.components.cache import Cache
from drharness.components.csproxy import CsProxy, Upstream
from drharness.components.environment import Environment, NameNotFound
from drharness.components.messages import (
    AllRead,
    AnyBody,
    ChangeConfig,
    Changed,
    Error,
    Event,
    Read,
)
from drharness.topology import addresses

BEHIND_S = 0.05


class Queueing(CsProxy):
    """Keeps the writes that it refuses in limited mode, and sends them later."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._kept: list[ChangeConfig] = []

    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        super()._write(link, number, body)
        if self.upstream.master is None:
            self._kept.append(body)

    def mode_changed(self) -> None:
        """The master link came or went."""
        super().mode_changed()
        master = self.upstream.master
        while master is not None and self._kept:
            self.app.spawn(self._send(master, self._kept.pop()))

    async def _send(self, master: wire.Link, body: ChangeConfig) -> None:
        await master.request(body, Changed, timeout=self.env.profile.d)


class Eager(CsProxy):
    """Writes behind: it says ok, and asks the master afterwards."""

    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        master, cache = self.upstream.master, self.upstream.cache
        if master is None:
            super()._write(link, number, body)
            return
        link.reply(number, Changed(cache.epoch, cache.seq + 1, body.val, 0, []))
        later = asyncio.get_running_loop().call_later
        later(BEHIND_S, lambda: self.app.spawn(self._behind(master, body)))

    async def _behind(self, master: wire.Link, body: ChangeConfig) -> None:
        await master.request(body, Changed, timeout=self.env.profile.op_deadline)


class Mute(CsProxy):
    """Refuses reads as well while it is in limited mode."""

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Serve an application, or not."""
        if isinstance(body, Read) and self.mode == "limited":
            link.reply(number, Error("unavailable", "ServerNotFound", "no master, no data"))
            return
        super().request(link, number, body)


class _LateUpstream(Upstream):
    def _apply(self, event: Event) -> None:
        before = self.cache.objects.get(event.key)
        super()._apply(event)
        made = self.cache.objects.pop(event.key)
        if before is not None:
            self.cache.objects[event.key] = before
        asyncio.get_running_loop().call_later(
            BEHIND_S, self.cache.objects.__setitem__, event.key, made
        )


class Late(CsProxy):
    """Says how far the log is at once, and shows the change a moment later."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        return _LateUpstream(self, hosts, port)


class Wavering(CsProxy):
    """Answers every other read from a copy of its data that it made before."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._reads = 0
        self._old = Cache()

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Serve an application from one of two copies."""
        self._reads += isinstance(body, Read)
        if self._reads % 50 == 1:
            self._old = copy.copy(self.upstream.cache)
            self._old.objects = dict(self._old.objects)
        if not isinstance(body, Read) or self._reads % 2:
            super().request(link, number, body)
            return
        mine, self.upstream.cache = self.upstream.cache, self._old
        try:
            super().request(link, number, body)
        finally:
            self.upstream.cache = mine


class _LookingUpOnce(wire.Peer):
    """Asks for an address once and never again."""

    async def _stay(self, host: str) -> None:
        known: dict[str, str] = self.__dict__.setdefault("known", {})
        if host not in known:
            try:
                known[host] = (await self._env.resolve(host))[0]
            except NameNotFound as error:
                self._say(host, str(error))
                return
        await super()._stay(known[host])


class Stubborn(CsProxy):
    """Looks its master's names up once, at its start, and stays with those addresses."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        up = super()._follow(hosts, port)
        up.peer = _LookingUpOnce(self.env, "ConfigServer", hosts, port, handler=up, login=up.login)
        return up


class _MergingUpstream(Upstream):
    def _swap(self, read: AllRead, session: str) -> None:
        kept = self.cache.objects
        super()._swap(read, session)
        self.cache.objects = kept | self.cache.objects


class Merging(CsProxy):
    """When it reads everything again, it keeps what is no longer there."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        return _MergingUpstream(self, hosts, port)


class Straying(Application):
    """Works through the other region's proxies."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        own = int(env.address.split(".")[1]) - 80
        hosts = [addresses.address(3 - own, "application", side) for side in ("p", "b")]
        self.peer = wire.Peer(
            env, "ConfigProxy", hosts, self.proxy_port, handler=self, login=self._login
        )


def _starter(
    component: Callable[[Environment], CsProxy | Application],
) -> Callable[[Environment], Awaitable[None]]:
    async def start(env: Environment) -> None:
        await component(env).run()

    return start


queueing = _starter(Queueing)
eager = _starter(Eager)
mute = _starter(Mute)
late = _starter(Late)
wavering = _starter(Wavering)
stubborn = _starter(Stubborn)
merging = _starter(Merging)
straying = _starter(Straying)
