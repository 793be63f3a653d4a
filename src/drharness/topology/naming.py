"""Names of regions; the ids of VMs and components, and replication slots, derive from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations

from drharness.errors import UsageError

USUAL = ("region1", "region2")
# A database has room for six receivers of its changes: its standbys and what takes their names.
MOST_REGIONS = 5
LONGEST = 20  # characters: the ids of VMs are host names, and columns in tables
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Symbolic targets, and what is in no region; words that faults have as arguments besides names.
_TARGETS = frozenset({"active", "all", "dns", "dormant", "localhost", "none", "outside", "proxies"})
_ARGUMENTS = frozenset(
    {"drop", "duplicate", "host", "nxdomain", "power", "process", "receive", "reject", "replay"}
    | {"reset", "servfail", "slow", "stale", "subnet", "truncated", "wider"}
)
RESERVED = _TARGETS | _ARGUMENTS


def regions_of(value: int | Sequence[str]) -> tuple[str, ...]:
    """Names of regions from their number or from the names; the first is active at the start.

    :raises UsageError: too few or too many, or not names; says what was expected
    """
    if isinstance(value, int) and not isinstance(value, bool):
        _check_number(value, f"{value} (int)")
        return tuple(f"region{number}" for number in range(1, value + 1))
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(
            f"regions: expected 2 to {MOST_REGIONS}, or their names, like ('emea', 'us'), "
            f"got {value!r} ({type(value).__name__})."
        )
    for name in value:
        _check_name(name)
    names = tuple(value)
    _check_number(len(names), f"{len(names)}: {', '.join(names) or 'none'}")
    for one, other in permutations(names, 2):
        if other == one or other.startswith(f"{one}-"):
            raise UsageError(
                f"regions: expected names whose VMs cannot be mistaken, got {one!r} and {other!r}: "
                f"a VM called {other}-... would seem to be one of {one}."
            )
    return names


def _check_number(number: int, said: str) -> None:
    if 2 <= number <= MOST_REGIONS:
        return
    raise UsageError(
        f"regions: expected 2 to {MOST_REGIONS}, or their names, got {said}. "
        "One is active, and each other can take over."
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"regions: expected names of 1 to {LONGEST} lower-case letters and digits, beginning "
            f"with a letter, with single hyphens between, like 'us-east-1', got {name!r}."
        )
    if name in RESERVED:
        raise UsageError(f"regions: {name!r} means something else in targets; take another name.")
