"""The workloads W3 and W1: a set grows by unique keys at a fixed rate, and registers are shared.

One change in ten is of a register that all clients share: a write, or a compare-and-set of the
value read last; so is one read in ten.

The schedule is open-loop: an operation starts when it is due, whether or not the earlier ones have
ended, so an outage shows as failed operations and not as missing ones. It may open faster than it
goes on: a run that waits for its first writes waits less.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from drharness.components import wire
from drharness.components.environment import NameNotFound
from drharness.components.messages import ChangeConfig, Read, Register, Registered, StartTraffic
from drharness.components.operations import Lane, Outcome, perform, refusal

if TYPE_CHECKING:
    from drharness.components.application import Application

MAX_KEYS = 10_000
RECENT = 50
NEWCOMER_EVERY = 10  # every tenth read logs in afresh
REGISTERS = ("register/1", "register/2")
REGISTER_EVERY = 10  # of the changes, and of the reads
OPENING_RATE = 8  # times the rate; a database commits some thousand changes a second
MAX_BEHIND_S = 1.0  # after a longer standstill the schedule starts anew instead of catching up


class Keys:
    """Keys that exist or did: a bounded sample of all, and the own recent ones."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.known: list[str] = []
        self.recent: deque[str] = deque(maxlen=RECENT)

    def learn(self, key: str) -> None:
        """A key was seen."""
        if len(self.known) < MAX_KEYS:
            self.known.append(key)
        else:
            self.known[self._rng.randrange(MAX_KEYS)] = key

    def wrote(self, key: str) -> None:
        """An own write was acknowledged."""
        self.recent.append(key)

    def pick(self, fallback: str) -> str:
        """A recent own key or a random known one, with equal chance."""
        pool: list[str] | deque[str] = self.known
        if self.recent and (not self.known or self._rng.random() < 0.5):
            pool = self.recent
        return pool[self._rng.randrange(len(pool))] if pool else fallback


class Workload:
    """Traffic of one application from start to stop."""

    def __init__(self, application: Application, asked: StartTraffic) -> None:
        self.application, self.env, self.asked = application, application.env, asked
        self.ledger, self.keys = application.ledger, application.keys
        self._idle = deque(self.ledger.lane() for _ in range(asked.workers))
        self._newcomer: Lane | None = self.ledger.lane()
        self._reads = self._writes = 0
        self._seen: dict[str, object] = {}
        self._under_way = 0
        self._stopping = asyncio.Event()
        self._settled = asyncio.Event()

    async def run(self) -> None:
        """Start operations as they fall due, until :meth:`stop`."""
        loop = asyncio.get_running_loop()
        slots = 1 + self.asked.reads_per_write
        gap = 1.0 / (self.asked.writes_per_s * slots)
        due = loop.time() + self.env.rng.random() * gap
        slot = 0
        while not await self._stopped_by(due):
            if loop.time() - due > MAX_BEHIND_S:
                due = loop.time()
            self._start(write=slot % slots == 0)
            slot += 1
            opens = slot < self.asked.opening * slots
            due += gap / OPENING_RATE if opens else gap
        if self._under_way == 0:
            self._settled.set()

    async def stop(self) -> None:
        """No new operations; returns when none is under way."""
        self._stopping.set()
        await self._settled.wait()

    async def _stopped_by(self, due: float) -> bool:
        if asyncio.get_running_loop().time() < due and not self._stopping.is_set():
            try:
                async with asyncio.timeout_at(due):
                    await self._stopping.wait()
            except TimeoutError:
                pass  # both may have come at once
        return self._stopping.is_set()

    def _start(self, *, write: bool) -> None:
        self._under_way += 1
        if not write:
            self._reads += 1
            if self._reads % NEWCOMER_EVERY == 0 and self._newcomer is not None:
                lane, self._newcomer = self._newcomer, None
                self.application.app.spawn(self._read_as_newcomer(lane))
                return
        lane = self._idle.popleft() if self._idle else self.ledger.lane()
        self.application.app.spawn(self._write(lane) if write else self._read(lane))

    def _ended(self) -> None:
        self._under_way -= 1
        if self._stopping.is_set() and self._under_way == 0:
            self._settled.set()

    async def _write(self, lane: Lane) -> None:
        self._writes += 1
        if self._writes % REGISTER_EVERY != 1:
            key, number = self.ledger.key()
            outcome = await self._through_link(lane, ChangeConfig("create", key, number))
            if outcome.type == "ok":
                self.keys.wrote(key)
        else:
            await self._through_link(lane, self._register_change())
        self._idle.append(lane)
        self._ended()

    def _register_change(self) -> ChangeConfig:
        """A value that nobody gave before, with equal chance compared with the one read last."""
        key = REGISTERS[self.env.rng.randrange(len(REGISTERS))]
        val, _ = self.ledger.key()
        if key in self._seen and self.env.rng.random() < 0.5:
            return ChangeConfig("cas", key, val, self._seen[key])
        return ChangeConfig("write", key, val)

    async def _read(self, lane: Lane) -> None:
        key = self._pick()
        outcome = await self._through_link(lane, Read(key))
        if key in REGISTERS and outcome.fields.get("val") is not None:
            self._seen[key] = outcome.fields["val"]
        self._idle.append(lane)
        self._ended()

    def _pick(self) -> str:
        if self._reads % REGISTER_EVERY == 1:
            return REGISTERS[self.env.rng.randrange(len(REGISTERS))]
        return self.keys.pick(f"{self.env.component}/none")

    async def _through_link(self, lane: Lane, request: ChangeConfig | Read) -> Outcome:
        link, deadline = self.application.link, self.env.profile.op_deadline
        return await self.ledger.operate(
            lane,
            request,
            lambda: perform(link, request, deadline, why=self.application.peer.why),
            via=self.application.via,
        )

    async def _read_as_newcomer(self, lane: Lane) -> None:
        request = Read(self._pick())
        await self.ledger.operate(
            lane, request, lambda: self._fresh_read(request), via="", client="new"
        )
        self._newcomer = lane
        self._ended()

    async def _fresh_read(self, request: Read) -> Outcome:
        """Log in at the first proxy that takes us, read, log out."""
        outcomes = []
        for host in self.application.hosts:
            outcomes.append(await self._at(host, request))
            if outcomes[-1].fields.get("via"):
                return outcomes[-1]
        # The first proxy's answer: the backup's is always that it is the backup.
        return outcomes[0]

    async def _at(self, host: str, request: Read) -> Outcome:
        deadline = self.env.profile.op_deadline
        link: wire.Link | None = None
        try:
            port = self.application.proxy_port
            link = await wire.dial(self.env, host, port, wire.Quiet(), patience=deadline)
            asked = Register(f"{self.env.component}/newcomer")
            served = await link.request(asked, Registered, timeout=deadline)
            outcome = await perform(link, request, deadline)
            outcome.fields["via"] = served.server
            return outcome
        except wire.Refused as refused:
            return refusal(refused)
        except (OSError, NameNotFound) as error:  # the read itself was never sent
            return Outcome.failed("fail", "refused", f"{type(error).__name__}: {error}")
        finally:
            if link is not None:
                link.close()
