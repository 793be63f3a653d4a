"""What a cut link, a frozen standby and a stranger of the same name do to acknowledged commits.

On whole deployments, because packets have to be lost; everything else is in the files beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drharness.dbms.binaries import find
from drharness.deployment import Deployment, deploy
from drharness.engines.protocol import RegionCut
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology

pytestmark = pytest.mark.slow

PRIMARY, STANDBY, APPLICATION = "region1-dbms", "region2-dbms", "region1-application-p"
BOTH_WAYS = RegionCut("region1", "region2"), RegionCut("region2", "region1")
WARNING = "canceling wait for synchronous replication due to user request"


@pytest.fixture(scope="module")
def synchronous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose commits wait for the standby; tests leave it as they find it."""
    topology = Topology.guide(replication="sync")
    with deploy(topology, evidence_dir=tmp_path_factory.mktemp("runs")) as d:
        yield d


@pytest.fixture
def asynchronous(tmp_path: Path) -> Iterator[Deployment]:
    """A fresh deployment whose commits wait for nobody, with a replicated table ``noted``."""
    with deploy(Topology.guide(replication="async"), evidence_dir=tmp_path) as d:
        query(d, PRIMARY, "CREATE TABLE noted (n int)")
        at = query(d, PRIMARY, "SELECT pg_current_wal_flush_lsn()")
        d.operations.database("region2", "server:quiesced", lsn=at, timeout=10.0)
        yield d


def query(d: Deployment, vm: str, sql: str) -> str:
    """What psql prints for a statement that the superuser gives in a VM."""
    psql = [find().program("psql"), "-h", "/run/postgresql", "-U", "postgres", "-d", "config"]
    return d.vm(vm).run([*psql, "-Atc", sql]).stdout.strip()


def start_write(d: Deployment, value: str) -> Future[Any]:
    """A change through a proxy that goes on in the background, read back by its canary."""
    return d.vm(APPLICATION).submit(
        "call",
        timeout=30.0,
        function="drharness.components.client:canary",
        kwargs={"key": "canary/region1", "val": value, "deadline": 8.0},
    )


def waiting_commit(d: Deployment) -> str:
    """Wait for the one commit that waits for the standby: its process id."""
    sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return wait_until(lambda: query(d, PRIMARY, sql), "a commit that waits", timeout=10.0)


def seq(d: Deployment, region: str) -> int:
    """Number of the last change that can be seen in a region's database."""
    return int(d.operations.database_status(region)["seq"])


def test_a_cancelled_wait_is_an_open_outcome_to_the_application(synchronous: Deployment) -> None:
    d = synchronous
    d.operations.cut(*BOTH_WAYS)
    held = start_write(d, "cancelled")
    query(d, PRIMARY, f"SELECT pg_cancel_backend({waiting_commit(d)})")
    written = held.result(30)["write"]
    d.operations.heal(*BOTH_WAYS)
    assert (written["type"], written["err"]["cls"]) == ("info", "unknown")
    assert written["err"]["notices"] == [WARNING]
    streaming_again(d)


def test_a_waiting_commit_is_seen_on_the_standby_first(synchronous: Deployment) -> None:
    """The reverse is often believed. Databases compare only at one LSN, with writes paused."""
    d = synchronous
    before = seq(d, "region1")
    replies = RegionCut("region2", "region1")
    d.operations.cut(replies)
    held = start_write(d, "early")
    waiting_commit(d)
    wait_until(lambda: seq(d, "region2") == before + 1, "the row on the standby", timeout=10.0)
    assert seq(d, "region1") == before
    d.operations.heal(replies)
    assert held.result(30)["write"]["type"] == "ok"
    assert seq(d, "region1") == before + 1
    streaming_again(d)


def test_a_stranger_with_the_standbys_name_acknowledges_in_its_place(
    synchronous: Deployment,
) -> None:
    """A tag, no warning, and no row on the standby: only the sender's address gives it away."""
    d = synchronous
    before = seq(d, "region2")
    d.operations.cut(*BOTH_WAYS)
    receiver = receive_as_standby(d)
    seen = start_write(d, "stranger").result(30)
    assert seen["ok"], seen
    assert seq(d, "region1") == before + 1
    assert seq(d, "region2") == before
    d.vm(PRIMARY).submit("stop", timeout=5.0, name=receiver).result(5)
    d.operations.heal(*BOTH_WAYS)
    streaming_again(d)
    assert [it[1] for it in d.operations.database_status("region1")["senders"]] == ["10.82.3.10"]


def receive_as_standby(d: Deployment) -> str:
    """Start pg_receivewal under the standby's name; wait until it has its place. Its service."""
    where = "host=10.81.3.10 user=replicator password=replicator application_name=region2"
    script = (
        f"mkdir -p /tmp/wal; exec {find().program('pg_receivewal')}"
        f" -D /tmp/wal --synchronous -d '{where}'"
    )
    program = ["/bin/sh", "-c", script]
    d.vm(PRIMARY).submit("start", timeout=5.0, name="receiver", program=program).result(5)
    senders = partial(d.operations.database_status, "region1")
    wait_until(
        lambda: senders()["senders"] == [["region2", "10.81.3.10", "sync"]],
        "the stranger as the one synchronous standby",
        timeout=15.0,
        describe=lambda: str(senders()["senders"]),
    )
    return "receiver"


def streaming_again(d: Deployment) -> None:
    """Wait until the real standby has everything."""
    d.operations.database("region1", "server:wait_streaming", name="region2", timeout=20.0)
    at = query(d, PRIMARY, "SELECT pg_current_wal_flush_lsn()")
    d.operations.database("region2", "server:quiesced", lsn=at, timeout=10.0)


def note(d: Deployment, count: int) -> None:
    """Acknowledged rows, each in a transaction of its own."""
    for number in range(count):
        query(d, PRIMARY, f"INSERT INTO noted VALUES ({number})")


def promoted_rows(d: Deployment) -> int:
    """Promote region 2 and count its rows."""
    d.operations.database("region2", "server:promote", token="e2", timeout=10.0)
    return int(query(d, STANDBY, "SELECT count(*) FROM noted"))


def test_a_frozen_standby_loses_nothing_when_the_primary_dies(asynchronous: Deployment) -> None:
    """Its kernel has received what its processes have not read: freezing makes no loss."""
    d = asynchronous
    d.operations.freeze(STANDBY)
    note(d, 10)
    d.operations.power_off(PRIMARY)
    d.operations.thaw(STANDBY)
    assert promoted_rows(d) == 10


def test_a_cut_link_loses_what_was_acknowledged_meanwhile(asynchronous: Deployment) -> None:
    d = asynchronous
    d.operations.cut(*BOTH_WAYS)
    note(d, 10)
    d.operations.power_off(PRIMARY)
    d.operations.heal(*BOTH_WAYS)
    assert promoted_rows(d) == 0


def test_a_planned_stop_succeeds_with_a_standby_that_got_nothing(asynchronous: Deployment) -> None:
    """The primary gives up on the silent standby and ends in good order; only LSNs would tell."""
    d = asynchronous
    d.operations.cut(*BOTH_WAYS)
    note(d, 5)
    last = query(d, PRIMARY, "SELECT pg_current_wal_flush_lsn()")
    stopped = d.operations.database("region1", "server:stop", mode="fast", timeout=20.0)
    assert stopped == {"stopped": True}
    log = (d.evidence / "vms" / PRIMARY / "postgres.log").read_text()
    assert "database system is shut down" in log
    d.operations.heal(*BOTH_WAYS)
    received = query(d, STANDBY, f"SELECT pg_last_wal_receive_lsn() >= '{last}'::pg_lsn")
    assert (received, promoted_rows(d)) == ("f", 0)
