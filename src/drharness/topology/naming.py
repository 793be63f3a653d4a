"""Names of regions; the ids of VMs and components, and replication slots, derive from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations

from drharness.errors import UsageError

USUAL = ("region1", "region2")
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

    :raises UsageError: another number than two, or not names; says what was expected
    """
    if isinstance(value, int) and not isinstance(value, bool):
        _check_number(value, f"{value} (int)")
        return USUAL
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(
            f"regions: expected 2 or two names, like ('emea', 'us'), "
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
    if number == 2:
        return
    raise UsageError(
        f"regions: expected 2 or two names, got {said}. An active region and one that takes over "
        "are supported; a database has one standby."
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"regions: expected names of 1 to {LONGEST} lower-case letters and digits, beginning "
            f"with a letter, with single hyphens between, like 'us-east-1', got {name!r}."
        )
    if name in RESERVED:
        raise UsageError(f"regions: {name!r} means something else in targets; take another name.")
