"""Runs that go wrong on the way: what is said, which exit code, and where the evidence is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from drharness.checks import Budget
from drharness.cli.drill import Ended, carry_out
from drharness.cli.plan import Drill
from drharness.cli.screen import Screen
from drharness.deployment.operations import Operations
from drharness.faults.model import Breakage, Fault, tcp
from drharness.kernel import proc
from drharness.procedures import full_failover
from drharness.topology import Topology
from tests.cli.running import COMMAND, environment, evidence_of

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Broken(Fault):
    """A fault with a defect."""

    def breakage(self, operations: Operations) -> Breakage:
        raise ZeroDivisionError("planted")


@dataclass(frozen=True)
class Harmless(Fault):
    """A fault without an effect."""

    def breakage(self, operations: Operations) -> Breakage:
        target = (operations.topology.dbms("region1").address, 5432)
        look = tcp(operations, {"region1-framework-p": [target]})
        return Breakage(look, apply=lambda: None, undo=lambda: None)


def _carry_out(fault: Fault, base: Path) -> tuple[Ended, str, str]:
    drill = Drill(full_failover(), Topology.guide(), fault, Budget(), None, "local", base, "", 1)
    screen, errors = io.StringIO(), io.StringIO()
    ended = carry_out(drill, Screen(screen), Screen(errors))
    return ended, screen.getvalue(), errors.getvalue()


def test_a_fault_without_effect_is_no_pass(tmp_path: Path) -> None:
    ended, shown, errors = _carry_out(Harmless(), tmp_path)
    assert (ended.code, ended.summary["status"]) == (3, "INVALID")
    assert errors.startswith("error: Harmless(): its effect was not seen; still reachable:")
    assert "  FAIL harmless " in shown
    assert (evidence_of(shown) / "history.jsonl").exists()


def test_a_defect_is_shown_whole_with_the_evidence(tmp_path: Path) -> None:
    ended, shown, errors = _carry_out(Broken(), tmp_path)
    assert ended.code == 3
    assert 'raise ZeroDivisionError("planted")' in errors
    assert "error: unexpected ZeroDivisionError: planted" in errors
    assert ended.summary["error"] == {"kind": "ZeroDivisionError", "text": "planted"}
    assert f"re-check  drharness check {evidence_of(shown)}" in shown


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_change_nothing(tmp_path: Path, closed: str) -> None:
    argv = [*COMMAND, "drill", "full-failover", "--keep-evidence", str(tmp_path)]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *argv]
    proc.run(shell, timeout=60, env=environment())
    verdicts = [path.read_text() for path in tmp_path.glob("*/verdict.txt")]
    assert [text.partition(":")[0] for text in verdicts] == ["PASS"]
