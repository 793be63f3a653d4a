"""The door to randomness: named substreams of one seed, so that adding a draw moves no other."""

from __future__ import annotations

import random
import secrets


def stream(seed: int | str, name: str) -> random.Random:
    """A generator of its own for ``name``; the same (seed, name) always yields the same draws."""
    return random.Random(f"{seed}/{name}")


def fresh_seed() -> int:
    """A seed from the operating system, small enough to be typed."""
    return secrets.randbelow(2**31)


def token(nbytes: int = 4) -> str:
    """A random hexadecimal token (epochs, run ids)."""
    return secrets.token_hex(nbytes)
