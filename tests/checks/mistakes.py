"""Components with one mistake each, to be put in the place of shipped ones in a deployment."""

from __future__ import annotations

import asyncio

from drharness.components import wire
from drharness.components.csproxy import CsProxy
from drharness.components.environment import Environment
from drharness.components.messages import ChangeConfig, Changed

BEHIND_S = 0.05


async def eager_proxy(env: Environment) -> None:
    """Run a proxy that writes behind: it says ok, and asks the master afterwards."""
    await _EagerProxy(env).run()


class _EagerProxy(CsProxy):
    def _write(self, link: wire.Link, number: int, body: ChangeConfig) -> None:
        master, cache = self.upstream.master, self.upstream.cache
        if master is None:
            super()._write(link, number, body)
            return
        link.reply(number, Changed(cache.epoch, cache.seq + 1, body.val, 0, []))
        later = asyncio.get_running_loop().call_later
        later(BEHIND_S, lambda: self.app.spawn(self._behind(master, body)))

    async def _behind(self, master: wire.Link, body: ChangeConfig) -> None:
        await master.request(body, Changed, timeout=self.env.profile.op_deadline)
