"""Faults of the firewall on a deployment: who is let in, and that healing leaves what there was."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment, deploy
from drharness.deployment.operations import Operations
from drharness.errors import FaultNotProven, UsageError
from drharness.faults.model import Breakage, Fault
from drharness.faults.rules import opened
from drharness.topology import Topology

OWN, OTHER = "10.82.1.0/24", "10.81.1.0/24"
GUIDES = "-s {} -p tcp -m tcp --dport 5432 -j REJECT --reject-with icmp-port-unreachable"

pytestmark = pytest.mark.slow


def rules(d: Deployment, region: str) -> list[str]:
    """The rules of a region's DBMS VM, in their order."""
    lines = d.vm(f"{region}-dbms").run(["iptables", "-S", "INPUT"]).stdout.splitlines()
    return [line.removeprefix("-A INPUT ") for line in lines if line.startswith("-A")]


def from_region2(d: Deployment, region: str) -> str:
    """A new connection from region 2's Framework, whose VMs are off, to a region's database."""
    address = d.topology.dbms(region).address
    arguments = {"source": "10.82.1.77", "targets": [[address, 5432]], "timeout": 1.0}
    found: list[str] = d.vm("region2-application-b").call(
        "drharness.engines.agent.reach:probe_as", arguments
    )
    return found[0]


@pytest.mark.parametrize("region", ["active", "dormant"])
@pytest.mark.parametrize(
    "fault",
    [
        faults.FirewallMissing,
        faults.FirewallWrongOrder,
        faults.FirewallWrongSource,
        lambda region: faults.FirewallWrongSource(region, how="host"),
    ],
    ids=["missing", "order", "source", "host"],
)
def test_rules_that_are_wrong_let_in_whom_they_rejected(
    shared: Deployment, fault: type[faults.FirewallMissing], region: str
) -> None:
    name = shared.active if region == "active" else shared.dormant
    before = rules(shared, name)
    with shared.inject(fault(region)) as guard:
        assert from_region2(shared, name) == "ok"
        let_in = [k for k in guard.receipt.changed if guard.receipt.after[k] == "ok"]
        assert len(let_in) == (1 if region == "active" else 2)
    assert rules(shared, name) == before
    assert from_region2(shared, name) != "ok"


@pytest.mark.parametrize("how", ["duplicate", "wider"])
def test_a_rule_left_behind_outlives_deleting_the_guides_once(shared: Deployment, how: str) -> None:
    before = rules(shared, "region2")
    with shared.inject(faults.FirewallLeftBehind("dormant", how=how)):
        added = [*rules(shared, "region2")]
        shared.vm("region2-dbms").run(["iptables", "-D", "INPUT", *GUIDES.format(OWN).split()])
        assert from_region2(shared, "region2") != "ok"
        shared.vm("region2-dbms").run(["iptables", "-A", "INPUT", *GUIDES.format(OWN).split()])
    assert len(added) == len(before) + 1
    assert sorted(rules(shared, "region2")) == sorted(before)


def test_a_rule_left_behind_shuts_the_active_framework_out(shared: Deployment) -> None:
    with shared.inject(faults.FirewallLeftBehind("region1")) as guard:
        assert "ok" not in guard.receipt.after.values()
        assert rules(shared, "region1").count(GUIDES.format(OTHER)) == 2
    assert rules(shared, "region1") == [GUIDES.format(OWN)]


def test_saved_rules_are_gone_only_after_the_next_boot(deployment: Deployment) -> None:
    guard = deployment.inject(faults.FirewallLostAtReboot("dormant"))
    assert set(guard.receipt.after.values()) == {"let in"}
    assert from_region2(deployment, "region2") == "refused"
    deployment.operations.reboot("region2-dbms", cause="test")
    assert rules(deployment, "region2") == []
    guard.heal()
    deployment.operations.reboot("region2-dbms", cause="test")
    assert rules(deployment, "region2") == [GUIDES.format(OTHER), GUIDES.format(OWN)]


def test_saved_rules_of_a_vm_without_power_are_healed_on_its_disk(deployment: Deployment) -> None:
    guard = deployment.inject(faults.FirewallLostAtReboot("dormant"))
    deployment.operations.power_off("region2-dbms", cause="test")
    guard.heal()
    assert not deployment.operations.is_on("region2-dbms")
    deployment.operations.power_on("region2-dbms", cause="test")
    assert len(rules(deployment, "region2")) == 2


def test_a_region_that_returns_without_its_saved_rules_is_caught(deployment: Deployment) -> None:
    """Nothing keeps its own Framework from its old database: a second master."""
    master = "region1-framework-p.configserver"
    with deployment.traffic():
        deployment.inject(faults.FirewallLostAtReboot("active"))
        down = deployment.inject(faults.RegionDown("region1"))
        outcome = deployment.run(procedures.full_failover(to="region2"))
        down.heal()
        deployment.operations.wait_component(
            master, "is primary again", {"role": "primary", "db": "region1"}, timeout=15.0
        )
    verdict = deployment.judge()
    assert outcome.ok, outcome.text
    assert "S5" in {f.invariant for f in verdict.findings}, str(verdict)


def test_rules_that_a_boot_has_set_anew_are_left_alone(deployment: Deployment) -> None:
    guard = deployment.inject(faults.FirewallWrongOrder("dormant"))
    deployment.operations.reboot("region2-dbms", cause="test")
    before = rules(deployment, "region2")
    guard.heal()
    assert rules(deployment, "region2") == before == [GUIDES.format(OTHER), GUIDES.format(OWN)]


def test_nothing_to_spoil_is_said(tmp_path: Path) -> None:
    with deploy(Topology.guide(return_fence="none"), evidence_dir=tmp_path) as d:
        with pytest.raises(UsageError, match="region1-dbms saves no rules"):
            d.inject(faults.FirewallLostAtReboot("active"))
        d.operations.set_firewall("region1", unblock=[OWN])
        with pytest.raises(UsageError, match="rejects no Framework subnet"):
            d.inject(faults.FirewallMissing("active"))
        with pytest.raises(UsageError, match="region: expected one of active, dormant, region1"):
            d.inject(faults.FirewallMissing("region3"))
        d.operations.power_off("region1-dbms", cause="test")
        with pytest.raises(UsageError, match="region1-dbms is powered off"):
            d.inject(faults.FirewallMissing("region1"))


@dataclass(frozen=True)
class Vain(faults.FirewallMissing):
    """Looks twice and deletes nothing."""

    def breakage(self, operations: Operations) -> Breakage:
        """The same, without its effect."""
        planned = super().breakage(operations)
        return dataclasses.replace(planned, apply=lambda: None, undo=lambda: None)


def test_rules_still_in_force_prove_nothing(shared: Deployment) -> None:
    with pytest.raises(FaultNotProven, match="nobody is let in who was rejected"):
        shared.inject(Vain("dormant"))


def test_one_source_let_in_and_one_still_rejected_prove_nothing() -> None:
    before = {"a": "refused", "b": "refused", "c": "ok"}
    assert opened(before, {"a": "ok", "b": "ok", "c": "ok"}) == ""
    assert opened(before, {"a": "ok", "b": "timeout", "c": "ok"}) == "still rejected: b"


@pytest.mark.parametrize(
    "fault",
    [
        faults.FirewallLeftBehind("dormant"),
        faults.FirewallMissing("dormant"),
    ],
    ids=repr,
)
def test_the_shipped_procedure_opens_the_database_all_the_same(
    deployment: Deployment, fault: Fault
) -> None:
    """And healing afterwards does not shut out the Framework that is in charge by then."""
    with deployment.traffic():
        deployment.inject(fault)
        deployment.inject(faults.RegionDown("region1"))
        outcome = deployment.run(procedures.full_failover(to="region2"))
        deployment.heal()
        assert from_region2(deployment, "region2") == "ok"
    verdict = deployment.judge()
    assert outcome.ok, outcome.text
    assert verdict.ok, str(verdict)


def test_a_rule_nobody_knows_of_fails_unblock_by_its_effect(deployment: Deployment) -> None:
    procedure = procedures.full_failover(to="region2")
    with deployment.traffic():
        guard = deployment.inject(faults.FirewallLeftBehind("dormant", how="wider"))
        deployment.inject(faults.RegionDown("region1"))
        failed = deployment.run(procedure)
        guard.heal()
        again = deployment.run(procedure)
    verdict = deployment.judge()
    assert (failed.status, failed.step) == ("fail", "unblock")
    assert "the database of region2 open to the Framework of region2: not within" in failed.text
    assert "refused" in failed.text
    assert again.ok, again.text
    assert verdict.ok, str(verdict)


def test_writes_stop_while_the_framework_is_shut_out_and_go_on_after(
    deployment: Deployment,
) -> None:
    with deployment.traffic() as traffic:
        with deployment.inject(faults.FirewallLeftBehind("active")):
            refused = deployment.operations.canary("region1", "shut out", deadline=1.0)
        traffic.wait_writes(60, timeout=20.0)
    verdict = deployment.judge()
    assert not refused["ok"]
    assert verdict.ok, str(verdict)
