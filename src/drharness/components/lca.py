"""Local Control Agent: starts the VM's components, restarts them, and gives them their modes.

The service list and the modes are on disk, so after a reboot every component comes back in its last
execution mode, and a stopped one stays stopped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drharness.components import wire
from drharness.components.appbase import App
from drharness.components.environment import Child, Environment
from drharness.components.messages import (
    Answer,
    AnyBody,
    ApplicationRegistered,
    ChangeExecutionMode,
    Dump,
    Error,
    ExecutionModeChanged,
    GetStatus,
    Mode,
    RegisterApplication,
    SetMode,
    StartApplication,
    StopApplication,
    UpdateStatus,
)
from drharness.components.options import CONF_DIR, parse
from drharness.components.provision import Service, services_from_text
from drharness.errors import DrHarnessError
from drharness.topology import addresses

SERVICES = f"{CONF_DIR}/services.json"
STATE = "/var/lib/drharness/lca.json"
SIGNALS: Mapping[str, int] = {"SIGTERM": 15, "SIGKILL": 9}
SHUTDOWN_S = 2.0  # between SIGTERM and SIGKILL


async def main(env: Environment) -> None:
    """Run a Local Control Agent until it is killed.

    :raises UsageError: bad command line or service list
    """
    await Lca(env).run()


@dataclass
class Entry:
    """A component under control."""

    service: Service
    mode: Mode
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    child: Child | None = None
    link: wire.Link | None = None
    status: str = "Stopped"
    role: str = "none"
    starts: int = 0
    last_exit: int | None = None

    def values(self) -> dict[str, Any]:
        """What ``GetStatus`` says about it; ``pid`` is 0 if it is not running."""
        return {
            "status": self.status,
            "mode": self.mode,
            "role": self.role,
            "pid": self.child.pid if self.child is not None else 0,
            "starts": self.starts,
            "last_exit": self.last_exit,
            "wanted": self.wanted.is_set(),
            "registered": self.link is not None,
        }


class Lca(wire.Quiet):
    """The agent of one VM."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        options = parse(env.argv)
        self.port = options.port or addresses.LCA_PORT
        agentless = parse([*env.argv, "-lca", "0"])
        self.app = App(env, agentless, claims=lambda: {"role": "none"}, on_mode=lambda: None)
        path = options.file or SERVICES
        if not env.disk.exists(path):
            raise DrHarnessError(f"{path}: expected a service list, there is none.")
        kept = self._kept()
        self.entries: dict[str, Entry] = {}
        for service in services_from_text(env.disk.read_text(path), path):
            state = kept.get(service.name, {})
            entry = Entry(service, state.get("mode", service.mode))
            if not state.get("stopped", False):
                entry.wanted.set()
            self.entries[service.name] = entry

    async def run(self) -> None:
        """Listen, and keep every wanted component running."""
        keepers = [self._keep(entry) for entry in self.entries.values()]
        await self.app.run(self.app.listen(self.port, self), *keepers)

    async def _keep(self, entry: Entry) -> None:
        name = entry.service.name
        while True:
            await entry.wanted.wait()
            entry.status, entry.starts = "StartPending", entry.starts + 1
            try:
                entry.child = await self.env.spawn(name, entry.service.factory, entry.service.argv)
            except (OSError, DrHarnessError) as error:
                self.env.log(f"cannot start {name}: {error}")
            else:
                self.env.log(f"started {name}, pid {entry.child.pid}")
                entry.last_exit = await entry.child.wait()
                self.env.log(f"{name} ended with status {entry.last_exit}")
            entry.child, entry.link, entry.status, entry.role = None, None, "Stopped", "none"
            entry.gone.set()
            await asyncio.sleep(self.env.profile.retry)

    # -- links -----------------------------------------------------------------------------

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """An application registers, or somebody commands."""
        match body:
            case GetStatus() | Dump():
                link.reply(number, Answer(self.status()))
            case (
                RegisterApplication(name=name)
                | SetMode(name=name)
                | StartApplication(name=name)
                | StopApplication(name=name)
            ):
                entry = self.entries.get(name)
                if entry is None:
                    known = ", ".join(self.entries) or "none"
                    text = f"no application {name!r} on {self.env.vm}; known: {known}"
                    link.reply(number, Error("rejected", "ObjectNotFound", text))
                elif isinstance(body, RegisterApplication):
                    self._register(link, number, entry, body)
                else:
                    self.app.spawn(self._command(link, number, entry, body))
            case _:
                link.reply(number, wire.unsupported(body))

    def note(self, link: wire.Link, body: AnyBody) -> None:
        """An application's status."""
        if isinstance(body, UpdateStatus):
            for entry in self.entries.values():
                if entry.link is link:
                    entry.status, entry.role = body.status, body.role

    def lost(self, link: wire.Link, reason: str) -> None:
        """An application's connection broke: it ended, or hangs."""
        for name, entry in self.entries.items():
            if entry.link is link:
                self.env.log(f"connection of {name} lost: {reason}")
                entry.link, entry.status, entry.role = None, "Unknown", "none"

    def status(self) -> dict[str, Any]:
        """Answer to ``GetStatus``."""
        apps = {name: entry.values() for name, entry in self.entries.items()}
        return {"id": self.env.component, "vm": self.env.vm, "apps": apps}

    def _register(
        self, link: wire.Link, number: int, entry: Entry, body: RegisterApplication
    ) -> None:
        entry.link, entry.status = link, body.status
        link.reply(number, ApplicationRegistered())
        self.env.log(f"{body.name} registered, pid {body.pid}; mode {entry.mode}")
        self.app.spawn(self._tell_quietly(entry))

    # -- commands --------------------------------------------------------------------------

    async def _command(
        self,
        link: wire.Link,
        number: int,
        entry: Entry,
        body: SetMode | StartApplication | StopApplication,
    ) -> None:
        changed = True
        match body:
            case SetMode(mode=mode):
                entry.mode = mode
                self._persist()
                changed = await self._tell(entry)
            case StartApplication():
                entry.wanted.set()
                self._persist()
            case StopApplication():
                await self._stop(entry)
        self.env.log(f"{type(body).__name__} {body.name}: {'done' if changed else 'not told'}")
        link.reply(number, Answer({"name": body.name, "changed": changed, **entry.values()}))

    async def _tell(self, entry: Entry) -> bool:
        """Send the mode; False if the application is not there to take it (it will get it)."""
        if entry.link is None:
            return False
        try:
            asked = ChangeExecutionMode(entry.mode)
            await entry.link.request(asked, ExecutionModeChanged, timeout=self.env.profile.d)
        except (wire.LinkLost, wire.Refused, TimeoutError) as error:
            self.env.log(f"{entry.service.name} did not take mode {entry.mode}: {error}")
            return False
        return True

    async def _tell_quietly(self, entry: Entry) -> None:
        await self._tell(entry)

    async def _stop(self, entry: Entry) -> None:
        entry.wanted.clear()
        self._persist()
        for name, number in SIGNALS.items():
            if entry.child is None:
                return
            entry.gone.clear()
            entry.child.kill(number)
            try:
                async with asyncio.timeout(SHUTDOWN_S):
                    await entry.gone.wait()
            except TimeoutError:
                self.env.log(f"{entry.service.name} has not ended after {name}")

    # -- disk ------------------------------------------------------------------------------

    def _kept(self) -> dict[str, dict[str, Any]]:
        if not self.env.disk.exists(STATE):
            return {}
        kept: dict[str, dict[str, Any]] = json.loads(self.env.disk.read_text(STATE))
        return kept

    def _persist(self) -> None:
        state = {
            name: {"mode": entry.mode, "stopped": not entry.wanted.is_set()}
            for name, entry in self.entries.items()
        }
        self.env.disk.write_text(STATE, json.dumps(state, indent=1))
