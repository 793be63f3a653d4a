"""The observer, run against a server that comes and goes."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from drharness.components.environment import Environment
from drharness.dbms.observer import observe
from drharness.dbms.session import until
from drharness.kernel import clock, rng
from drharness.topology import Topology
from tests.dbms.running import Running, run


class Recording(SimpleNamespace):
    """An environment that keeps what is recorded."""

    def __init__(self) -> None:
        profile = Topology.guide().profile
        super().__init__(
            region="region1", vm="region1-dbms", profile=profile, rng=rng.stream(1, "observer")
        )
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was recorded of a kind."""
        return [e for e in self.events if e["kind"] == kind]

    def sample(self, kind: str, /, **fields: Any) -> None:
        """An event each."""
        self.record(kind, **fields)

    def record(self, kind: str, /, **fields: Any) -> None:
        """Keep an event, which must be JSON, and when it came (s)."""
        event = {"kind": kind, "at": clock.now(), **fields}
        self.events.append(json.loads(json.dumps(event)))


def test_the_observer_reports_a_server_that_comes_and_goes(primary: Running) -> None:
    env = Recording()

    async def last(accepting: bool) -> dict[str, Any]:
        async def probe() -> bool:
            return bool(env.of("db")) and env.of("db")[-1]["accepting"] is accepting

        await until(probe, f"accepting={accepting}", timeout=10)
        return env.of("db")[-1]

    async def work() -> None:
        watching = asyncio.ensure_future(
            observe(
                cast(Environment, env), socket_directory=primary.home, port=primary.settings.port
            )
        )
        up = await last(True)
        assert (up["kind"], up["db"], up["vm"]) == ("db", "region1", "region1-dbms")
        assert (up["writable"], up["in_recovery"], up["seq"]) == (True, False, 0)
        primary.kill()
        down = await last(False)
        assert set(down) == set(up)
        assert (down["writable"], down["tli"], down["senders"]) == (None, None, [])
        primary.start()
        await last(True)
        watching.cancel()
        await asyncio.wait({watching})

    run(work())


def test_samples_come_at_the_profile_s_interval(primary: Running) -> None:
    env = Recording()
    interval = env.profile.sampling

    async def enough() -> bool:
        return len(env.of("db")) >= 11

    async def work() -> None:
        watching = asyncio.ensure_future(
            observe(
                cast(Environment, env), socket_directory=primary.home, port=primary.settings.port
            )
        )
        await until(enough, "eleven samples", timeout=30)
        watching.cancel()
        await asyncio.wait({watching})

    started = clock.now()
    run(work())
    times = [e["at"] for e in env.of("db")]
    assert times[10] - started >= 10 * interval
    # A busy machine delays some of them; none comes closer to the one before unless that was late.
    assert min(later - one for one, later in pairwise(times)) <= 1.5 * interval
    (used, *_) = env.of("res")
    assert 0 < used["pg_wal_mb"] < used["free_mb"]
    assert used["max_wait_s"] == 0.0
    assert Path(primary.home, "data").exists()
