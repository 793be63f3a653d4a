"""A client application: it works through its own region's proxies and records all it does.

Commands come on a control port. Every operation is written to the run's history before its request
leaves, and completed exactly once.
"""

from __future__ import annotations

import json
from typing import Any

from drharness.components import wire
from drharness.components.appbase import App
from drharness.components.environment import Environment
from drharness.components.messages import (
    MOST_OPENING,
    Answer,
    AnyBody,
    ChangeConfig,
    Dump,
    Error,
    Event,
    GetStatus,
    Op,
    Read,
    Register,
    Registered,
    StartTraffic,
    StopTraffic,
)
from drharness.components.operations import Ledger, perform
from drharness.components.options import CONF_DIR, Conf, parse
from drharness.components.workload import Keys, Workload
from drharness.topology import addresses

CONF = f"{CONF_DIR}/application.conf"
STATE = "/var/lib/drharness/application.json"


async def main(env: Environment) -> None:
    """Run a client application until it is killed.

    :raises UsageError: bad command line or configuration file
    """
    await Application(env).run()


class Application(wire.Quiet):
    """One application: its link to the proxies and its control port."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        options = parse(env.argv)
        conf = Conf.read(env.disk, options.file or CONF)
        self.port = conf.port(options.section or "application", "port", addresses.APPLICATION_PORT)
        self.hosts = [
            options.host or conf.text("proxy", "host"), conf.text("proxy", "backup-host")
        ]  # fmt: skip
        self.proxy_port = options.port or conf.port("proxy", "port", addresses.PROXY_PORT)
        self.via = ""
        self.ledger = Ledger(env, self._count_start())
        self.keys = Keys(env.rng)
        self.app = App(env, options, claims=self.claims, on_mode=lambda: None)
        self.peer = wire.Peer(
            env, "ConfigProxy", self.hosts, self.proxy_port, handler=self, login=self._login
        )
        self.workload: Workload | None = None

    async def run(self) -> None:
        """Connect, and do as told."""
        control = Control(self)
        await self.app.run(self.app.listen(self.port, control), self.peer.run())

    def _count_start(self) -> int:
        """The number of this start: ids must not repeat after a restart."""
        number = 1
        if self.env.disk.exists(STATE):
            number = int(json.loads(self.env.disk.read_text(STATE))["starts"]) + 1
        self.env.disk.write_text(STATE, json.dumps({"starts": number}))
        return number

    def claims(self) -> dict[str, Any]:
        """The fields of this component's ``comp`` events."""
        return {"role": "primary", "proxy": self.via}

    def status(self) -> dict[str, Any]:
        """Answer to ``GetStatus``."""
        return {
            "id": self.env.component,
            "via": self.via,
            "mode": self.app.mode,
            "status": self.app.status,
            "traffic": self.workload is not None,
            "counters": self.ledger.counters,
            "total": self.ledger.total,
        }

    # -- the proxies -----------------------------------------------------------------------

    @property
    def link(self) -> wire.Link | None:
        """The logged-in link to a proxy."""
        return self.peer.link

    async def _login(self, link: wire.Link) -> None:
        asked = Register(self.env.component, subscribe=True)
        answer = await link.request(asked, Registered, timeout=self.env.profile.op_deadline)
        self.via = answer.server
        self.app.changed("Running")

    def note(self, link: wire.Link, body: AnyBody) -> None:
        """The proxy tells of a change."""
        if isinstance(body, Event):
            self.keys.learn(body.key)

    def lost(self, link: wire.Link, reason: str) -> None:
        """A link to a proxy has gone."""
        self.via = ""
        self.app.changed("ServiceUnavailable")

    # -- commands --------------------------------------------------------------------------

    def start(self, body: StartTraffic) -> dict[str, Any]:
        """Start the workload."""
        self.ledger.reset()
        self.workload = Workload(self, body)
        self.app.spawn(self.workload.run())
        self.env.log(f"traffic started: {body}")
        return self.status()

    async def stop(self, link: wire.Link, number: int) -> None:
        """Stop the workload, wait for what is under way, answer with the counters."""
        if self.workload is not None:
            workload = self.workload
            await workload.stop()
            self.workload = None
            self.env.log(f"traffic stopped: {self.ledger.counters}")
        link.reply(number, Answer(self.status()))

    async def canary(self, link: wire.Link, number: int, body: Op) -> None:
        """Do one operation and answer how it ended."""
        request: ChangeConfig | Read
        if body.f == "read":
            request = Read(body.key)
        else:
            request = ChangeConfig(body.f, body.key, body.val, body.expected)
        deadline = body.deadline or self.env.profile.op_deadline
        used = self.link
        outcome = await self.ledger.operate(
            self.ledger.lane(),
            request,
            lambda: perform(used, request, deadline, why=self.peer.why),
            via=self.via,
            counted=False,
        )
        link.reply(number, Answer({"type": outcome.type, "key": body.key, **outcome.fields}))


class Control(wire.Quiet):
    """The control port."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """A command."""
        application = self.application
        match body:
            case GetStatus():
                link.reply(number, Answer(application.status()))
            case Dump():
                known = application.keys.known
                link.reply(number, Answer({**application.status(), "keys": known}))
            case StartTraffic():
                if application.workload is not None:
                    link.reply(number, Error("rejected", "AlreadyInProgress", "traffic runs"))
                    return
                wrong = invalid(body)
                if wrong:
                    link.reply(number, Error("rejected", "ValueOutOfRange", wrong))
                    return
                link.reply(number, Answer(application.start(body)))
            case StopTraffic():
                application.app.spawn(application.stop(link, number))
            case Op():
                application.app.spawn(application.canary(link, number, body))
            case _:
                link.reply(number, wire.unsupported(body))


def invalid(body: StartTraffic) -> str:
    """What is wrong with a request for traffic; empty if nothing is."""
    if not 0 < body.writes_per_s <= 10_000:
        return f"writes_per_s: expected more than 0 and at most 10000, got {body.writes_per_s!r}"
    if not 0 <= body.reads_per_write <= 100:
        return f"reads_per_write: expected 0 to 100, got {body.reads_per_write!r}"
    if not 0 <= body.opening <= MOST_OPENING:
        return f"opening: expected 0 to {MOST_OPENING}, got {body.opening!r}"
    if not 1 <= body.workers <= 1000:
        return f"workers: expected 1 to 1000, got {body.workers!r}"
    return ""
