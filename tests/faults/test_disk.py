"""Full disks of a running deployment, and what its databases make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.checks import Verdict
from drharness.deployment import Deployment, deploy
from drharness.errors import UsageError
from drharness.faults import DiskFull
from drharness.faults.probes import ask
from drharness.kernel.waiting import wait_until
from tests.faults.canaries import wait_writable

pytestmark = pytest.mark.slow


def write(d: Deployment, vm: str, size: int) -> str:
    """What comes of writing a file of that size to a VM's disk; the file is removed."""
    return str(d.operations.measure(vm, "write_file", directory="/var/lib", size=size))


def test_a_full_disk_takes_nothing_new_until_it_is_healed(shared: Deployment) -> None:
    guard = shared.inject(DiskFull("active.framework"))
    vms = [vm.id for vm in shared.region("region1") if vm.role == "framework"]
    assert guard.receipt.after == {f"{vm} -> /var/lib": "no space" for vm in vms}
    assert set(guard.receipt.before.values()) == {"ok"}
    assert write(shared, "region1-dbms", 1 << 20) == "ok"
    guard.heal()
    assert write(shared, vms[0], 1 << 20) == "ok"
    wait_writable(shared)


def test_room_that_is_left_can_be_used(shared: Deployment) -> None:
    left = 2_000_000
    with shared.inject(DiskFull("dormant.application-p", leave_bytes=left)) as guard:
        (probe,) = guard.receipt.after
        vm = probe.partition(" -> ")[0]
        assert write(shared, vm, left) == "ok"
        assert write(shared, vm, left + 100_000) == "no space"


def test_a_synchronous_standby_without_room_holds_writes_up_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    """Its server ends when it needs a page; the heal has it started."""
    with deploy(evidence_dir=tmp_path) as d:
        with d.traffic() as traffic:
            guard = d.inject(DiskFull("dormant.dbms"))
            wait_until(
                lambda: "postgres" not in ask(d.operations, "region2-dbms", "kept"),
                "the end of the standby",
                timeout=20.0,
            )
            guard.heal()
            assert "postgres" in ask(d.operations, "region2-dbms", "kept")
            traffic.wait_writes(100, timeout=20.0)
        wait_writable(d)
        judgement = d.judge()
    assert judgement.status is Verdict.PASS, str(judgement)


def test_a_full_disk_stays_full_over_a_power_off(shared: Deployment) -> None:
    vm = "region2-application-b"
    guard = shared.inject(DiskFull(vm))
    shared.operations.reboot(vm)
    assert write(shared, vm, 1 << 20) == "no space"
    shared.operations.power_off(vm)
    guard.heal()
    shared.operations.power_on(vm)
    assert write(shared, vm, 1 << 20) == "ok"
    wait_writable(shared)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (DiskFull("dormant.dmbs"), r"Did you mean 'dormant.dbms'"),
        (DiskFull("dormant.framework"), "region2-framework-p"),
        (DiskFull(leave_bytes=-1), "leave_bytes: expected a number from 0 to 5e.08, got -1"),
    ],
    ids=repr,
)
def test_nonsense_is_refused(shared: Deployment, fault: DiskFull, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shared.inject(fault)
