"""Components killed or stopped: what is proven, who brings them back."""

from __future__ import annotations

import pytest

from drharness.deployment import Deployment
from drharness.engines.client import RemoteError
from drharness.errors import UsageError
from drharness.faults import ComponentFrozen, ComponentKilled
from drharness.faults.model import Fault


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "signal"),
    [
        ("active.framework-p.configserver", 9),
        ("proxies.backup", 15),
        ("region2-application-p.lca", 9),
        ("region2-application-p.application", 11),
    ],
)
def test_a_killed_component_is_another_process_after_healing(
    whole: Deployment, target: str, signal: int
) -> None:
    guard = whole.inject(ComponentKilled(target, signal))
    assert guard.receipt.changed == list(guard.receipt.before)
    fault = whole.history.faults[-1]
    guard.heal()
    for name in fault.targets:
        assert whole.operations.component_status(name)
        pid = whole.vm(name.partition(".")[0]).submit("kept", timeout=5.0).result(5)
        assert f"pid {pid[name.partition('.')[2]]}" != guard.receipt.before[f"{name} -> process"]
    assert whole.history.faults[-1].healed is not None


@pytest.mark.slow
def test_a_component_stopped_for_good_is_not_waited_for(whole: Deployment) -> None:
    vm = whole.vm("region1-framework-b")
    client = "drharness.components.client"
    guard = whole.inject(ComponentKilled("region1-framework-b.configserver"))
    vm.call(f"{client}:stop_component", {"name": "configserver"})
    guard.heal()
    assert "configserver" not in vm.submit("kept", timeout=5.0).result(5)
    vm.call(f"{client}:start_component", {"name": "configserver"})
    whole.operations.wait_component("region1-framework-b.configserver", "is up", {}, timeout=10.0)


@pytest.mark.slow
def test_a_killed_component_whose_vm_went_off_is_not_waited_for(whole: Deployment) -> None:
    guard = whole.inject(ComponentKilled("region1-framework-b.configserver"))
    whole.operations.power_off("region1-framework-b", cause="test")
    guard.heal()
    whole.operations.power_on("region1-framework-b", cause="test")
    whole.operations.wait_component("region1-framework-b.configserver", "is up", {}, timeout=10.0)


@pytest.mark.slow
def test_a_killed_component_may_get_its_process_id_again_in_another_boot(whole: Deployment) -> None:
    vm = "region1-framework-b"
    whole.operations.reboot(vm, cause="test")
    whole.operations.wait_component(f"{vm}.lca", "is up", {}, timeout=10.0)
    guard = whole.inject(ComponentKilled(f"{vm}.lca"))
    whole.operations.reboot(vm, cause="test")
    guard.heal()
    assert whole.operations.component_status(f"{vm}.lca")


@pytest.mark.slow
def test_a_frozen_component_answers_nothing_until_it_goes_on(whole: Deployment) -> None:
    target = "region1-application-b.csproxy"
    guard = whole.inject(ComponentFrozen(target))
    assert list(guard.receipt.after.values()) == ["stopped"]
    with pytest.raises(RemoteError, match="Timeout"):
        whole.operations.component_status(target, timeout=0.2)
    assert whole.operations.component_status("region1-application-b.application")
    guard.heal()
    assert whole.operations.component_status(target)


@pytest.mark.slow
def test_a_frozen_component_that_was_replaced_needs_no_healing(whole: Deployment) -> None:
    guard = whole.inject(ComponentFrozen("region1-framework-b.configserver"))
    whole.operations.reboot("region1-framework-b", cause="test")
    guard.heal()
    assert whole.history.faults[-1].healed is not None
    whole.operations.wait_component("region1-framework-b.configserver", "is up", {}, timeout=10.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            ComponentKilled("active.dbms"),
            r"target: expected a component.* got the VM 'active.dbms'",
        ),
        (ComponentKilled("proxies.p"), r"target: expected one of .* got 'proxies.p'"),
        (ComponentKilled("dormant.framework.lca"), r"expected components that run, got 'dormant"),
        (ComponentKilled("proxies.backup", 19), r"signal: expected one that ends .* got 19"),
        (ComponentFrozen("region2-framework-p.lca"), r"region2-framework-p.lca does not"),
    ],
    ids=repr,
)
def test_a_bad_target_is_named(unfenced: Deployment, fault: Fault, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        unfenced.inject(fault)


@pytest.mark.slow
def test_a_component_cannot_be_frozen_twice(whole: Deployment) -> None:
    whole.inject(ComponentFrozen("region1-framework-b.configserver"))
    with pytest.raises(UsageError, match="is frozen already"):
        whole.inject(ComponentFrozen("active.framework-b.configserver"))
