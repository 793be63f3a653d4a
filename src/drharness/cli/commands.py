"""All commands: loading the modules in which they stand adds them to the one application."""

from drharness.cli import containers, keeper, searching  # noqa: F401 - each adds its commands
from drharness.cli.app import app as run

__all__ = ["run"]
