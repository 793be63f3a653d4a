"""Configuration Server Proxy: a region's own copy of the configuration data.

Both proxies of a pair follow the master; the primary one serves the region's applications. Reads
are answered from memory, writes are forwarded. Without a master the proxy is in limited mode: reads
and new logins go on, writes are refused at once. While it reads everything again after a session
could not be restored, it stays in limited mode and keeps serving the old state, until the new one
replaces it in one step.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from drharness.components import wire
from drharness.components.appbase import App
from drharness.components.cache import Cache, Gap
from drharness.components.environment import Environment
from drharness.components.messages import (
    AllRead,
    AnyBody,
    ChangeConfig,
    Changed,
    EpochChanged,
    Error,
    Event,
    HistoryLog,
    HistoryLogSent,
    ModeChanged,
    ObjectList,
    Read,
    ReadAll,
    Register,
    Registered,
    RestoreSession,
    SessionRestored,
    Value,
)
from drharness.components.options import CONF_DIR, Conf, parse
from drharness.topology import addresses

CONF = f"{CONF_DIR}/csproxy.conf"


async def main(env: Environment) -> None:
    """Run a Configuration Server Proxy until it is killed.

    :raises UsageError: bad command line or configuration file
    """
    await CsProxy(env).run()


class CsProxy(wire.Quiet):
    """One of a region's pair: the side towards the applications."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        options = parse(env.argv)
        conf = Conf.read(env.disk, options.file or CONF)
        section = options.section or "csproxy"
        self.port = conf.port(section, "port", addresses.PROXY_PORT)
        self.management = conf.port(section, "management-port", addresses.MANAGEMENT_PORT)
        self.clients: dict[wire.Link, Register] = {}
        hosts = [options.host or conf.text("master", "host"), conf.text("master", "backup-host")]
        port = options.port or conf.port("master", "port", addresses.CONFIGSERVER_PORT)
        self.app = App(env, options, claims=self.claims, on_mode=self._mode_set)
        self.upstream = self._follow(hosts, port)
        self.upstream.delays = {
            "primary": conf.seconds(section, "delay-reload", 0.0),
            "backup": conf.seconds(section, "delay-reload-backup", 0.0),
        }

    def _follow(self, hosts: list[str], port: int) -> Upstream:
        return Upstream(self, hosts, port)

    async def run(self) -> None:
        """Listen, and follow the master."""
        await self.app.run(self._listen(), self.upstream.peer.run())

    async def _listen(self) -> None:
        await self.app.listen(self.port, self)
        await self.app.manage(self.management, self.status, self.dump)

    @property
    def mode(self) -> Literal["normal", "limited", "starting"]:
        """Service mode."""
        if not self.upstream.cache.loaded:
            return "starting"
        return "limited" if self.upstream.master is None else "normal"

    def claims(self) -> dict[str, Any]:
        """The fields of this component's ``comp`` events."""
        up = self.upstream
        return {
            "role": self.app.mode,
            "mode": self.mode,
            "master": up.master.remote if up.master is not None else "",
            "epoch": up.cache.epoch,
            "seq": up.cache.seq,
        }

    def status(self) -> dict[str, Any]:
        """Answer to ``GetStatus``; ``mode`` is the service mode, ``execution`` the other one."""
        return {
            "id": self.env.component,
            "execution": self.app.mode,
            "status": self.app.status,
            "clients": sorted(c.client for c in self.clients.values()),
            "objects": len(self.upstream.cache.objects),
            **self.claims(),
        }

    def dump(self) -> dict[str, Any]:
        """Answer to ``Dump``: everything that is served."""
        return {**self.status(), "objects": self.upstream.cache.values()}

    # -- links -----------------------------------------------------------------------------

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Serve an application."""
        refusal = self._refusal()
        if refusal is not None:
            link.reply(number, refusal)
            return
        cache = self.upstream.cache
        match body:
            case Register():
                self.clients[link] = body
                session = f"{self.env.rng.getrandbits(64):016x}"
                me = self.env.component
                link.reply(number, Registered(session, me, cache.epoch, cache.seq, mode=self.mode))
            case Read(key):
                dbid, val = cache.objects.get(key, (0, None))
                found = key in cache.objects
                link.reply(number, Value(key, found, cache.epoch, cache.seq, self.mode, val, dbid))
            case ChangeConfig():
                self._write(link, number, body)
            case _:
                link.reply(number, wire.unsupported(body))

    def lost(self, link: wire.Link, reason: str) -> None:
        """An application has gone."""
        self.clients.pop(link, None)

    def _refusal(self) -> Error | None:
        me = self.env.component
        if self.app.mode == "backup":
            return Error("backup", "ServerNotPrimary", f"{me} is the backup of its pair")
        if self.mode == "starting":
            return Error("unavailable", "ServerNotFound", f"{me} has not read its data yet")
        return None

    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        master = self.upstream.master
        if master is None:
            text = f"{self.env.component} has no master: limited mode"
            link.reply(number, Error("limited", "ReadOnlyOperationalModeActivated", text))
            return
        self.app.spawn(self._forward(master, link, number, body))

    async def _forward(
        self, master: wire.Link, link: wire.Link, number: int, body: ChangeConfig
    ) -> None:
        answer: Changed | Error
        try:
            # a client gives up earlier; this only bounds what a silent master can keep waiting
            patience = 2 * self.env.profile.op_deadline
            answer = await master.request(body, Changed, timeout=patience)
        except wire.Refused as refused:
            answer = refused.error
        except wire.LinkLost as lost:
            # an unsent request was certainly not done; a sent one may have been
            answer = Error("unknown" if lost.sent else "unavailable", "ServerNotFound", str(lost))
        except TimeoutError:
            answer = Error("unknown", "DBResponseTimedOut", "no answer from the master in time")
        else:
            cache = self.upstream.cache
            if cache.seq < answer.seq or not master.open:
                text = f"commit {answer.seq} acknowledged, the proxy is at {cache.seq}"
                answer = Error("unknown", "ServerNotFound", text)
        link.reply(number, answer)

    # -- changes ---------------------------------------------------------------------------

    def _mode_set(self) -> None:
        if self.app.mode == "backup":
            for link in list(self.clients):
                link.close("the proxy is now the backup of its pair")

    def tell(self, body: AnyBody, *, subscribers_only: bool = False) -> None:
        """Send a note to the clients."""
        line = b""
        for link, client in list(self.clients.items()):
            if client.subscribe or not subscribers_only:
                line = line or wire.encode_note(body)
                link.send_line(line)

    def mode_changed(self) -> None:
        """The master link came or went."""
        self.env.log(f"service mode: {self.mode}")
        self.app.changed("Running" if self.upstream.cache.loaded else "Initializing")
        self.tell(ModeChanged(self.mode))

    def epoch_changed(self, *, reloaded: bool) -> None:
        """The state was replaced or continues in another epoch."""
        cache = self.upstream.cache
        self.env.record(
            "cache",
            proxy=self.env.component,
            seq=cache.seq,
            epoch=cache.epoch,
            sha=cache.sha(),
            reloaded=reloaded,
        )
        self.env.log(f"{'reloaded' if reloaded else 'epoch'}: now at {cache.epoch}/{cache.seq}")
        self.app.changed()
        self.tell(EpochChanged(cache.epoch, cache.seq, reloaded))


class Upstream(wire.Quiet):
    """The side towards the master: restore or read everything, then follow every change.

    :ivar master: the link that is in step, or None (limited mode)
    :ivar cache: the state that is served
    """

    def __init__(self, proxy: CsProxy, hosts: list[str], port: int) -> None:
        self.proxy, self.env = proxy, proxy.env
        self.cache = Cache()
        self.master: wire.Link | None = None
        self.delays: dict[str, float] = {}
        self._session = ""
        self._must_reload = False
        self._early: list[Event] = []
        self._parts: list[tuple[str, int, Any]] = []
        self.peer = wire.Peer(
            proxy.env, "ConfigServer", hosts, port, handler=self, login=self.login
        )

    async def login(self, link: wire.Link) -> None:
        """Restore the session or read everything; from then on the link is in step."""
        self._early, self._parts = [], []
        patience = self.env.profile.d
        if not (self.cache.loaded and not self._must_reload and await self._restore(link)):
            asked = Register(self.env.component)
            session = (await link.request(asked, Registered, timeout=patience)).session
            if self.cache.loaded:
                self.env.log("session not restored: reading everything again")
                await asyncio.sleep(self.delays[self.proxy.app.mode])
            read = await link.request(ReadAll(), AllRead, timeout=patience)
            self._swap(read, session)
        self._in_step(link)

    async def _restore(self, link: wire.Link) -> bool:
        """Prove the common prefix and catch up; False: everything must be read again."""
        patience = self.env.profile.d
        at = self.cache
        asked = RestoreSession(self.env.component, self._session, at.epoch, at.seq)
        try:
            await link.request(asked, SessionRestored, timeout=patience)
            more = True
            while more:
                page = await link.request(
                    HistoryLog(self.cache.seq), HistoryLogSent, timeout=patience
                )
                for event in page.events:
                    self._apply(event)
                more = page.more
        except wire.Refused as refused:
            if refused.error.name != "HistoryLogExpired":
                raise
            return False
        except Gap as gap:
            self.env.log(f"history log has a gap: {gap}")
            return False
        self.cache.epochs = tuple(page.epochs)
        if page.epoch != self.cache.epoch:
            self.cache.epoch = page.epoch
            self.proxy.epoch_changed(reloaded=False)
        return True

    def _swap(self, read: AllRead, session: str) -> None:
        self.cache = Cache.of_objects(
            self._parts, epoch=read.epoch, seq=read.seq, epochs=read.epochs
        )
        self._parts, self._session, self._must_reload = [], session, False
        self.proxy.epoch_changed(reloaded=True)

    def _in_step(self, link: wire.Link) -> None:
        early, self._early = self._early, []
        self.master = link if link.open else None
        for event in early:
            self.note(link, event)
        if self.master is not None:
            self.proxy.mode_changed()

    def note(self, link: wire.Link, body: AnyBody) -> None:
        """A change, or part of everything."""
        if isinstance(body, ObjectList):
            self._parts.extend(body.objects)
        elif isinstance(body, Event):
            if link is not self.master:
                self._early.append(body)
                return
            try:
                self._apply(body)
            except Gap as gap:
                self._must_reload = True
                link.abort(f"gap in the events: {gap}")

    def lost(self, link: wire.Link, reason: str) -> None:
        """The master link has gone: limited mode from this instant."""
        if link is self.master:
            self.master = None
            self.proxy.mode_changed()

    def _apply(self, event: Event) -> None:
        before = self.cache.epoch
        self.cache.apply(event)
        if event.epoch != before:
            self.proxy.epoch_changed(reloaded=False)
        self.proxy.tell(event, subscribers_only=True)
