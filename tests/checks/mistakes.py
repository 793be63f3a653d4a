"""Components with one mistake each, to be put in the place of shipped ones in a deployment."""

from __future__ import annotations

import asyncio
import copy

from drharness.components import wire
from drharness.components.cache import Cache
from drharness.components.csproxy import CsProxy, Upstream
from drharness.components.environment import Environment
from drharness.components.messages import AllRead, AnyBody, ChangeConfig, Changed, Event, Read
from drharness.dbms import settings
from drharness.dbms.place import HOME, Place

BEHIND_S = 0.05


async def eager_proxy(env: Environment) -> None:
    """Run a proxy that writes behind: it says ok, and asks the master afterwards."""
    await _EagerProxy(env).run()


class _EagerProxy(CsProxy):
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


async def late_proxy(env: Environment) -> None:
    """Run a proxy that says how far the log is at once, and shows the change a moment later."""
    await _altered(env, _LateUpstream)


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


async def merging_proxy(env: Environment) -> None:
    """Run a proxy that, when it reads everything again, keeps what is no longer there."""
    await _altered(env, _MergingUpstream)


class _MergingUpstream(Upstream):
    def _swap(self, read: AllRead, session: str) -> None:
        kept = self.cache.objects
        super()._swap(read, session)
        self.cache.objects = kept | self.cache.objects


async def wavering_proxy(env: Environment) -> None:
    """Run a proxy that answers every other read from a copy of its data that it made before."""
    proxy = _WaveringProxy(env)
    await proxy.run()


class _WaveringProxy(CsProxy):
    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._reads = 0
        self._old = Cache()

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
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


async def _altered(env: Environment, upstream: type[Upstream]) -> None:
    """Run a proxy whose side towards the master is another one."""
    proxy = CsProxy(env)
    proxy.upstream.__class__ = upstream
    await proxy.run()


async def execute(*, sql: str, timeout: float = 5.0) -> None:
    """Run statements as superuser in the database of this VM."""
    async with Place(HOME).session(settings.SUPERUSER, timeout) as session:
        await session.fetch(sql, limit=timeout)
