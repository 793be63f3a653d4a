"""``drharness images build``: what it shows."""

from __future__ import annotations

from drharness.cli.screen import Screen
from drharness.deployment import engines

_STEP = "Step "  # of a Dockerfile, as the daemon counts them
_NOISE = (" ", "--->", "Removing intermediate")


def build(screen: Screen) -> int:
    """Build the images that the daemon lacks; returns the exit code."""

    def show(line: str) -> None:
        if not line.startswith(_NOISE):
            screen.say(f"  {line}" if not line.startswith(_STEP) else f"    {line}")

    with screen.task("images") as task:
        task.detail = ", ".join(engines.build_images(show))
    return 0
