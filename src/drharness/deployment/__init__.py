"""The running system: brought up, operated, put under traffic, judged and taken down."""

from drharness.deployment.deployment import Deployment, deploy

__all__ = ["Deployment", "deploy"]
