"""A client application that was given the proxies of another region: a copied command line."""

from __future__ import annotations

from typing import cast

from drharness.components import application
from drharness.components.environment import Environment
from drharness.engines.agent.environment import AgentEnvironment


async def main(env: Environment) -> None:
    """Run the shipped application against region 1's proxy."""
    given = cast(AgentEnvironment, env)
    given.argv = ["10.81.2.11" if word == "10.82.2.11" else word for word in env.argv]
    await application.main(given)
