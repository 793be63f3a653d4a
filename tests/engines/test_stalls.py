"""A host that stands still is noticed by the agents of its VMs, and told with the verdict."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from drharness.deployment import deploy
from drharness.kernel import clock
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology
from fixtures import leaks

STOOD_S = 0.6


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal them all; one that has just ended has nothing to hear."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.slow
def test_a_host_that_stands_still_is_recorded_and_told(tmp_path: Path) -> None:
    with deploy(Topology.guide(), evidence_dir=tmp_path) as d:
        pids = [p.pid for p in leaks.processes(os.getpid())]
        before = clock.now_ns()
        try:
            signal_all(pids, signal.SIGSTOP)
            end = clock.now() + STOOD_S
            wait_until(
                lambda: clock.now() > end, "the time that the host stands still", timeout=5.0
            )
        finally:
            signal_all(pids, signal.SIGCONT)

        def seen() -> set[str]:
            stalls = [e for e in d.history.of_kind("stall") if e.t > before]
            return {e["vm"] for e in stalls if e.t - e["since"] > STOOD_S * 0.8e9}

        on = {vm.id for vm in d.topology.vms if d.operations.is_on(vm.id)}
        wait_until(
            lambda: seen() == on, "every VM to notice", timeout=5.0, describe=lambda: str(seen())
        )
        text = str(d.judge())
    assert "note: the host kept processes waiting, 0." in text
