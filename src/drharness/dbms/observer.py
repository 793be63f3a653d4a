"""The observer of a DBMS VM: at each sampling interval, what the database says of itself.

It looks through the local socket, so no firewall rule hides the database from it, and through
reserved connections, so no crowd of clients does either.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from drharness.components.environment import Environment
from drharness.dbms import sample, settings
from drharness.dbms.session import DeadlinePassed, Session
from drharness.topology import addresses

_RESOURCES_S = 1.0


async def main(env: Environment) -> None:
    """Take a ``db`` sample at every sampling interval, and record a ``res`` event every second."""
    await observe(env, socket_directory=settings.SOCKET_DIRECTORY)


async def observe(
    env: Environment, *, socket_directory: str, port: int = addresses.POSTGRES_PORT
) -> None:
    """As :func:`main`, for a server whose socket is elsewhere."""
    loop = asyncio.get_running_loop()
    interval = env.profile.sampling
    watch = _Watch(env, socket_directory, port)
    every, count = max(1, round(_RESOURCES_S / interval)), 0
    due = loop.time()
    try:
        while True:
            env.sample("db", db=env.region, vm=env.vm, **await watch.look())
            if count % every == 0:
                await watch.resources()
            count += 1
            due = max(due + interval, loop.time() - interval)
            await asyncio.sleep(max(0.0, due - loop.time()))
    finally:
        await watch.close()


class _Watch:
    """A session that is opened again when it was lost."""

    def __init__(self, env: Environment, socket_directory: str, port: int) -> None:
        self._env = env
        self._where = {"host": socket_directory, "port": str(port)}
        self._patience = max(1.0, 2 * env.profile.sampling)
        self._session: Session | None = None

    async def look(self) -> dict[str, Any]:
        """What the database says of itself, or that it says nothing."""
        try:
            if self._session is None:
                self._session = await Session.connect(
                    self._patience,
                    user=settings.OBSERVER,
                    dbname=settings.DATABASE,
                    application_name=settings.OBSERVER,
                    **self._where,
                )
                self._env.log("the database accepts sessions")
            return await sample.take(self._session, limit=self._patience)
        except (psycopg.Error, DeadlinePassed) as error:
            if self._session is not None:
                self._env.log(f"session lost: {str(error).strip()}")
            await self.close()
            return dict(sample.NOTHING)

    async def resources(self) -> None:
        """Record what the database uses, if it can be asked."""
        if self._session is None:
            return
        try:
            used = await sample.resources(self._session, limit=self._patience)
        except (psycopg.Error, DeadlinePassed) as error:
            self._env.log(f"resources not seen: {str(error).strip()}")
            await self.close()
            return
        self._env.record("res", db=self._env.region, **used)

    async def close(self) -> None:
        """End the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
