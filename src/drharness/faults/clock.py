"""Faults of clocks: a wall clock that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drharness.deployment.operations import Operations
from drharness.engines.protocol import FAKETIME
from drharness.errors import DrHarnessError, UsageError
from drharness.faults import servers
from drharness.faults.model import Breakage, Fault, Seen
from drharness.faults.probes import powered
from drharness.kernel import validate
from drharness.kernel.waiting import wait_until

_NEAR_S = 0.5  # besides what the answer's travel makes uncertain
_HEAL_S = 5.0
_YEAR_S = 365 * 86400.0


@dataclass(frozen=True)
class ClockSkew(Fault):
    """A database's wall clock is wrong; its clock for durations is right.

    The library that does it must be there when a program starts: so the database is restarted, in
    order, and again at the heal. Its sessions end each time. A reboot of the VM ends the skew.

    :ivar target: DBMS VMs, as ``dormant.dbms``
    :ivar seconds: how far it is ahead (negative: behind), up to a year
    """

    target: str = "dormant.dbms"
    seconds: float = 3600.0

    def breakage(self, operations: Operations) -> Breakage:
        """The database says what time it is; restarted, it says so again."""
        validate.number("seconds", self.seconds, low=-_YEAR_S, high=_YEAR_S)
        if abs(self.seconds) < 2 * _NEAR_S:
            raise UsageError(f"seconds: expected at least 1 either way, got {self.seconds:g}.")
        regions = {vm.region: vm.id for vm in powered(operations, self.target) if vm.role == "dbms"}
        if not regions:
            raise UsageError(f"target: expected a DBMS VM, got {self.target!r}.")
        library = operations.require_power(FAKETIME)
        seen: dict[str, list[dict[str, float]]] = {region: [] for region in regions}

        def look(_patient: bool) -> Seen:
            for region, found in seen.items():
                found.append(operations.database(region, "wall:ahead"))
            return {vm: f"{seen[region][-1]['ahead']:+.3f} s" for region, vm in regions.items()}

        def missing(_before: Seen, _after: Seen) -> str:
            wrong = [
                f"{regions[region]} is ahead by {after['ahead']:+.3f} s, {before['ahead']:+.3f} "
                f"before; {self.seconds:+g} more due"
                for region, (before, after) in seen.items()
                if not _is_skewed(before, after, self.seconds)
            ]
            return "; ".join(wrong)

        return Breakage(
            look=look,
            apply=lambda: _skew(operations, list(regions), environment(library, self.seconds)),
            undo=lambda: _set_right(operations, list(regions)),
            targets=list(regions.values()),
            missing=missing,
        )


def environment(library: str, seconds: float) -> dict[str, str]:
    """What shifts a program's wall clock; https://github.com/wolfcw/libfaketime.

    CLOCK_MONOTONIC stays right, or time-outs would not; time stamps of files stay the host's.

    :param library: path of libfaketime
    """
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"{seconds:+f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _is_skewed(before: dict[str, float], after: dict[str, float], seconds: float) -> bool:
    near = _NEAR_S + before["within"] + after["within"]
    return abs(after["ahead"] - before["ahead"] - seconds) <= near


def _skew(operations: Operations, regions: Sequence[str], env: Mapping[str, str]) -> None:
    try:
        for region in regions:
            servers.restart(operations, region, env)
    except DrHarnessError:
        _set_right(operations, regions)
        raise


def _set_right(operations: Operations, regions: Sequence[str]) -> None:
    """Restart what still runs with a wrong clock; one that was rebooted has the right one."""
    for region in regions:
        servers.start_again(operations, region)
        if servers.runs(operations, region) and not _is_right(operations, region):
            servers.restart(operations, region, {})
            wait_until(
                partial(_is_right, operations, region),
                f"the right time in the database of {region}",
                timeout=_HEAL_S,
            )


def _is_right(operations: Operations, region: str) -> bool:
    found = operations.database(region, "wall:ahead")
    return bool(abs(found["ahead"]) <= _NEAR_S + found["within"])
