"""Components in one process don't find each other silent while the machine runs somebody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drharness.components.link import Link, Quiet
from drharness.components.wire import serve
from drharness.kernel import clock
from drharness.kernel.waiting import hold
from tests.components.environment import QUICK, World, play, until
from tests.components.own_time import run

PORT = 4102
VM = "region1-framework-p"


class Silent(Quiet):
    """Keeps its links, and says nothing of itself."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    def opened(self, link: Link) -> None:
        self.links.append(link)


def _stand_still(seconds: float) -> None:
    """Nothing of this process goes on for so long, as if the machine ran others."""
    hold(seconds, "the end of the stall")


def test_a_host_that_stands_still_breaks_no_link(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        loop, server = asyncio.get_running_loop(), Silent()
        env = world.environment(f"{VM}.configserver")
        listening = await serve(env, PORT, server, address=world.address(VM))
        link = await world.link(VM, PORT)
        await until(lambda: server.links, "the server sees the link")
        limit = QUICK.addp_timeout
        link.keep_alive(limit)
        # It is kept waiting until it is to ask, and again once it has: in one turn of the loop the
        # other side then hears the question, and the one that asked finds that nobody answered.
        loop.call_later(limit - 0.1, _stand_still, 0.2)
        loop.call_later(limit + 0.05, _stand_still, 2 * limit)
        await asyncio.sleep(2.5 * limit)
        assert (link.open, server.links[0].open) == (True, True)
        listening.close()
        for each in (link, *server.links):
            each.abort("end of the test")

    play(tmp_path, scenario)


def test_what_is_waited_for_passes_and_a_stall_does_not() -> None:
    async def work() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await asyncio.sleep(0.2)
        waited = loop.time()
        _stand_still(0.5)
        stood = loop.time()
        return waited - begin, stood - waited, begin

    started = clock.now()
    waited, stood, _ = run(work())
    assert waited == pytest.approx(0.2, abs=0.1)
    assert stood < 0.1
    assert clock.now() - started >= 0.7


def test_time_worked_counts() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        sum(n * n for n in range(2_000_000))
        return loop.time() - begin

    assert run(work()) > 0.02
