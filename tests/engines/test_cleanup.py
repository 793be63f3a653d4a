"""Nothing is left behind, however a controller ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from drharness.deployment.engines import engine_named
from drharness.kernel import proc
from drharness.kernel.waiting import wait_until
from fixtures import leaks

CONTROLLER = """
import signal, sys
from drharness import deploy, faults, procedures
with deploy(evidence_dir=sys.argv[1], listeners=[lambda e: print(e["kind"], flush=True)]) as d:
    with d.traffic():
        d.inject(faults.RegionDown("region1"))
        d.run(procedures.full_failover(to="region2"))
    print("finished", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["", "start", "traffic", "fault", "step", "finished"])
def test_a_controller_killed_at_any_moment_leaves_only_evidence(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    before = leaks.everything()
    output = tmp_path / "output"
    argv = [sys.executable, "-c", CONTROLLER, str(tmp_path / "runs")]
    with output.open("wb") as out:
        controller = proc.popen(argv, env=os.environ, stderr=out.fileno())
    wait_until(
        lambda: moment in output.read_text(),
        f"{moment!r} in the controller's output",
        timeout=60.0,
        describe=output.read_text,
    )
    controller.send_signal(number)
    controller.wait(10)
    wait_until(
        lambda: not leaks.new_since(before, controller.pid),
        f"everything gone after {number.name} at {moment!r}",
        timeout=15.0,  # the kernel's work, done in 0.1 s where nobody else wants a processor
        describe=lambda: str(leaks.new_since(before, controller.pid)),
    )
    assert moment == "" or list(tmp_path.glob("runs/*/controller.jsonl"))


def test_the_probe_finds_every_power_of_this_host() -> None:
    steps = engine_named("local").probe()
    assert [s.name for s in steps if not s.ok] == []
    assert len(steps) >= 11
