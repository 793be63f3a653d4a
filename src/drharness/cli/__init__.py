"""The command line: ``drharness drill``, ``up``, ``check``, ``hunt`` and more.

This module stays small, so that an interruption is handled from the first milliseconds on.
"""

from __future__ import annotations

import os
import sys

from drharness.cli.interrupts import INTERRUPTS, Interrupted


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its status.

    0 pass, 1 fail, 2 bad usage or not possible here, 3 unknown or invalid, 130 interrupted.
    """
    INTERRUPTS.install()
    _open_streams()
    try:
        from drharness.cli.commands import run  # loads typer

        run()
    except Interrupted:
        INTERRUPTS.say("interrupted")
        raise SystemExit(INTERRUPTS.EXIT_CODE) from None
    finally:
        INTERRUPTS.block()


def _open_streams() -> None:
    """A standard stream that our parent has closed leads nowhere; its number is not free."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


__all__ = ["main"]
