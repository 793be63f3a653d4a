"""Names that a component's runtime keeps itself, above every resolver: as a JVM does.

Java's ``InetAddress`` keeps an address for ``networkaddress.cache.ttl`` seconds (30 as shipped, for
ever where a security manager is set) whatever its TTL, and a failure of any kind, a silent server
included, for ``networkaddress.cache.negative.ttl`` (10). Nothing but a restart empties it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from drharness.components.environment import NameNotFound
from drharness.kernel import clock

FOR_EVER = -1


@dataclass(frozen=True)
class _Kept:
    """What a look-up gave: addresses, or why there are none; ``until``: None is for ever."""

    addresses: list[str]
    failure: str
    until: float | None


class Names:
    """Looks names up and keeps what came of it.

    :param look_up: raises :class:`NameNotFound` for a failure
    :param keep: seconds an answer is kept, from when it came; 0: not, -1: for ever
    :param keep_failure: seconds a failure is
    """

    def __init__(
        self, look_up: Callable[[str], Awaitable[list[str]]], *, keep: int, keep_failure: int
    ) -> None:
        self._look_up, self._keep, self._keep_failure = look_up, keep, keep_failure
        self._kept: dict[str, _Kept] = {}

    async def resolve(self, name: str) -> list[str]:
        """Its addresses: those that are kept, else those of a look-up.

        :raises NameNotFound: there are none, or there were none a while ago
        """
        kept = self._kept.get(name.lower())
        if kept is None or (kept.until is not None and clock.now() >= kept.until):
            try:
                kept = self._hold(name, await self._look_up(name), "", self._keep)
            except NameNotFound as error:
                self._hold(name, [], str(error), self._keep_failure)
                raise
        elif kept.failure:
            raise NameNotFound(f"{kept.failure} (kept by the runtime)")
        return list(kept.addresses)

    def _hold(self, name: str, addresses: list[str], failure: str, seconds: int) -> _Kept:
        until = None if seconds == FOR_EVER else clock.now() + seconds
        kept = _Kept(addresses, failure, until)
        self._kept.pop(name.lower(), None)
        if seconds:
            self._kept[name.lower()] = kept
        return kept
