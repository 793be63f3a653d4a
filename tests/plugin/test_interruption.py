"""Ctrl-C at any moment: the deployment ends, its history is kept, and no process is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.kernel import rng
from drharness.kernel.waiting import wait_until
from tests.plugin.conftest import Run

MARK = "DRHARNESS_TEST_OF_INTERRUPTION"
COMMON = """
import os, signal
from pathlib import Path
import pytest

def interrupt():
    mark = os.environ["DRHARNESS_TEST_OF_INTERRUPTION"].encode()
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                count += (process / "comm").read_text().startswith("drh-")
        except OSError:
            pass
    Path("count").write_text(str(count))
    os.kill(os.getpid(), signal.SIGINT)
"""
MOMENTS = {
    "in a test": """
def test_it(dr_deployment):
    dr_deployment.traffic().__enter__()
    interrupt()
""",
    "in a fixture": """
@pytest.fixture
def late(dr_deployment):
    interrupt()

def test_it(late): ...
""",
    "while the next one comes up": """
def test_it(dr_deployment):
    interrupt()

def test_next(dr_deployment): ...
""",
    "in a block of the lab": """
def test_it(dr_lab):
    with dr_lab.deployment():
        interrupt()
""",
}
STARTING = """
import threading
from drharness.kernel.waiting import wait_until

@pytest.fixture
def soon(dr_engine):
    def when_it_starts():
        files = lambda: list(Path(".drharness").glob("*/vms/region2-dbms/*.log"))
        wait_until(files, "a log of the last VM", timeout=20)
        interrupt()
    thread = threading.Thread(target=when_it_starts)
    thread.start()
    yield
    thread.join()

def test_it(soon, dr_deployment):
    raise AssertionError("it was not interrupted while it started")
"""


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """What every process of the suite, and of its deployments, has in its environment."""
    value = rng.token()
    monkeypatch.setenv(MARK, value)
    return f"{MARK}={value}"


def marked(mark: str) -> list[str]:
    """Names of the processes that were started with the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "comm").read_text().strip())
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_test_leaves_evidence_and_no_process(
    suite: pytest.Pytester, run: Run, mark: str, moment: str
) -> None:
    suite.makepyfile(COMMON + MOMENTS[moment])
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert int((suite.path / "count").read_text()) > 10  # so many were there
    wait_until(lambda: not any("drh-" in n for n in marked(mark)), "no process", timeout=10)
    result.stdout.fnmatch_lines(
        ["drharness: interrupted; evidence of the deployment: .drharness/* (* events)"]
    )
    (evidence,) = (suite.path / ".drharness").iterdir()
    assert (evidence / "history.jsonl").exists()


@pytest.mark.slow
def test_an_interrupted_start_leaves_no_process(
    suite: pytest.Pytester, run: Run, mark: str
) -> None:
    suite.makepyfile(COMMON + STARTING)
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED, result.stdout.str()
    assert int((suite.path / "count").read_text()) > 10
    wait_until(lambda: not any("drh-" in n for n in marked(mark)), "no process", timeout=10)
    result.stdout.no_fnmatch_line("*it was not interrupted*")
