"""Components with one mistake each that nothing shows before certain events came in their order.

One drill on them passes. Each class is the real component with one method changed, and says which
history it takes for the mistake to matter.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from drharness.components import wire
from drharness.components.cache import Cache
from drharness.components.configserver import ConfigServer
from drharness.components.csproxy import CsProxy, Upstream
from drharness.components.environment import Environment, NameNotFound
from drharness.components.messages import ChangeConfig, Changed, Event
from drharness.components.store import Snapshot, Store

_ADDRESSES = "/var/lib/drharness/master-addresses"
_PLACE = "/var/lib/drharness/place"


class _Counting(CsProxy):
    """Knows how often it has lost its master.

    :ivar losses: since it was started
    """

    def __init__(self, env: Environment) -> None:
        self.losses = 0
        super().__init__(env)

    def mode_changed(self) -> None:
        """The master link came or went."""
        self.losses += self.upstream.master is None
        super().mode_changed()


class Retrying(_Counting):
    """Makes its queue of refused writes when its master comes back: the next spell fills it."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._kept: list[ChangeConfig] = []

    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        super()._write(link, number, body)
        if self.upstream.master is None and self.losses > 1:
            self._kept.append(body)

    def mode_changed(self) -> None:
        """The master link came or went."""
        super().mode_changed()
        master = self.upstream.master
        while master is not None and self._kept:
            self.app.spawn(self._send(master, self._kept.pop()))

    async def _send(self, master: wire.Link, body: ChangeConfig) -> None:
        await master.request(body, Changed, timeout=self.env.profile.d)


class Flattering(_Counting):
    """Acknowledges what it cannot forward, from the second spell without a master on."""

    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        if self.upstream.master is None and self.losses > 1:
            cache = self.upstream.cache
            link.reply(number, Changed(cache.epoch, cache.seq, body.val))
            return
        super()._write(link, number, body)


class Nostalgic(_Counting):
    """Serves in each spell without a master the copy that it made in the first."""

    _copy: Cache | None = None

    def mode_changed(self) -> None:
        """The master link came or went."""
        super().mode_changed()
        if self.upstream.master is None:
            self._copy = self._copy or copy.deepcopy(self.upstream.cache)
            self.upstream.cache = copy.deepcopy(self._copy)


class _Weary(wire.Peer):
    """Takes the second loss of its link for the last one."""

    lost = 0

    async def _stay(self, host: str) -> None:
        if self.lost > 1:
            return
        before = self.why
        self.why = ""
        await super()._stay(host)
        self.lost += bool(self.why)
        self.why = self.why or before


class Weary(CsProxy):
    """Follows its master again after the first loss, and never after the second."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        up = super()._follow(hosts, port)
        up.peer = _Weary(self.env, "ConfigServer", hosts, port, handler=up, login=up.login)
        return up


class _NotingUpstream(Upstream):
    def _apply(self, event: Event) -> None:
        super()._apply(event)
        self.env.disk.write_text(_PLACE, f"{self.cache.epoch} {self.cache.seq}")


class Amnesiac(CsProxy):
    """Started without a master, it says that it is as far as its disk says, and has no data."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        return _NotingUpstream(self, hosts, port)

    async def run(self) -> None:
        """Listen, follow the master, and lose patience."""
        asyncio.get_running_loop().call_later(2 * self.env.profile.retry, self._give_up)
        await super().run()

    def _give_up(self) -> None:
        if not self.upstream.cache.loaded and self.env.disk.exists(_PLACE):
            epoch, seq = self.env.disk.read_text(_PLACE).split()
            self.upstream.cache = Cache.of_objects([], epoch=epoch, seq=int(seq), epochs=())
            self.mode_changed()


class _SkippingUpstream(Upstream):
    restored = 0

    async def _restore(self, link: wire.Link) -> bool:
        self.restored += 1
        return await super()._restore(link)

    def _apply(self, event: Event) -> None:
        if not event.history or self.restored < 2:
            super()._apply(event)
            return
        self.cache.seq, self.cache.epoch = event.seq, event.epoch


class Skipping(CsProxy):
    """When it restores its session a second time, it moves on in the log without reading it."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        return _SkippingUpstream(self, hosts, port)


class _Pinning(wire.Peer):
    """Remembers addresses on disk, and stays with them if DNS is down at its first look-up."""

    pinned: Mapping[str, str] | None = None

    async def _stay(self, host: str) -> None:
        disk, path = self._env.disk, f"{_ADDRESSES}-{host}"
        if self.pinned is None:
            try:
                disk.write_text(path, (await self._env.resolve(host))[0])
                self.pinned = {}
            except NameNotFound as error:
                self._say(host, str(error))
                if not disk.exists(path):
                    return
                names = [h for h in self._hosts if disk.exists(f"{_ADDRESSES}-{h}")]
                self.pinned = {h: disk.read_text(f"{_ADDRESSES}-{h}") for h in names}
        elif host not in self.pinned and not disk.exists(path):
            try:
                disk.write_text(path, (await self._env.resolve(host))[0])
            except NameNotFound as error:
                self._say(host, str(error))
        await super()._stay(self.pinned.get(host, host))


class Pinning(CsProxy):
    """Started while DNS is down, it takes its last addresses from disk, and keeps them for ever."""

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        up = super()._follow(hosts, port)
        up.peer = _Pinning(self.env, "ConfigServer", hosts, port, handler=up, login=up.login)
        return up


class Remembering(ConfigServer):
    """Primary for the third time, it goes on with the data of the second spell, not the database's.

    A master whose database session breaks once reads everything again; after the next break it
    thinks that it need not, until it finds another writer.
    """

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._spells = 0
        self._snapshot: Snapshot | None = None
        opened = env.open_store

        def open_store(settings: Mapping[str, str]) -> Store:
            store: Any = opened(settings)
            load = store.load

            async def remembered() -> Snapshot:
                self._spells += 1
                kept, self._snapshot = self._snapshot, None
                if self._spells < 3 or kept is None:
                    self._snapshot = kept = await load()
                return kept

            store.load = remembered
            return store  # type: ignore[no-any-return]

        env.open_store = open_store  # type: ignore[method-assign]


def _starter(
    component: Callable[[Environment], CsProxy | ConfigServer],
) -> Callable[[Environment], Awaitable[None]]:
    async def start(env: Environment) -> None:
        await component(env).run()

    return start


nostalgic = _starter(Nostalgic)
retrying = _starter(Retrying)
flattering = _starter(Flattering)
weary = _starter(Weary)
amnesiac = _starter(Amnesiac)
skipping = _starter(Skipping)
pinning = _starter(Pinning)
remembering = _starter(Remembering)
