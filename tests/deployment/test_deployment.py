"""A deployment as its users hold it: what is up, what it answers, what it leaves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drharness.deployment import Deployment, deploy, evidence
from drharness.deployment.operations import Operations
from drharness.errors import FaultNotProven, StartupFailed, UsageError, WaitTimeout
from drharness.faults import RegionDown, RegionsCut
from drharness.faults.model import Breakage, Fault, tcp
from drharness.faults.probes import services_of, witness
from drharness.kernel import clock
from drharness.procedures import full_failover
from drharness.topology import Topology, addresses
from fixtures import leaks


@dataclass(frozen=True)
class Nothing(Fault):
    """A fault that claims to cut a region off and does nothing."""

    def breakage(self, operations: Operations) -> Breakage:
        """Look at region 1 and leave it alone."""
        vms = operations.topology.vms_of("region1")
        probes = {witness(operations, vms): services_of(vms)}
        return Breakage(tcp(operations, probes), apply=lambda: None, undo=lambda: None)


def test_roles_are_those_of_normal_operation(shared: Deployment) -> None:
    status = shared.operations.component_status
    assert status("region1-framework-p.configserver")["role"] == "primary"
    assert status("region1-framework-b.configserver")["role"] == "backup"
    assert [status(p)["mode"] for p in shared.proxies()] == ["normal"] * 4
    assert not shared.operations.is_on("region2-framework-p")
    assert (shared.active, shared.dormant) == ("region1", "region2")


def test_the_standby_is_a_synchronous_replica(shared: Deployment) -> None:
    active = shared.operations.database_status("region1")
    standby = shared.operations.database_status("region2")
    assert (active["writable"], standby["in_recovery"]) == (True, True)
    assert [row[2] for row in active["senders"]] == ["sync"]
    assert active["sysid"] == standby["sysid"]


def test_the_guides_rule_closes_the_dormant_database_and_not_replication(
    shared: Deployment,
) -> None:
    rules = shared.vm("region2-dbms").run(["iptables", "-S", "INPUT"]).stdout
    for subnet in ("10.81.1.0/24", "10.82.1.0/24"):
        assert f"-s {subnet} -p tcp -m tcp --dport 5432 -j REJECT" in rules
    targets = [("10.81.3.10", 5432), ("10.82.3.10", 5432)]
    reach = shared.operations.reach
    assert reach("region1-framework-p", targets) == ["ok", "refused"]
    assert reach("region1-dbms", [("10.82.3.10", 5432)]) == ["ok"]


def test_a_rule_set_twice_is_there_once_and_goes_at_once(shared: Deployment) -> None:
    set_firewall = shared.operations.set_firewall
    assert set_firewall("region2", block=["10.81.1.0/24"]) == []
    vm = shared.vm("region2-dbms")
    rule = [
        "iptables",
        "-A",
        "INPUT",
        "-p",
        "tcp",
        "--dport",
        "5432",
        "--src",
        "10.81.1.0/24",
        "-j",
        "REJECT",
    ]
    vm.run(["sudo", *rule])  # as an operator types it, a second time
    assert len(set_firewall("region2", unblock=["10.81.1.0/24"])) == 2
    assert "10.81.1.0/24" not in vm.run(["iptables", "-S"]).stdout
    assert len(set_firewall("region2", block=["10.81.1.0/24"])) == 1


def test_a_new_block_leaves_an_open_session_hanging(shared: Deployment) -> None:
    """REJECT answers new connections; packets of an open one are answered by ICMP nobody heeds."""
    vm = shared.vm("region1-framework-b")
    held = vm.submit(
        "call",
        timeout=20.0,
        function="drharness.engines.agent.reach:probe_established",
        kwargs={"host": "10.81.3.10", "port": 5432},
    )
    gate = "drharness.engines.agent.reach:open_gate"
    shared.wait_until(lambda: vm.run(["ls", "/run/drharness"]).stdout.count("waiting"), "it")
    block = ["10.81.1.12/32"]
    shared.operations.set_firewall("region1", block=block)
    assert shared.operations.reach(vm.id, [("10.81.3.10", 5432)]) == ["refused"]
    assert vm.call(gate) is True
    assert held.result(20) == "timeout"
    shared.operations.set_firewall("region1", unblock=block)
    assert shared.operations.reach(vm.id, [("10.81.3.10", 5432)]) == ["ok"]


def test_framework_vms_resolve_the_names_to_themselves(shared: Deployment) -> None:
    for name, address in zip(addresses.FRAMEWORK_NAMES, ("10.81.1.11", "10.81.1.12"), strict=True):
        line = shared.vm("region1-framework-p").run(["getent", "ahostsv4", name]).stdout
        assert line.startswith(address)


def test_an_operators_tools_ask_the_deployments_dns(shared: Deployment) -> None:
    name = addresses.FRAMEWORK_NAMES[0]
    vm = shared.vm("region2-application-b")
    assert vm.run(["getent", "ahostsv4", name]).stdout.startswith("10.81.1.11")
    answer = shared.operations.look_up(vm.id, name)
    assert answer["addresses"] == ["10.81.1.11"]
    assert answer["ttl"] <= 1


def test_a_changed_name_is_seen_after_its_ttl_and_at_once_after_a_flush(
    shared: Deployment,
) -> None:
    dns, vm, name = shared.dns, "region2-application-b", "www.dr.internal"
    dns.set({name: ["10.9.9.1"]}, ttl=300)
    assert dns.look_up(vm, name)["addresses"] == ["10.9.9.1"]
    since = clock.now_ns()
    serial = dns.set({name: ["10.9.9.2"]}, ttl=300)["serial"]
    assert dns.zone()["serial"] == serial
    assert dns.look_up(vm, name)["addresses"] == ["10.9.9.1"]
    (kept,) = [entry for entry in dns.cache(vm) if entry["name"].startswith("www")]
    assert 290 < kept["ttl_left"] <= 300
    assert dns.flush(vm)["flushed"] >= 1
    assert dns.look_up(vm, name)["addresses"] == ["10.9.9.2"]
    asked = [q for q in dns.queries(since) if q["client"] == "10.82.2.12"]
    assert asked[-1]["answers"] == ["10.9.9.2"]
    dns.set({name: []})
    dns.flush(vm)
    assert dns.look_up(vm, name)["rcode"] == "NXDOMAIN"


def test_a_change_made_in_one_region_is_read_in_the_other(shared: Deployment) -> None:
    seen = shared.operations.canary("region2", "hello", deadline=15.0)
    assert seen["ok"], seen
    assert seen["write"]["epoch"] == shared.operations.database_status("region1")["epoch"]


def test_a_killed_component_is_restarted_in_its_mode(shared: Deployment) -> None:
    vm = shared.vm("region2-application-p")
    running = vm.submit("processes", timeout=5.0).result(5)
    (pid,) = [int(p) for p, name in running.items() if name == "csproxy"]
    vm.submit("signal", timeout=5.0, pid=pid, signal=9).result(5)
    wanted = {"role": "primary", "mode": "normal"}
    shared.operations.wait_component(f"{vm.id}.csproxy", "back", wanted, timeout=10.0)
    assert vm.submit("processes", timeout=5.0).result(5) != running


def test_a_rebooted_database_vm_lets_nobody_in_until_told(shared: Deployment) -> None:
    """With the return fence the rules are in force before the database is."""
    operations = shared.operations
    operations.reboot("region2-dbms", cause="test")
    rules = shared.vm("region2-dbms").run(["iptables", "-S", "INPUT"]).stdout
    assert rules.count("REJECT") == 2
    operations.database("region1", "server:wait_streaming", name="region2", timeout=20.0)


def test_unknown_names_are_named_with_the_nearest(shared: Deployment) -> None:
    with pytest.raises(UsageError, match="'region1-dbms'"):
        shared.vm("region1-dmbs")
    with pytest.raises(UsageError, match="csproxy"):
        shared.component("region1-application-p.proxy")
    with pytest.raises(UsageError, match="region: expected one of region1, region2"):
        shared.region("region3")


def test_a_wait_says_what_it_last_saw(shared: Deployment) -> None:
    with pytest.raises(WaitTimeout, match=r"is backup: not within .*\n.*role='primary'"):
        shared.operations.wait_component(
            "region1-framework-p.configserver", "is backup", {"role": "backup"}, timeout=0.1
        )


@pytest.mark.slow
def test_a_fault_heals_what_it_broke_and_one_without_effect_is_an_error(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        with pytest.raises(
            FaultNotProven, match=r"its effect was not seen; still reachable: .*5432"
        ):
            d.inject(Nothing())
        cut = d.inject(RegionsCut())
        with pytest.raises(UsageError, match="in force already"):
            d.inject(RegionsCut("region2", "region1"))
        assert d.operations.are_cut("region1", "region2")
        d.heal()
        assert not d.operations.are_cut("region1", "region2")
        cut.heal()  # once more: nothing to do
        with d.inject(RegionDown("region2")) as guard:
            assert guard.receipt.lost
        assert d.operations.is_on("region2-application-p")
        with pytest.raises(UsageError, match="region9"):
            d.inject(RegionDown("region9"))


@pytest.mark.slow
def test_two_deployments_at_once_do_not_meet(tmp_path: Path) -> None:
    before = leaks.everything(os.getpid())
    with deploy(evidence_dir=tmp_path) as one, deploy(evidence_dir=tmp_path) as other:
        assert one.operations.canary("region1", "one", deadline=15.0)["ok"]
        assert other.operations.canary("region2", "other", deadline=15.0)["ok"]
        one.inject(RegionDown("region1"))
        assert other.operations.canary("region1", "other", deadline=15.0)["ok"]
        assert one.evidence != other.evidence
    left = leaks.new_since(before, os.getpid())
    assert set(left) <= {"processes"}
    assert all("launcher" in p for p in left.get("processes", ()))


@pytest.mark.slow
def test_evidence_stays_and_tells_the_topology(tmp_path: Path) -> None:
    with deploy(Topology.guide(replication="async", ttl=3), evidence_dir=tmp_path) as d:
        run = d.evidence
    first = json.loads((run / "controller.jsonl").read_text().splitlines()[0])
    assert Topology.from_dict(first["topology"]) == Topology.guide(replication="async", ttl=3)
    assert (run / "vms" / "region1-dbms" / "postgres.log").stat().st_size > 0
    assert not (run / "disks").exists()


def test_only_the_last_runs_are_kept_and_the_last_that_did_not_pass(tmp_path: Path) -> None:
    for number in range(2 * evidence.KEPT):
        run = evidence.new_run(tmp_path)
        (run / evidence.VERDICT).write_text("FAIL: x\n" if number < 3 else "PASS: x\n")
        evidence.close_run(run)
    kept = [(p / evidence.VERDICT).read_text() for p in tmp_path.iterdir()]
    assert kept.count("FAIL: x\n") == 3
    assert evidence.KEPT <= len(kept) <= evidence.KEPT + 4


def test_a_run_that_goes_on_is_never_dropped(tmp_path: Path) -> None:
    mine = evidence.new_run(tmp_path)
    for _ in range(evidence.KEPT + 3):
        evidence.close_run(evidence.new_run(tmp_path))
    assert mine.is_dir()


def test_an_unwritable_evidence_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"evidence directory .*/file/runs: cannot be written"):
        evidence.new_run(tmp_path / "file" / "runs")


def test_a_current_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match=r"evidence directory \.drharness: cannot be written"):
        evidence.new_run()


@pytest.mark.parametrize("fault", [None, RegionDown, "region-down"])
def test_what_is_no_fault_is_refused(shared: Deployment, fault: Any) -> None:
    with pytest.raises(UsageError, match=r"fault: expected an instance of a fault, like faults"):
        shared.inject(fault)


@pytest.mark.parametrize("procedure", [None, full_failover, "full-failover"])
def test_what_is_no_procedure_is_refused(shared: Deployment, procedure: Any) -> None:
    with pytest.raises(UsageError, match=r"procedure: expected one, like procedures.full_failover"):
        shared.run(procedure)


@pytest.mark.parametrize("topology", ["x", 0, Topology])
def test_what_is_no_topology_is_refused(tmp_path: Path, topology: Any) -> None:
    with (
        pytest.raises(UsageError, match="topology: expected a Topology"),
        deploy(topology, evidence_dir=tmp_path),
    ):
        pass


def test_traffic_without_applications_is_refused(tmp_path: Path) -> None:
    with deploy(evidence_dir=tmp_path) as d:
        d.operations.power_off(*(v.id for v in d.topology.vms if v.role == "application"))
        with pytest.raises(UsageError, match="no Application VM is on"):
            d.traffic().__enter__()


def test_a_replacement_that_cannot_be_imported_is_told_at_once(tmp_path: Path) -> None:
    topology = Topology.guide().replace("csproxy", "no_module:main")
    with (
        pytest.raises(UsageError, match=r"csproxy: .*'no_module:main'.*No module named"),
        deploy(topology, evidence_dir=tmp_path),
    ):
        pass


@pytest.mark.slow
def test_a_replacement_that_fails_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    topology = Topology.guide().replace("application", "os:abort")
    says = r"(?s)region1-application-p\.application connected.*last lines of .*TypeError"
    with pytest.raises(StartupFailed, match=says), deploy(topology, evidence_dir=tmp_path):
        pass
