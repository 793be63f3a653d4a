"""The deployment's DNS as its users hold it: ``deployment.dns``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drharness.deployment.operations import Operations

_CONTROL = "drharness.dns.control"


class Names:
    """The authoritative server, and the caching resolvers of the Application VMs."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def set(self, records: Mapping[str, Sequence[str]], ttl: int | None = None) -> dict[str, Any]:
        """Change several names at once; returns when the server answers so.

        :param records: name to IPv4 addresses; an empty list removes the name
        :param ttl: seconds; default the topology's
        """
        return self._operations.set_names(records, ttl)

    def zone(self) -> dict[str, Any]:
        """What is served now: ``serial``, ``ttl``, ``records``."""
        found: dict[str, Any] = self._operations.machine("dns").call(f"{_CONTROL}:zone")
        return found

    def queries(self, since_ns: int = 0) -> list[dict[str, Any]]:
        """Queries answered at or after an instant (ns of CLOCK_MONOTONIC), oldest first."""
        found: list[dict[str, Any]] = self._operations.machine("dns").call(
            f"{_CONTROL}:queries", {"since_ns": since_ns}
        )
        return found

    def look_up(self, vm: str, name: str) -> dict[str, Any]:
        """What a VM's resolver answers: ``rcode``, ``addresses``, ``ttl`` left."""
        return self._operations.look_up(vm, name)

    def cache(self, vm: str) -> list[dict[str, Any]]:
        """What an Application VM's resolver remembers, with the seconds left."""
        found: list[dict[str, Any]] = self._operations.machine(vm).call(f"{_CONTROL}:cache")
        return found

    def flush(self, vm: str) -> dict[str, Any]:
        """Clear an Application VM's resolver."""
        return self._operations.flush_names(vm)
