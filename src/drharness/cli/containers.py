"""The commands of the docker engine alone: ``images build``."""

from __future__ import annotations

import typer

from drharness.cli.app import app, or_error, screens

_EXAMPLES = """\b
Examples:
  drharness images build
  DRHARNESS_BASE_IMAGE=registry.example/debian:bookworm drharness images build
"""

images = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(images, name="images", short_help="What the docker engine's containers are made of.")


@images.callback()
def about() -> None:
    """What the docker engine's containers are made of."""


@images.command(epilog=_EXAMPLES, short_help="Build the images, if their sources changed.")
def build() -> None:
    """Build the images in the Docker daemon, unless it has them: their tag is a hash of all that
    they are made of. A deployment builds what is missing by itself; this shows the progress."""

    def built() -> int:
        from drharness.cli import images

        return images.build(screens("")[0])

    raise typer.Exit(or_error(built))
