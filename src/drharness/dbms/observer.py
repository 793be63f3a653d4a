"""The observer of a DBMS VM: at each sampling interval, what the database says of itself.

It looks through the local socket, so no firewall rule hides the database from it, and through
reserved connections, so no crowd of clients does either.
"""

from __future__ import annotations

import asyncio

import psycopg

from drharness.components.environment import Environment
from drharness.dbms import sample, settings
from drharness.dbms.session import DeadlinePassed, Session
from drharness.topology import addresses


async def main(env: Environment) -> None:
    """Record a ``db`` event at every sampling interval, for as long as the VM lives."""
    await observe(env, socket_directory=settings.SOCKET_DIRECTORY)


async def observe(
    env: Environment, *, socket_directory: str, port: int = addresses.POSTGRES_PORT
) -> None:
    """As :func:`main`, for a server whose socket is elsewhere."""
    loop = asyncio.get_running_loop()
    interval = env.profile.sampling
    patience = max(1.0, 2 * interval)
    session: Session | None = None
    due = loop.time()
    while True:
        seen = dict(sample.NOTHING)
        try:
            if session is None:
                session = await Session.connect(
                    patience,
                    host=socket_directory,
                    port=str(port),
                    user=settings.OBSERVER,
                    dbname=settings.DATABASE,
                    application_name=settings.OBSERVER,
                )
                env.log("the database accepts connections")
            seen = await sample.take(session, limit=patience)
        except (psycopg.Error, DeadlinePassed) as error:
            if session is not None:
                await session.close()
                env.log(f"session lost: {str(error).strip()}")
            session = None
        env.record("db", db=env.region, vm=env.vm, **seen)
        due = max(due + interval, loop.time() - interval)
        await asyncio.sleep(max(0.0, due - loop.time()))
