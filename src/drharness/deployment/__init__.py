"""The running system: brought up, operated, put under traffic, judged and taken down."""

from drharness.deployment.deployment import Deployment
from drharness.deployment.life import deploy
from drharness.deployment.pool import Pool

__all__ = ["Deployment", "Pool", "deploy"]
