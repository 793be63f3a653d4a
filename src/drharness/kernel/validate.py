"""Checks of arguments at the edge: messages name the argument, its value and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from drharness.errors import UsageError


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """``value`` if it is one of ``allowed``; else an error with the nearest valid name.

    :raises UsageError: names the argument, the value and all that is allowed
    """
    if isinstance(value, str) and value in allowed:
        return value
    near = difflib.get_close_matches(str(value), list(allowed), n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{name}: expected one of {', '.join(sorted(allowed))}, got {value!r}.{guess}")


def number(name: str, value: object, *, low: float, high: float) -> float:
    """``value`` as a number within [low, high].

    :raises UsageError: names the argument, the value, its type and the range
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(
            f"{name}: expected a number from {low:g} to {high:g}, "
            f"got {value!r} ({type(value).__name__})."
        )
    return value


def count(name: str, value: object, *, low: int, high: int) -> int:
    """``value`` as a whole number within [low, high].

    :raises UsageError: names the argument, the value, its type and the range
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(
            f"{name}: expected a whole number from {low} to {high}, "
            f"got {value!r} ({type(value).__name__})."
        )
    return value
