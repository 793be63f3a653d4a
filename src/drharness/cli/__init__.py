"""The command line: ``drharness drill``, ``check`` and ``doctor``.

This module stays small, so that an interruption is handled from the first milliseconds on.
"""

from __future__ import annotations

from drharness.cli.interrupts import INTERRUPTS, Interrupted


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its status.

    0 pass, 1 fail, 2 bad usage or not possible here, 3 unknown or invalid, 130 interrupted.
    """
    INTERRUPTS.install()
    try:
        from drharness.cli.app import run  # loads typer

        run()
    except Interrupted:
        INTERRUPTS.say("interrupted")
        raise SystemExit(INTERRUPTS.EXIT_CODE) from None
    finally:
        INTERRUPTS.block()


__all__ = ["main"]
