"""A Configuration Server that runs a product itself; in containers, what a VM does not have."""

from __future__ import annotations

from drharness.components import configserver
from drharness.components.environment import Environment


async def main(env: Environment) -> None:
    """Start PgBouncer, then be a Configuration Server that goes through it."""
    await env.start_part("pgbouncer")
    await configserver.main(env)
