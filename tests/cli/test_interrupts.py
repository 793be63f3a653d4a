"""Ctrl-C and SIGTERM at any moment: evidence, then nothing is left, then exit code 130."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from drharness.history import store
from drharness.kernel import clock, waiting
from tests.cli.running import Started, belonging, evidence_of, start

pytestmark = pytest.mark.slow
END_S = 10.0  # it takes 0.2 s; more only where a processor is fought for


def _wait_nothing_left(evidence: Path, started: Started) -> None:
    waiting.wait_until(
        lambda: belonging(evidence, started.process.pid) == [],
        "no process of the deployment",
        timeout=15,
        describe=lambda: str(belonging(evidence, started.process.pid)),
    )


@pytest.mark.parametrize(
    ("moment", "number", "times"),
    [
        ("drill full_failover", signal.SIGINT, 1),
        ("  ok   deployment", signal.SIGTERM, 1),
        ("  ok   traffic", signal.SIGINT, 2),
        ("  ok   start-framework", signal.SIGINT, 1),
        ("  ok   reconnect", signal.SIGHUP, 2),
    ],
)
def test_an_interrupted_drill_leaves_only_evidence(
    tmp_path: Path, moment: str, number: signal.Signals, times: int
) -> None:
    evidence = tmp_path / "evidence"
    started = start(tmp_path, "drill", "full-failover", "--keep-evidence", evidence)
    started.wait_said(moment)
    since = clock.Deadline(0)
    for _ in range(times):
        started.process.send_signal(number)
    assert started.ended() == 130, started.output
    assert since.waited < waiting.scaled(END_S)
    _wait_nothing_left(evidence, started)
    assert f"interrupted ({number.name})" in started.output
    assert "Traceback" not in started.output
    if "ok   deployment" in started.output:
        run = evidence_of(started.output)
        history = store.load(run / "history.jsonl")
        assert history.of_kind("start")
        assert history.of_kind("traffic") or "ok   traffic" not in started.output
        assert (run / "verdict.txt").exists()
        assert not (run / "disks").exists()


def test_a_running_deployment_would_be_seen(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    started = start(tmp_path, "drill", "full-failover", "--keep-evidence", evidence)
    started.wait_said("  ok   traffic")
    names = {text.split()[1] for text in belonging(evidence, started.process.pid)}
    assert {"drh-launcher", "postgres"} <= names
    started.process.kill()
    started.ended()
    _wait_nothing_left(evidence, started)


def test_a_signal_while_a_command_ends_changes_nothing(tmp_path: Path) -> None:
    started = start(tmp_path, "drill", "full-failover", "--keep-evidence", tmp_path / "evidence")
    started.wait_said("re-check")
    started.process.send_signal(signal.SIGINT)
    assert started.ended() in (0, 130)
    assert "Traceback" not in started.output
