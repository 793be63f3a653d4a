"""What comes of broken replication: bugs found, and no false alarm where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.dbms import binaries
from drharness.deployment import Deployment, deploy
from drharness.errors import StartupFailed, UsageError
from drharness.faults.model import Fault
from drharness.faults.probes import ask
from drharness.kernel import clock
from drharness.topology import Topology
from tests.procedures.drills import writes_since

DOWN = faults.RegionDown("region1")
FAILOVER = procedures.full_failover(to="region2")
LOSSY = procedures.full_failover(to="region2", max_lag_s=60)
FORCED = procedures.full_failover(to="region2", force=True)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", [faults.SlotLost(), faults.StandbyLagging("receive")], ids=repr)
def test_synchronous_writes_wait_for_a_standby_that_receives_nothing(
    deployment: Deployment, fault: Fault
) -> None:
    """They are of unknown outcome, never lost; healed, all is well."""
    with deployment.traffic():
        guard = deployment.inject(fault)
        since = guard.receipt.proven
        deployment.wait_until(lambda: writes_since(deployment, since, "info"), "a write given up")
        assert not writes_since(deployment, since, "ok")
        guard.heal()
        deployment.wait_until(lambda: len(writes_since(deployment, since, "ok")) > 50, "writes")
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize("fault", [faults.StandbyLagging(), faults.LongReader()], ids=repr)
def test_a_standby_that_only_applies_late_keeps_no_write_waiting(
    deployment: Deployment, fault: Fault
) -> None:
    with deployment.traffic():
        guard = deployment.inject(fault)
        since = guard.receipt.proven
        deployment.wait_until(lambda: len(writes_since(deployment, since, "ok")) > 20, "writes")
        guard.heal()
        healed = clock.now_ns()
        deployment.wait_until(lambda: len(writes_since(deployment, healed, "ok")) > 50, "writes")
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize("fault", [faults.StandbyLagging(), faults.LongReader()], ids=repr)
def test_what_is_not_replayed_is_not_promoted_until_it_is(
    deployment: Deployment, fault: Fault
) -> None:
    """Refused, with the reason, before anything was changed; healed, the same run loses nothing."""
    with deployment.traffic():
        guard = deployment.inject(fault)
        deployment.inject(DOWN)
        refused = deployment.run(FAILOVER)
        assert (refused.status, refused.step) == ("refused", "preflight"), refused.text
        assert "replay" in refused.text
        guard.heal()
        again = deployment.run(FAILOVER)
    assert again.ok, again.text
    assert not again.lost
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_a_standby_that_applies_late_is_waited_for(deployment: Deployment) -> None:
    with deployment.traffic():
        deployment.inject(faults.StandbyLagging(seconds=1.0))
        deployment.inject(DOWN)
        outcome = deployment.run(FAILOVER)
    assert outcome.ok, outcome.text
    assert not outcome.lost
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_without_synchrony_what_the_standby_did_not_receive_is_lost_as_a_suffix(
    tmp_path: Path,
) -> None:
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        with d.traffic():
            since = d.inject(faults.StandbyLagging("receive")).receipt.proven
            d.wait_until(lambda: len(writes_since(d, since, "ok")) > 20, "writes")
            down = d.inject(DOWN).receipt.since
            outcome = d.run(LOSSY)
        assert outcome.ok, outcome.text
        acked = {w.opid for w in writes_since(d, since, "ok") if w.done < down}
        assert acked <= {w.opid for w in outcome.lost}
        verdict = d.judge()
        d.heal()
    assert verdict.ok, str(verdict)  # the loss is legal


def test_a_stray_receiver_is_refused_by_its_address_and_forced_past_it_loses(
    deployment: Deployment,
) -> None:
    """The standby is cut off, yet commits are acknowledged: they go with the active region."""
    address = deployment.topology.dbms("region1").address
    with deployment.traffic():
        deployment.inject(faults.StrayWalReceiver())
        since = deployment.inject(faults.StandbyCut()).receipt.proven
        deployment.wait_until(
            lambda: len(writes_since(deployment, since, "ok")) > 20, "writes the stray acknowledges"
        )
        deployment.inject(DOWN)
        refused = deployment.run(FAILOVER)
        assert (refused.status, refused.step) == ("refused", "preflight"), refused.text
        assert f"a receiver at {address} takes the name of region2's database" in refused.text
        outcome = deployment.run(FORCED)
    assert outcome.lost
    verdict = deployment.judge()
    assert set(verdict.failed) == {"D1"}, str(verdict)
    deployment.heal()  # the VM that it ran on has been powered off


def test_after_a_failover_there_is_no_standby_to_disturb(deployment: Deployment) -> None:
    """What was the primary is none, though it is powered on again."""
    guard = deployment.inject(DOWN)
    assert deployment.run(FAILOVER).ok
    guard.heal()
    deployment.operations.database("region1", "server:wait_accepting")
    for fault in (faults.LongReader(), faults.StandbyLagging(), faults.SlotLost()):
        with pytest.raises(UsageError, match="region1-dbms is no standby of region2-dbms"):
            deployment.inject(fault)


def test_a_standby_whose_wal_was_recycled_is_told_when_its_slot_is_back(tmp_path: Path) -> None:
    psql = [binaries.find().program("psql"), "-h", "/run/postgresql", "-U", "postgres", "config"]
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        guard = d.inject(faults.SlotLost())
        keep = "disturbance:set_for_now"
        d.operations.database("region1", keep, name="wal_keep_size", value="0")
        for _ in range(4):
            d.operations.database("region1", "disturbance:mark")
            d.vm("region1-dbms").run([*psql, "-c", "SELECT pg_switch_wal()", "-c", "CHECKPOINT"])
        with pytest.raises(StartupFailed, match=r"region2-dbms needs WAL from .* built anew"):
            guard.heal()


def test_half_a_record_at_the_end_keeps_no_failover_from_its_way(deployment: Deployment) -> None:
    """WAL is sent by pages: what a dead primary sent last may never be replayed.

    Whatever the server itself writes next completes the record, hence one more every second.
    """
    message = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 20000))"
    psql = [binaries.find().program("psql"), "-h", "/run/postgresql", "-U", "postgres", "config"]
    program = [*psql, "-c", "BEGIN", *(["-c", message, "-c", "SELECT pg_sleep(1)"] * 60)]
    ask(deployment.operations, "region1-dbms", "start", name="half", program=program)

    def behind() -> bool:
        status = deployment.operations.database_status("region2")
        return bool(status["recv"] != status["replay"])

    deployment.wait_until(behind, "half a record on the standby")
    deployment.inject(DOWN)
    outcome = deployment.run(FAILOVER)
    assert outcome.ok, outcome.text
