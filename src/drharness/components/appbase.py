"""What every component has in common: its agent, its execution mode, its status, its claims.

An application connects to the Local Control Agent of its VM on the loopback, reports itself and
takes its execution mode from it; it records a ``comp`` event at every change and every sampling
interval.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from drharness.components import wire
from drharness.components.environment import Environment
from drharness.components.messages import (
    Answer,
    AnyBody,
    ApplicationRegistered,
    ChangeExecutionMode,
    Dump,
    ExecutionModeChanged,
    GetStatus,
    Mode,
    RegisterApplication,
    UpdateStatus,
)
from drharness.components.options import Options

Values = Callable[[], dict[str, Any]]


class App(wire.Quiet):
    """A component's frame.

    :ivar mode: execution mode, ``backup`` until the agent says otherwise
    :ivar status: Initializing, Running or ServiceUnavailable
    :ivar mode_told: set once the agent has given a mode
    """

    def __init__(
        self, env: Environment, options: Options, *, claims: Values, on_mode: Callable[[], None]
    ) -> None:
        self.env, self.options = env, options
        self._claims, self._on_mode = claims, on_mode
        self._reported: object = None
        self._tasks: asyncio.TaskGroup | None = None
        self._servers: list[asyncio.Server] = []
        self._links: dict[wire.Link, None] = {}
        self.mode: Mode = "backup" if options.lca else "primary"
        self.status = "Initializing"
        self.name = env.component.rpartition(".")[2]
        self._agent = wire.Peer(
            env, "LCA", [options.loopback], options.lca, handler=self, login=self._register
        )

    async def run(self, *jobs: Coroutine[Any, Any, None]) -> None:
        """Do the jobs until one of them fails or this is cancelled; then close everything."""
        self.env.log(f"00-05060 Application started: {self.env.component}")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._sample())
                if self.options.lca:
                    tasks.create_task(self._agent.run())
                for job in jobs:
                    tasks.create_task(job)
        finally:
            self._close()

    def spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Run a job beside the others; its failure ends the component.

        :return: its end; cancelled if the component is ending, which begins nothing any more
        """
        assert self._tasks is not None, "the component is not running"
        try:
            return self._tasks.create_task(job)
        except RuntimeError:  # the others are being cancelled, and links are still open meanwhile
            job.close()
            never = asyncio.get_running_loop().create_future()
            never.cancel()
            return never

    async def listen(self, port: int, handler: wire.Handler) -> None:
        """Accept links on a port; they end with the component."""
        served = _Kept(self._links, handler)
        server = await wire.serve(self.env, port, served, address=self.options.listen)
        self._servers.append(server)
        self.env.log(f"listening on port {port}")

    async def manage(self, port: int, status: Values, dump: Values) -> None:
        """Answer ``GetStatus`` and ``Dump`` on a port of its own."""
        await self.listen(port, Management(status, dump))

    def changed(self, status: str = "") -> None:
        """Tell the agent and the run, if more than the place in the commit order changed."""
        if status:
            self.status = status
        claims = self._claims()
        steady = {k: v for k, v in claims.items() if k != "seq"}
        if (self.status, self.mode, steady) != self._reported:
            self._reported = (self.status, self.mode, steady)
            self._claim(claims)
            self._update()

    def _claim(self, claims: dict[str, Any]) -> None:
        self.env.sample("comp", id=self.env.component, **claims)

    def _update(self) -> None:
        if self._agent.link is not None:
            role = str(self._claims().get("role", "none"))
            self._agent.link.notify(UpdateStatus(self.status, self.mode, role))

    async def _sample(self) -> None:
        while True:
            self._claim(self._claims())
            await asyncio.sleep(self.env.profile.sampling)

    async def _register(self, link: wire.Link) -> None:
        report = RegisterApplication(self.name, os.getpid(), self.status, self.mode)
        await link.request(report, ApplicationRegistered, timeout=self.env.profile.d)
        role = str(self._claims().get("role", "none"))
        link.notify(UpdateStatus(self.status, self.mode, role))

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """A command of the agent."""
        if not isinstance(body, ChangeExecutionMode):
            link.reply(number, wire.unsupported(body))
            return
        if body.mode != self.mode:
            self.env.log(f"execution mode {self.mode} -> {body.mode}")
            self.mode = body.mode
            self._on_mode()
        link.reply(number, ExecutionModeChanged(self.mode))
        self.changed()

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.abort("component ended")


class _Kept:
    """Passes everything on, and remembers which links are open."""

    def __init__(self, links: dict[wire.Link, None], handler: wire.Handler) -> None:
        self._links, self._handler = links, handler
        self.request, self.note = handler.request, handler.note

    def opened(self, link: wire.Link) -> None:
        self._links[link] = None
        self._handler.opened(link)

    def lost(self, link: wire.Link, reason: str) -> None:
        self._links.pop(link, None)
        self._handler.lost(link, reason)


class Management(wire.Quiet):
    """The management port: ``GetStatus`` and ``Dump``."""

    def __init__(self, status: Values, dump: Values) -> None:
        self._status, self._dump = status, dump

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Answer with plain values."""
        match body:
            case GetStatus():
                link.reply(number, Answer(self._status()))
            case Dump():
                link.reply(number, Answer(self._dump()))
            case _:
                link.reply(number, wire.unsupported(body))
