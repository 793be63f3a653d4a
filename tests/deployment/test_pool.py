"""A pool of deployments: fresh each time, the next one up in time, nothing left of the last."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from drharness.deployment import Deployment, Pool
from drharness.deployment.engines import engine_named
from drharness.deployment.job import Job
from drharness.deployment.life import Life
from drharness.deployment.remains import Audit
from drharness.engines.local import launching, remains
from drharness.engines.protocol import Holds
from drharness.errors import DrHarnessError, EngineLost, UsageError
from drharness.kernel import proc, runid
from drharness.kernel.waiting import set_scale, wait_until
from drharness.topology import Topology
from fixtures import leaks

CONTROLLER = """
import signal, sys
from pathlib import Path
from drharness.deployment import Pool
from drharness.kernel.waiting import wait_until
pool = Pool(evidence_dir=sys.argv[1])
with pool.lease():
    staged = lambda: [r for r in Path(sys.argv[1]).iterdir() if '"start"' in text(r)]
    text = lambda run: (run / "controller.jsonl").read_text()
    if sys.argv[2] == "up":
        wait_until(lambda: len(staged()) == 2, "a second one", timeout=60)
    print("now", flush=True)
    signal.pause()
"""
# Run as root of namespaces of its own: it leaves a mount and an interface there, and looks.
PRIVATE_LEAKS = """
import sys
from pathlib import Path
from drharness.deployment.engines import engine_named
from drharness.deployment.remains import Audit
from drharness.engines.local import netlink, syscalls
run = Path(sys.argv[1])
(run / "disks" / "left").mkdir(parents=True)
audit = Audit(engine_named("local"))
before = audit.after(run).grown
syscalls.mount("tmpfs", str(run / "disks" / "left"), "tmpfs")
link = netlink.Netlink()
link.add_bridge("br-left", netlink.mac_of("10.1.2.3"))
link.flush()
found = audit.after(run)
print(before, found.left.get("mounts"), found.grown.get("interfaces"))
"""


def _up_when(run: Path) -> int:
    """The instant at which the deployment of a run was ready, as its record says."""
    return _times(run, "start")[0]


def _times(run: Path, kind: str) -> list[int]:
    lines = (run / "controller.jsonl").read_text().splitlines()
    found = [re.search(r'"t":(\d+)', line) for line in lines if f'"kind":"{kind}"' in line]
    return [int(match[1]) for match in found if match]


def _runs(base: Path) -> list[Path]:
    return sorted(base.iterdir()) if base.exists() else []


def _second_is_up(base: Path) -> None:
    wait_until(
        lambda: len(_runs(base)) > 1 and bool(_times(_runs(base)[-1], "start")),
        "a second deployment, staged",
        timeout=60.0,
        interval=0.05,
    )


def _guards() -> list[leaks.Process]:
    """Those of this controller's deployments, the oldest first."""
    named = [p for p in leaks.processes(os.getpid()) if p.name == "drh-guard"]
    own = {p.pid for p in named}  # an outer init has its guard's name at first
    return sorted((p for p in named if p.parent not in own), key=lambda p: (p.started, p.pid))


# -- leases --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_next_deployment_is_up_while_the_first_is_used(tmp_path: Path) -> None:
    before = leaks.everything(os.getpid())
    topology = Topology.guide(replication="async")
    with Pool(topology, evidence_dir=tmp_path) as pool:
        with pool.lease() as first:
            first.operations.power_off("region1-dbms", cause="test")
            _second_is_up(tmp_path)
            used_until = first.recorder.record("note", text="the first is no longer used")["t"]
        with pool.lease(staged=0) as second:
            assert second.topology == topology
            assert second.operations.is_on("region1-dbms")
            assert _up_when(second.evidence) < used_until
            with second.traffic() as traffic:
                traffic.wait_writes(10, timeout=30.0)
            assert not second.judge().findings
        assert _runs(tmp_path) == [first.evidence, second.evidence]
    assert str(pool.remains) == "nothing"
    assert set(leaks.new_since(before, os.getpid())) <= {"processes"}  # the launcher


@pytest.mark.slow
def test_what_was_staged_and_never_used_leaves_no_evidence(tmp_path: Path) -> None:
    pool = Pool(evidence_dir=tmp_path)
    with pool.lease() as first:
        wait_until(lambda: len(_runs(tmp_path)) == 2, "a second run", timeout=10.0)
    pool.close()
    pool.close()
    assert _runs(tmp_path) == [first.evidence]
    assert not (first.evidence / ".open").exists()
    with pytest.raises(UsageError, match="pool: it is closed"), pool.lease():
        pass


@pytest.mark.slow
def test_a_staged_deployment_that_does_not_come_up_is_told_by_the_next_lease(
    tmp_path: Path,
) -> None:
    with Pool(evidence_dir=tmp_path) as pool:
        with pool.lease() as first:
            wait_until(lambda: len(_guards()) == 2, "a second guard", timeout=20.0)
            os.kill(_guards()[-1].pid, signal.SIGKILL)
        with pytest.raises(DrHarnessError) as caught, pool.lease(staged=0):
            pass
        failed = _runs(tmp_path)[1]
        assert caught.value.evidence in ("", str(failed))
        assert (failed / "controller.jsonl").exists()
        with pool.lease() as third:  # nothing is broken for good
            assert third.evidence not in (first.evidence, failed)


@pytest.mark.slow
def test_a_staged_deployment_that_ends_while_it_waits_is_told(tmp_path: Path) -> None:
    with Pool(evidence_dir=tmp_path) as pool:
        with pool.lease():
            _second_is_up(tmp_path)
            wait_until(lambda: pool.waiting == 1, "the second one waits", timeout=10.0)
            os.kill(_guards()[-1].pid, signal.SIGKILL)
            wait_until(lambda: not pool.waiting, "its end seen", timeout=10.0)
        with pytest.raises(EngineLost, match="ended with all others"), pool.lease():
            pass


@pytest.mark.slow
def test_closing_ends_leased_deployments_too_and_tells_what_was_left(tmp_path: Path) -> None:
    pool = Pool(evidence_dir=tmp_path, staged=0)
    with pool.lease() as d, (d.evidence / "engine.log").open("a"):
        with pytest.raises(EngineLost, match=r"run .* left descriptors: .*engine\.log") as caught:
            pool.close()
        assert d.evidence.name in str(caught.value)
        assert not d.vm("region1-dbms").is_on


@pytest.mark.slow
def test_a_deployment_that_is_not_taken_down_is_told_by_the_next_lease(tmp_path: Path) -> None:
    with Pool(evidence_dir=tmp_path, staged=0) as pool:
        with pool.lease() as d:
            (d.evidence / "disks" / "in the way").touch()
        wait_until(lambda: pool.settled, "the take-down's end", timeout=20.0)
        with pytest.raises(EngineLost, match=f"{d.evidence.name}.*not empty"), pool.lease():
            pass


@pytest.mark.slow
@pytest.mark.parametrize("state", ["coming up", "up"])
def test_a_killed_controller_leaves_nothing_of_a_staged_one(tmp_path: Path, state: str) -> None:
    before = leaks.everything()
    output = tmp_path / "output"
    argv = [sys.executable, "-c", CONTROLLER, str(tmp_path / "runs"), state]
    with output.open("wb") as out:
        controller = proc.popen(argv, env=os.environ, stderr=out.fileno())
    wait_until(lambda: "now" in output.read_text(), "it", timeout=90, describe=output.read_text)
    controller.kill()
    controller.wait(10)
    wait_until(
        lambda: not leaks.new_since(before, controller.pid),
        "everything gone",
        timeout=2.0,
        describe=lambda: str(leaks.new_since(before, controller.pid)),
    )


def test_the_pool_names_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="staged: expected a number from 0 to 16, got -1"):
        Pool(evidence_dir=tmp_path, staged=-1)
    with pytest.raises(UsageError, match="topology: expected a Topology"):
        Pool("guide")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="engine: expected one of"):
        Pool(engine="locall")
    assert _runs(tmp_path) == []


def test_a_directory_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        Pool(evidence_dir=tmp_path / "file") as pool,
        pytest.raises(UsageError, match="cannot be written"),
        pool.lease(),
    ):
        pass


def test_a_life_that_was_ended_does_not_come_up(tmp_path: Path) -> None:
    life = Life(evidence_dir=tmp_path)
    life.down()
    with pytest.raises(DrHarnessError, match=r"cannot be written|ended while it came up"):
        life.up()
    life.forget()
    assert _runs(tmp_path) == []


def test_background_work_has_a_deadline_and_keeps_its_error() -> None:
    gate = threading.Event()
    job = Job("the gate", lambda: gate.wait(60.0))
    with pytest.raises(EngineLost, match="the gate: not within 0 s"):
        job.settle(0.01)
    gate.set()
    job.result(10.0)
    broken = Job("a number", lambda: int("x"))
    broken.settle(10.0)
    with pytest.raises(ValueError, match="invalid literal"):
        broken.result(10.0)


def test_runs_of_one_process_sort_as_they_began() -> None:
    ids = [runid.new_run_id() for _ in range(300)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", i) for i in ids)


# -- the audit -----------------------------------------------------------------------------


@contextmanager
def _segment() -> Iterator[str]:
    """A System V segment that nobody is attached to."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.shmget(0, 4096, 0o1600)
    assert number >= 0
    try:
        yield f"segment {number}"
    finally:
        assert libc.shmctl(number, 0, None) == 0


def test_the_audit_names_each_kind_of_thing_that_is_left(tmp_path: Path) -> None:
    audit, gate = Audit(engine_named("local")), threading.Event()
    assert str(audit.after(tmp_path)) == "nothing"
    thread = threading.Thread(target=gate.wait, name="left thread")
    with ExitStack() as stack:
        one, other = (stack.enter_context(s) for s in socket.socketpair())
        temporary = stack.enter_context(tempfile.NamedTemporaryFile(prefix="drharness-left-"))
        named = stack.enter_context(tempfile.NamedTemporaryFile(prefix="drh-", dir="/dev/shm"))
        segment = stack.enter_context(_segment())
        child = proc.popen(["sleep", "600"], env=os.environ, stderr=2)
        stack.callback(proc.end, child, grace=0.0)
        thread.start()
        stack.callback(thread.join)
        stack.callback(gate.set)
        grown = audit.after(tmp_path).grown
        assert str(audit.after(tmp_path)) == "nothing"  # told once
    assert f"sleep ({child.pid})" in grown["processes"]
    assert {n.partition(" ")[2].partition(":")[0] for n in grown["descriptors"]} >= {"socket"}
    assert f"left thread ({thread.native_id})" in grown["threads"]
    assert Path(temporary.name).name in grown["temporary files"]
    assert {named.name, segment} <= set(grown["shared memory"])
    assert one.fileno() == other.fileno() == -1


def test_the_audit_names_mounts_and_interfaces_that_are_left(tmp_path: Path) -> None:
    own = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
    done = proc.run([*own, sys.executable, "-c", PRIVATE_LEAKS, str(tmp_path)], timeout=60.0)
    assert done.stdout == f"{{}} ['{tmp_path}/disks/left'] ['br-left']\n"


@pytest.mark.slow
def test_what_a_deployment_is_made_of_would_be_named(shared: Deployment) -> None:
    """An audit that knows of no deployment: all that there is of one counts as left."""
    launcher, run = launching.running(), shared.evidence
    assert launcher is not None
    found = remains.left(run, launcher.process.pid, Holds())
    assert any(p.startswith("drh-guard") for p in found["processes"])
    assert any(p.startswith("postgres") for p in found["processes"])
    assert found["files"] == ["disks", ".open"]
    assert found["descriptors"] == [str(run / "controller.jsonl")]
    assert len(found["threads"]) == 1
    engine = engine_named("local")
    held = engine.holds()
    assert "processes" not in remains.left(run, launcher.process.pid, Holds(coming=1))
    assert "processes" not in remains.left(run, launcher.process.pid, held)
    assert "threads" not in remains.left(run, launcher.process.pid, held)
    assert str(Audit(engine).after(run.parent / "another")) == "nothing"


def _cpu_of(work: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_THREAD)
    work()
    after = resource.getrusage(resource.RUSAGE_THREAD)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_an_audit_costs_a_few_looks_at_the_processes_of_the_host(shared: Deployment) -> None:
    """One to two, measured; a processor that is shared makes both sides slower."""
    audit, run = Audit(engine_named("local")), shared.evidence.parent / "another"
    pairs = [(_cpu_of(lambda: audit.after(run)), _cpu_of(remains.processes)) for _ in range(9)]
    audits, looks = map(min, zip(*pairs, strict=True))
    assert audits < 5 * looks


def test_deadlines_of_background_work_are_stretched_too() -> None:
    gate = threading.Event()
    job = Job("the gate", lambda: gate.wait(60.0))
    set_scale(5.0)
    try:
        with pytest.raises(EngineLost, match="not within 1 s"):
            job.settle(0.2)
    finally:
        set_scale(1.0)
        gate.set()
    job.result(10.0)
