"""Looks that say the same for long: not each is written, and what is written says so.

A deployment at rest says the same ten times a second. Once :data:`SETTLED` looks in a row have,
only some are written. The event after those that were not has ``steady``: the instant of the last
look that said the same as the event before. So nothing is lost that a check could need: a change is
written at once, and that a claim held all the time in between is on record. Only a power-off, which
lets nobody say so, may hide the last looks, and these said nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTLED = 100  # looks; a drill's own times are shorter
# Every so manieth is written then. What a database had when it went silent must be known to within
# eps, which is five looks: the lag of its standby is measured from there.
EVERY: Mapping[str, int] = {"comp": 40, "db": 4}
_LAPSE = 3  # looks that may be missing before nobody knows what was in between


class Steady:
    """The looks of one kind at one thing."""

    def __init__(self, kind: str, *, interval: int) -> None:
        """A look is taken every ``interval`` ns, and whenever something changes."""
        self._every, self._lapse = EVERY[kind], _LAPSE * interval
        self._said: dict[str, Any] | None = None
        self._alike = 0
        self._left_out = 0
        self._last = 0

    def look(self, t: int, said: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is to be written of a look at ``t`` (ns); None: nothing, it is what it was."""
        same = said == self._said and t - self._last <= self._lapse
        last, self._last = self._last, t
        self._alike = self._alike + 1 if same else 0
        if self._alike > SETTLED and self._left_out < self._every - 1:
            self._left_out += 1
            return None
        written = {**said, "steady": last} if self._left_out else dict(said)
        self._said, self._left_out = dict(said), 0
        return written
