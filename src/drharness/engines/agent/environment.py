"""The world as a component in a VM sees it: real files, names, children and database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drharness.components.environment import Disk, Environment
from drharness.components.store import Store
from drharness.dns import runtime, stub
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.history.steady import Steady
from drharness.kernel import clock, rng
from drharness.topology.profile import Profile

if TYPE_CHECKING:
    from drharness.engines.agent.agent import Identity

EVENT_DIR = "/var/log/drharness/events"


class FileDisk:
    """The VM's files; written in one step, so that a power-off leaves the old or the new."""

    def read_text(self, path: str) -> str:
        """Content of a file."""
        with open(path) as handle:
            return handle.read()

    def write_text(self, path: str, text: str) -> None:
        """Replace a file atomically, making its directories."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as handle:
            handle.write(text)
        os.replace(path + ".new", path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return os.path.exists(path)


class AgentLink:
    """A component's requests to its VM's agent, on the component's event loop."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._last = 0
        channel.socket.setblocking(True)
        asyncio.get_running_loop().add_reader(channel.fileno(), self._ready)

    def _ready(self) -> None:
        try:
            messages = self._channel.receive()
        except ChannelClosed:  # the VM has lost its power: PID 1 has gone, and we are going
            os._exit(0)
        for message in messages:
            if message.get("event") == "exit":
                self.exit_of(message["pid"]).set_result(message["status"])
            else:
                self._settle(message)

    def _settle(self, message: Message) -> None:
        answer = self._answers.pop(message["id"])
        error = message.get("error")
        if answer.cancelled():
            return
        if error:
            answer.set_exception(OSError(f"{error['type']}: {error['text']}"))
        else:
            answer.set_result(message.get("value"))

    def exit_of(self, pid: int) -> asyncio.Future[int]:
        """Completes with the exit status of a spawned child."""
        if pid not in self._exits or self._exits[pid].done():
            self._exits[pid] = asyncio.get_running_loop().create_future()
        return self._exits[pid]

    async def ask(self, op: str, **fields: object) -> Any:
        """One request, answered.

        :raises OSError: what the agent said
        """
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        self._channel.send({"op": op, "id": self._last, **fields})
        return await answer


class AgentChild:
    """A component another one started; forked by the agent, so no zombie of ours."""

    def __init__(self, link: AgentLink, pid: int) -> None:
        self.pid = pid
        self._ended = link.exit_of(pid)

    def kill(self, signal: int) -> None:
        """Send a signal; none if it has ended."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    async def wait(self) -> int:
        """Wait for its end: exit status, negative for a signal."""
        return await asyncio.shield(self._ended)


class AgentEnvironment:
    """Implements :class:`~drharness.components.environment.Environment` in a VM."""

    def __init__(
        self, identity: Identity, name: str, argv: Sequence[str], channel: Channel
    ) -> None:
        self.component = f"{identity.vm}.{name}"
        self.vm, self.region, self.address = identity.vm, identity.region, identity.address
        self.argv: Sequence[str] = argv
        self.profile: Profile = msgspec.convert(identity.profile, Profile)
        self.rng: random.Random = rng.stream(identity.seed, self.component)
        self.disk: Disk = FileDisk()
        self._names = runtime.Names(
            lambda name: stub.resolve(name, rng=self.rng),
            keep=self.profile.name_cache,
            keep_failure=self.profile.name_cache_negative,
        )
        self._link = AgentLink(channel)
        os.makedirs(EVENT_DIR, exist_ok=True)
        self._events = os.open(
            f"{EVENT_DIR}/{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        )
        self._steady: dict[str, Steady] = {}
        self._encode = msgspec.json.Encoder().encode

    def log(self, text: str) -> None:
        """A line with the time (s of CLOCK_MONOTONIC) in the component's log."""
        os.write(1, f"{clock.now():.3f} {self.component} {text}\n".encode())

    def record(self, kind: str, /, **fields: Any) -> None:
        """An event in the component's file: one write, so a power-off tears at most the last."""
        event: Mapping[str, Any] = {"v": 1, "t": clock.now_ns(), "kind": kind, **fields}
        os.write(self._events, self._encode(event) + b"\n")

    def sample(self, kind: str, /, **fields: Any) -> None:
        """An event, unless the looks before have said the same for long."""
        if kind not in self._steady:
            interval = round(self.profile.sampling * 1e9)
            self._steady[kind] = Steady(kind, interval=interval)
        written = self._steady[kind].look(clock.now_ns(), fields)
        if written is not None:
            self.record(kind, **written)

    async def resolve(self, name: str) -> list[str]:
        """IPv4 addresses of a name: the VM's hosts file first, then its name servers."""
        return await self._names.resolve(name)

    async def spawn(self, name: str, factory: str, argv: Sequence[str]) -> AgentChild:
        """Start another component of this VM."""
        pid = await self._link.ask("spawn", name=name, factory=factory, argv=list(argv))
        return AgentChild(self._link, pid)

    async def start_part(self, name: str) -> AgentChild:
        """Start a part of this VM, which ends with this component."""
        return AgentChild(self._link, await self._link.ask("part", name=name))

    def open_store(self, settings: Mapping[str, str]) -> Store:
        """A session to the Configuration Database over psycopg."""
        from drharness.dbms.store import PgStore  # most components never need what it imports

        return PgStore(settings, application_name=self.component)


def run_component(
    identity: Identity,
    name: str,
    factory: Callable[[Environment], Awaitable[None]],
    argv: Sequence[str],
    channel: Channel,
) -> None:
    """Run a component until it ends; its errors go to its log."""

    async def main() -> None:
        await factory(AgentEnvironment(identity, name, argv, channel))

    sys.stdout.flush()
    asyncio.run(main())
