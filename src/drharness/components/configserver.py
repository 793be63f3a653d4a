"""Configuration Server: a primary/backup pair in front of the Configuration Database.

The Local Control Agent says which of the pair is to be primary; a server *is* primary only while
its database session holds the writer lock. In backup mode it follows its peer and refuses clients.
"""

from __future__ import annotations

import asyncio
from typing import Any

from drharness.components import wire
from drharness.components.appbase import App
from drharness.components.cache import Cache, Gap
from drharness.components.environment import Environment
from drharness.components.master import Master, SessionOver
from drharness.components.messages import (
    AllRead,
    AnyBody,
    Error,
    Event,
    ObjectList,
    ReadAll,
    Register,
    Registered,
)
from drharness.components.options import CONF_DIR, Conf, parse
from drharness.components.store import Store, StoreError
from drharness.topology import addresses

CONF = f"{CONF_DIR}/confserv.conf"


async def main(env: Environment) -> None:
    """Run a Configuration Server until it is killed.

    :raises UsageError: bad command line or configuration file
    """
    await ConfigServer(env).run()


class ConfigServer(wire.Quiet):
    """One of the pair."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        options = parse(env.argv)
        self.path = options.file or CONF
        self.section = options.section or "confserv"
        conf = Conf.read(env.disk, self.path)
        self.port = conf.port(self.section, "port", addresses.CONFIGSERVER_PORT)
        self.management = conf.port(self.section, "management-port", addresses.MANAGEMENT_PORT)
        self.master: Master | None = None
        self._database = {"db": "", "peer": ""}
        self._said = ""
        self._mode_set = asyncio.Event()
        self.follower = Follower(env)
        self.app = App(env, options, claims=self.claims, on_mode=self._mode_set.set)

    async def run(self) -> None:
        """Listen, and be what the agent says."""
        await self.app.run(self._listen(), self._drive())

    def claims(self) -> dict[str, Any]:
        """The fields of this component's ``comp`` events."""
        if self.master is not None:
            at = self.master.cache
            return {"role": "primary", **self._database, "epoch": at.epoch, "seq": at.seq}
        role = "backup" if self.app.mode == "backup" else "none"
        at = self.follower.cache if role == "backup" else Cache()
        return {"role": role, "db": "", "peer": "", "epoch": at.epoch, "seq": at.seq}

    def status(self) -> dict[str, Any]:
        """Answer to ``GetStatus``."""
        clients = [] if self.master is None else [c.name for c in self.master.clients.values()]
        return {
            "id": self.env.component,
            "mode": self.app.mode,
            "status": self.app.status,
            "clients": sorted(clients),
            "reason": self._said,
            **self.claims(),
        }

    def dump(self) -> dict[str, Any]:
        """Answer to ``Dump``."""
        cache = self.master.cache if self.master is not None else self.follower.cache
        return {**self.status(), "objects": cache.values()}

    # -- links -----------------------------------------------------------------------------

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Serve as primary; refuse otherwise."""
        if self.master is not None:
            self.master.request(link, number, body)
            return
        text = f"{self.env.component} is not primary"
        link.reply(number, Error("backup", "ServerNotPrimary", text))

    def lost(self, link: wire.Link, reason: str) -> None:
        """A client has gone."""
        if self.master is not None:
            self.master.lost(link, reason)

    async def _listen(self) -> None:
        await self.app.listen(self.port, self)
        await self.app.manage(self.management, self.status, self.dump)

    # -- roles -----------------------------------------------------------------------------

    async def _drive(self) -> None:
        while True:
            self._mode_set.clear()
            work = self._be_primary() if self.app.mode == "primary" else self._be_backup()
            task = self.app.spawn(work)
            await self._mode_set.wait()
            task.cancel()
            await asyncio.wait([task])

    async def _be_backup(self) -> None:
        conf = Conf.read(self.env.disk, self.path)
        peer = conf.text(self.section, "peer", "")
        self.follower.cache = Cache()
        self.app.changed("Running")
        if peer:
            port = conf.port(self.section, "peer-port", addresses.CONFIGSERVER_PORT)
            await self.follower.follow(peer, port)

    async def _be_primary(self) -> None:
        while True:
            self.app.changed("Initializing" if not self._said else "ServiceUnavailable")
            try:
                await self._hold()
            except (StoreError, SessionOver, TimeoutError) as error:
                self._say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self.env.profile.retry)

    async def _hold(self) -> None:
        """Take the writer lock and be primary until the session is lost.

        :raises StoreError, SessionOver, TimeoutError: why not, or why no longer
        """
        conf = Conf.read(self.env.disk, self.path)
        section = conf.text(self.section, "server", "dbserver")
        host = conf.text(section, "dbserver")
        port = conf.port(section, "dbport", addresses.POSTGRES_PORT)
        store = self.env.open_store(conf.section(section))
        try:
            async with asyncio.timeout(2 * self.env.profile.d):
                await store.open()
                if not await store.acquire_writer_lock():
                    self._say("the writer lock is held by another Configuration Server")
                    return
                snapshot = await store.load()
            page = conf.count("history-log", "max-records", 1000, low=1, high=1000)
            peer = conf.text(self.section, "peer", "")
            self.master = Master(self.env, store, snapshot, peer=peer, page=page)
            self._database = {"db": region_of(conf, host), "peer": f"{host}:{port}"}
            self._say("")
            self.env.log(f"primary at {snapshot.epoch}/{snapshot.seq} on {host}")
            self.app.changed("Running")
            await self.master.run()
        finally:
            await self._let_go(store)

    async def _let_go(self, store: Store) -> None:
        master, self.master = self.master, None
        if master is not None:
            for link in list(master.clients):
                link.close("the server is no longer primary")
            self.app.changed("ServiceUnavailable")
        try:
            async with asyncio.timeout(self.env.profile.addp_timeout):
                await store.close()
        except TimeoutError:
            self.env.log("the database session did not close in time")

    def _say(self, reason: str) -> None:
        if reason and reason != self._said:
            self.env.log(f"not primary: {reason}")
        self._said = reason


class Follower(wire.Quiet):
    """The backup's link to its peer: it is notified of every change."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.cache = Cache()
        self._parts: list[tuple[str, int, Any]] = []
        self._early: list[Event] = []

    async def follow(self, host: str, port: int) -> None:
        """Stay connected to the peer while it is primary; ends only by cancellation."""
        peer = wire.Peer(self.env, "ConfigServer", [host], port, handler=self, login=self._login)
        await peer.run()

    async def _login(self, link: wire.Link) -> None:
        patience = self.env.profile.d
        self._parts, self._early, self.cache = [], [], Cache()
        await link.request(Register(self.env.component), Registered, timeout=patience)
        read = await link.request(ReadAll(), AllRead, timeout=patience)
        self.cache = Cache.of_objects(
            self._parts, epoch=read.epoch, seq=read.seq, epochs=read.epochs
        )
        early, self._early = self._early, []
        for event in early:
            self.note(link, event)

    def note(self, link: wire.Link, body: AnyBody) -> None:
        """Part of the state, or a change."""
        if isinstance(body, ObjectList):
            self._parts.extend(body.objects)
        elif isinstance(body, Event):
            if not self.cache.loaded:
                self._early.append(body)
                return
            try:
                self.cache.apply(body)
            except Gap as error:
                link.abort(str(error))


def region_of(conf: Conf, address: str) -> str:
    """The region whose DBMS has that address, by section ``[regions]``; empty if none has."""
    found = [region for region, its in conf.section("regions").items() if its == address]
    return found[0] if found else ""
