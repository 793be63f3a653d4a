"""Mistakes in moving the active region, on a real deployment, and what must not be called one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.engines.protocol import VmCut
from drharness.procedures import Procedure
from drharness.procedures.step import Context
from drharness.topology import Topology

pytestmark = pytest.mark.slow
STANDBY_CUT = VmCut("region2-dbms")
Result = dict[str, Any]


class Killed(BaseException):
    """The controller dies."""


Altered = Callable[[Context, Callable[[Context], Result]], Result]


def altered(step: str, action: Altered) -> Procedure:
    """The full failover with one step's action in the hands of another one."""
    shipped = procedures.full_failover(to="region2", max_lag_s=60)  # the gate is not the claim

    def hand_over(own: Callable[[Context], Result]) -> Callable[[Context], Result]:
        return lambda context: action(context, own)

    steps = tuple(
        dataclasses.replace(s, action=hand_over(s.action)) if s.id == step else s
        for s in shipped.steps
    )
    return dataclasses.replace(shipped, steps=steps)


def heal_when_fenced(context: Context, fence: Callable[[Context], Result]) -> Result:
    """The fence; what was on its way to the standby is gone by then."""
    done = fence(context)
    context.operations.heal(STANDBY_CUT)
    return done


def test_a_move_while_the_standby_lags_loses_what_was_acknowledged(tmp_path: Path) -> None:
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.operations.cut(STANDBY_CUT)
            traffic.wait_writes(5, timeout=20.0)
            outcome = d.run(altered("fence", heal_when_fenced))
            traffic.wait_writes(20, timeout=20.0)
        verdict = d.judge()
    assert outcome.ok, outcome.text
    assert set(verdict.failed) == {"D4"}, str(verdict)


def test_a_gate_that_always_says_zero_is_found_out(tmp_path: Path) -> None:
    def blind(context: Context, preflight: Callable[[Context], Result]) -> Result:
        return {"checked": True, "lag_bytes": 0, "lag_s": 0.0, "forced": False}

    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.operations.cut(STANDBY_CUT)
            traffic.wait_writes(10, timeout=20.0)
            d.inject(faults.RegionDown("region1"))
            d.operations.heal(STANDBY_CUT)
            wait_samples(d, "region2", 8)
            outcome = d.run(altered("preflight", blind))
            traffic.wait_writes(20, timeout=20.0)
        verdict = d.judge()
    assert outcome.ok, outcome.text
    assert set(verdict.failed) == {"D5"}, str(verdict)


def wait_samples(d: Deployment, region: str, count: int) -> None:
    """Let a region's database be sampled some more times."""
    before = len(d.history.dbs[region])
    d.wait_until(lambda: len(d.history.dbs[region]) >= before + count, f"{count} samples")


def killed_after(context: Context, promote: Callable[[Context], Result]) -> Result:
    """The promotion is done, but nobody hears of it."""
    promote(context)
    raise Killed


def promote_again(context: Context, promote: Callable[[Context], Result]) -> Result:
    """A promotion that opens an epoch even where one is open."""
    done = promote(context)
    sql = f"SELECT cfg_begin_epoch('{context.token}', pg_current_wal_lsn(), {done['tli'] + 1}, 9)"
    context.operations.database("region2", "server:execute", sql=sql)
    return {**done, "token": context.token}


@pytest.mark.parametrize(
    ("again", "found"),
    [(procedures.full_failover(to="region2"), set()), (altered("promote", promote_again), {"L5"})],
    ids=["as shipped", "opens another epoch"],
)
def test_a_killed_failover_run_again_opens_no_second_epoch(
    tmp_path: Path, again: Procedure, found: set[str]
) -> None:
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            d.inject(faults.RegionDown("region1"))
            with pytest.raises(Killed):
                d.run(altered("promote", killed_after))
            wait_samples(d, "region2", 2)
            outcome = d.run(again)
            traffic.wait_writes(20, timeout=20.0)
        verdict = d.judge()
    assert outcome.ok, outcome.text
    assert set(verdict.failed) == found, str(verdict)
    assert next(r for r in verdict.results if r.id == "L5").exercised
