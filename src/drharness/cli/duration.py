"""Durations as options spell them: ``90s``, ``1.5h``."""

from __future__ import annotations

import re

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_in(text: str, *, units: tuple[str, ...]) -> float | None:
    """A duration in seconds; None if it is none.

    :param units: letters that may follow the number; an empty one: nothing need follow
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(.?)", text)
    if found is None or found[2] not in units:
        return None
    return float(found[1]) * _SECONDS[found[2]]
