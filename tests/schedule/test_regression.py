"""A failing schedule becomes a test file: right code, formatted, and never over another file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from drharness.errors import UsageError
from drharness.faults import LinkCut, RegionDown, RegionsCut, ResolverPolicy, VmDown
from drharness.kernel import proc
from drharness.schedule.actions import Crash, Finish, Heal, Inject, Next, Operate, Wait
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.regression import as_test, write_test
from drharness.schedule.schedule import Schedule
from drharness.topology import Topology

SLIPS = (Slip("without", "fence"), Slip("swapped", "promote", "unblock"),
         Slip("delayed", "flush", seconds=0.3))  # fmt: skip
SCHEDULES = (
    Schedule((Inject(RegionDown("region1")),)),
    Schedule(()),
    Schedule((Inject(RegionsCut()), Next(2)), ProcedureUse(slips=SLIPS[:1])),
    Schedule(
        (
            Inject(RegionsCut(both_ways=False)), Wait(0.3), Next(3), Heal(1), Heal(),
            Operate("write", "both/1", "dormant"), Crash(2, sent=False), Finish(),
            Inject(LinkCut("dormant.application-p.csproxy", "active.framework-p", 0, "reset")),
            Inject(ResolverPolicy("dormant.application", "serve-stale")),
            Inject(VmDown("active.dbms")),
        ),
        ProcedureUse("full-failover", "region2", {"force": True, "max_lag_bytes": 65536}, SLIPS),
        Topology.guide(replication="async", timing="guide", ttl=5, return_fence="none")
        .replace("csproxy", "drharness.selftest.components:eager")
        .replace("region1-application-b.application", "drharness.selftest.components:straying"),
        rate=20.0,
    ),
    Schedule(
        (Inject(RegionDown("emea")), Finish()),
        ProcedureUse(to="us-east-1"),
        Topology.guide(application_pairs=2, regions=("emea", "us-east-1", "apac"))
        .tuned(d=0.5, rto_bound=20.0),
    ),
)  # fmt: skip


def _evaluated(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "found"}
    exec(compile(text, "test_found.py", "exec"), names)
    return names


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_code_makes_the_same_schedule(schedule: Schedule) -> None:
    names = _evaluated(as_test(schedule, invariant="S1"))
    assert names["SCHEDULE"] == schedule
    assert names["TOPOLOGY"] == schedule.topology


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seen", ["it was so", 'a "long" text: ' + "word after word " * 20])
def test_linters_and_formatters_have_nothing_to_say(
    schedule: Schedule, seen: str, tmp_path: Path
) -> None:
    path = write_test(tmp_path / "test_found.py", schedule, invariant="S1", seen=seen)
    for command in (
        ["check", "--select=E,F,I,W,UP,B,SIM,D,ANN", "--ignore=D203,D213"],
        ["format", "--diff"],
    ):
        argv = [sys.executable, "-m", "ruff", *command, "--isolated", str(path)]
        done = proc.run(argv, timeout=60.0, check=False)
        assert done.ok, f"{done.output}\n{path.read_text()}"


def test_the_docstring_says_why_it_fails_and_the_name_under_what() -> None:
    text = as_test(SCHEDULES[2], invariant="S1", seen="region1 and region2 both accepted writes")
    assert "def test_s1_holds_under_regions_cut(tmp_path: Path)" in text
    assert '"""It failed for S1: region1 and region2 both accepted writes."""' in text
    assert "assert verdict.ok, verdict" in text


def test_what_is_usual_is_left_out_so_that_the_rest_stands_out() -> None:
    text = as_test(SCHEDULES[2], invariant="S1")
    assert "        Inject(RegionsCut()),\n        Next(steps=2),\n" in text
    assert "TOPOLOGY = Topology.guide()\n" in text


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "test_mine.py"
    path.write_text("# mine\n")
    with pytest.raises(UsageError, match="is there already"):
        write_test(path, SCHEDULES[0], invariant="S1")
    assert path.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [("found.py", "a name that pytest finds"), ("test_x.txt", "a name that pytest finds"),
     ("no/test_x.py", "cannot be written")],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused_with_the_reason(
    name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        write_test(tmp_path / name, SCHEDULES[0], invariant="S1")
