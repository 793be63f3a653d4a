"""Machines that lose their power, start again, or hang: what is proven, what heals."""

from __future__ import annotations

import pytest

from drharness.deployment import Deployment
from drharness.engines.client import RemoteError
from drharness.errors import UsageError
from drharness.faults import ComponentFrozen, VmDown, VmFrozen, VmRebooted
from drharness.faults.model import Fault
from tests.faults import links


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "vms"),
    [
        ("active.framework", ["region1-framework-p", "region1-framework-b"]),
        ("dormant.dbms", ["region2-dbms"]),
        ("proxies.primary", ["region1-application-p", "region2-application-p"]),
        ("dns", ["dns"]),
    ],
)
def test_vms_without_power_are_silent_until_it_is_back(
    whole: Deployment, target: str, vms: list[str]
) -> None:
    guard = whole.inject(VmDown(target))
    assert len(guard.receipt.lost) == len(vms)
    assert set(guard.receipt.after.values()) <= {"timeout", "unreachable"}
    assert not any(whole.operations.is_on(vm) for vm in vms)
    assert whole.history.faults[-1].targets == tuple(vms)
    guard.heal()
    assert all(whole.operations.is_on(vm) for vm in vms)


@pytest.mark.slow
def test_a_vm_powered_on_by_somebody_else_is_left_on(whole: Deployment) -> None:
    guard = whole.inject(VmDown("region1-framework-b"))
    whole.operations.power_on("region1-framework-b", cause="test")
    guard.heal()
    assert whole.operations.is_on("region1-framework-b")


@pytest.mark.slow
def test_a_reboot_loses_memory_and_starts_the_services_again(whole: Deployment) -> None:
    vm = whole.vm("region1-framework-b")
    vm.run(["touch", "/run/lost", "/var/lib/kept"])
    with whole.inject(VmRebooted(vm.id)) as guard:
        (before,), (after,) = guard.receipt.before.values(), guard.receipt.after.values()
        assert before != after
        assert not vm.run(["ls", "/run/lost"], check=False).ok
        assert vm.run(["ls", "/var/lib/kept"]).ok
    kept = vm.submit("kept", timeout=5.0).result(5)
    assert kept.keys() == {"lca", "configserver"}


@pytest.mark.slow
def test_a_frozen_vm_accepts_connections_and_answers_nothing(whole: Deployment) -> None:
    guard = whole.inject(VmFrozen("active.framework-b"))
    (probe,) = guard.receipt.changed
    assert (probe, guard.receipt.after[probe]) == ("region1-framework-b -> processes", "stopped")
    reach = whole.operations.reach("region1-application-p", [("10.81.1.12", 4999)], timeout=1.0)
    assert reach == ["ok"]
    with pytest.raises(RemoteError, match="Timeout"):
        whole.operations.component_status("region1-framework-b.lca", timeout=0.2)
    guard.heal()
    assert whole.operations.component_status("region1-framework-b.lca")["apps"]
    states = [e["state"] for e in whole.history.vms["region1-framework-b"]]
    assert states[-2:] == ["frozen", "thawed"]


@pytest.mark.slow
def test_a_frozen_vm_that_lost_its_power_meanwhile_is_not_thawed(whole: Deployment) -> None:
    guard = whole.inject(VmFrozen("region2-application-b"))
    whole.operations.power_off("region2-application-b", cause="test")
    guard.heal()
    assert not whole.operations.is_on("region2-application-b")
    whole.operations.power_on("region2-application-b", cause="test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (VmDown("region1-application-b"), "timeout"),
        (VmRebooted("region1-application-b"), "reset"),
        (VmFrozen("region1-application-b"), "timeout"),
    ],
    ids=repr,
)
def test_who_uses_an_open_connection_to_a_broken_vm(
    whole: Deployment, fault: Fault, heard: str
) -> None:
    client, server = "region2-application-b", "region1-application-b"
    links.serve(whole, server, links.ECHO_PORT)
    held = links.hold(whole, client, server, port=links.ECHO_PORT, name="talk", words="y")
    links.wait_open(whole, client, "talk")
    with whole.inject(fault):
        links.use(whole, client, "talk")
        assert held.result(30)["stdout"].strip() == heard
    links.stop(whole, server, links.ECHO_PORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (VmDown("active.dmbs"), r"target: expected one of .* got 'active.dmbs'.*'active.dbms'"),
        (VmDown("dormant.framework"), r"expected VMs that are on, got 'dormant.framework'"),
        (VmRebooted("region2-framework-p"), r"region2-framework-p is off"),
        (VmFrozen("region3"), r"target: expected one of .* got 'region3'"),
    ],
    ids=repr,
)
def test_a_bad_target_is_named(unfenced: Deployment, fault: Fault, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        unfenced.inject(fault)


@pytest.mark.slow
def test_what_is_frozen_already_cannot_be_frozen_with_its_vm(whole: Deployment) -> None:
    """Thawing the VM would let a component go on whose own fault is in force."""
    whole.inject(ComponentFrozen("region1-framework-b.configserver"))
    with pytest.raises(UsageError, match="region1-framework-b has stopped processes"):
        whole.inject(VmFrozen("region1-framework-b"))
