"""Real mistakes, made with an operator's own tools: each trips the one check it breaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drharness.deployment import Deployment, deploy
from drharness.topology import Topology, addresses

pytestmark = pytest.mark.slow


def sql(deployment: Deployment, vm: str, statement: str) -> None:
    """A statement by the superuser, in the VM of the database."""
    connect = "psycopg.connect('host=/run/postgresql dbname=config user=postgres', autocommit=True)"
    code = f"import psycopg, sys; {connect}.execute(sys.argv[1])"
    deployment.vm(vm).run([sys.executable, "-c", code, statement])


def test_a_standby_that_streams_but_does_not_replay_breaks_replication_truth(
    deployment: Deployment,
) -> None:
    sql(deployment, "region2-dbms", "SELECT pg_wal_replay_pause()")
    verdict = deployment.judge()
    assert set(verdict.failed) == {"S6"}, str(verdict)
    assert "it was not readable, yet the standby streams" in str(verdict)


def test_a_forgotten_slot_fills_the_disk_of_the_database(deployment: Deployment) -> None:
    forgotten = "SELECT pg_create_physical_replication_slot('forgotten', true)"
    sql(deployment, "region1-dbms", forgotten)
    much = "SELECT pg_logical_emit_message(false, '', repeat('x', 1 << 20))"
    sql(deployment, "region1-dbms", f"{much} FROM generate_series(1, 70)")

    def pinned() -> bool:
        used = [e["pg_wal_mb"] for e in deployment.history.of_kind("res") if e["db"] == "region1"]
        return len(used) > 1 and all(mb > 64 for mb in used[-2:])

    deployment.wait_until(pinned, "two samples of more than 64 MB of WAL")
    verdict = deployment.judge()
    assert set(verdict.failed) == {"L6"}, str(verdict)
    assert "MB of WAL on the disk of region1's database: at most 64" in str(verdict)


def test_a_standby_keeps_what_its_primary_keeps(deployment: Deployment) -> None:
    """Without a slot that pins it, the same amount of WAL goes with the next checkpoints."""
    much = "SELECT pg_logical_emit_message(false, '', repeat('x', 1 << 20))"
    sql(deployment, "region1-dbms", f"{much} FROM generate_series(1, 70)")
    sql(deployment, "region1-dbms", "CHECKPOINT")
    sql(deployment, "region2-dbms", "CHECKPOINT")
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_an_application_with_the_other_regions_proxy_breaks_the_graph(tmp_path: Path) -> None:
    """It works: no write is lost, none is refused. A region's loss would show the mistake."""
    name = "region2-application-b.application"
    topology = Topology.guide().replace(name, "tests.deployment.far_application:main")
    with deploy(topology, evidence_dir=tmp_path) as d:
        with d.traffic():
            pass
        verdict = d.judge()
    assert set(verdict.failed) == {"T1"}, str(verdict)
    assert "region2-application-b (application) is connected to 10.81.2.11:2030" in str(verdict)


def test_a_connection_from_where_no_server_runs_breaks_the_graph(deployment: Deployment) -> None:
    """Something on an Application VM uses the active database; no rule of the guide forbids it."""
    vm = deployment.vm("region1-application-b")
    code = "import socket; s = socket.create_connection(('10.81.3.10', 5432)); print(s.recv(1))"
    held = vm.submit("run", timeout=20.0, argv=[sys.executable, "-c", code])
    table = ["grep", "0A03510A:1538 01", "/proc/net/tcp"]
    deployment.wait_until(lambda: vm.run(table, check=False).ok, "the connection")
    verdict = deployment.judge()
    assert set(verdict.failed) == {"T1"}, str(verdict)
    assert not held.done()


def test_a_missing_hosts_line_breaks_the_name_matrix(deployment: Deployment) -> None:
    vm = deployment.vm("region1-framework-b")
    vm.run(["sed", "-i", f"/{addresses.FRAMEWORK_NAMES[0]}/d", "/etc/hosts"])
    verdict = deployment.judge()
    assert set(verdict.failed) == {"T2"}, str(verdict)
    assert "on region1-framework-b" in str(verdict)


def test_a_role_that_commits_locally_fails_the_audit(deployment: Deployment) -> None:
    sql(deployment, "region1-dbms", "ALTER ROLE configserver SET synchronous_commit = local")
    verdict = deployment.judge()
    assert set(verdict.failed) == {"T3"}, str(verdict)
    assert "synchronous_commit is local" in str(verdict)


def test_names_with_another_ttl_fail_the_audit(deployment: Deployment) -> None:
    name = addresses.FRAMEWORK_NAMES[0]
    deployment.dns.set({name: [addresses.address(1, "framework", "p")]}, ttl=300)
    verdict = deployment.judge()
    assert set(verdict.failed) == {"T3"}, str(verdict)


def test_a_standby_whose_rule_was_deleted_breaks_the_fence_matrix(deployment: Deployment) -> None:
    rule = ["-p", "tcp", "--dport", "5432", "--src", addresses.subnet(1, "framework")]
    deployment.vm("region2-dbms").run(["iptables", "-D", "INPUT", *rule, "-j", "REJECT"])
    verdict = deployment.judge()
    assert set(verdict.failed) == {"S5"}, str(verdict)
    assert "no way from the Framework of region1 to the database of region2" in str(verdict)


def test_a_rebooted_standby_without_return_fence_is_open(tmp_path: Path) -> None:
    with deploy(Topology.guide(return_fence="none"), evidence_dir=tmp_path) as d:
        d.operations.reboot("region2-dbms", cause="test")
        seen = {e["phase"]: e["res"] for e in d.history.of_kind("reach") if e.get("phase")}
        verdict = d.judge()
    assert seen["reboot"] == "ok"
    assert set(verdict.failed) == {"S5"}, str(verdict)
