"""``python -m drharness``: the same as the command ``drharness``."""

from __future__ import annotations

from drharness.cli import main

if __name__ == "__main__":
    main()
