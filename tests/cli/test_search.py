"""``hunt`` and ``replay`` as their users see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drharness.cli import criticality, replay
from drharness.cli.failure import unjudged
from drharness.errors import UsageError
from drharness.faults import RegionDown
from drharness.kernel.proc import Completed
from drharness.schedule.actions import Finish, Inject, Next
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.topology import Topology
from tests.cli.running import drharness
from tests.search.trials import broken_off, trial

ACTIONS = (Inject(RegionDown("region1")), Next(3), Finish())
SLIPPED = Schedule(ACTIONS, ProcedureUse(slips=(Slip("without", "flush"),)))
# Options of ``criticality``, without what says what is deployed.
WAY: dict[str, Any] = {
    "procedure": "full-failover", "steps": "flush", "slips": "skipped", "fault": None,
    "disaster": "", "delay": None, "call": 1, "repeats": 1, "jobs": 1, "json_file": "",
    "markdown": "", "engine": "auto", "keep_evidence": None, "timeout_scale": 1.0,
}  # fmt: skip
FOUND = '{\n "found": {"status": "FAIL", "failed": ["P1"], "skipped": []},'


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("hunt", "--examples", "0"), "examples: expected a number from 1 to 1e+06, got 0 (int)."),
        (
            ("hunt", "--time", "5 min"),
            "--time: expected a duration like 90s, 5m or 1h, got '5 min'",
        ),
        (("hunt", "--procedure", "ful-failover"), "--procedure: expected one of dbms-failover,"),
        (("hunt", "--procedure", "ful-failover"), "Did you mean 'full-failover'?"),
        (("hunt", "--profile", "fats"), "Did you mean 'fast'?"),
        (("hunt", "--replication", "snyc"), "Did you mean 'sync'?"),
        (("hunt", "--engine", "xen"), "--engine: expected one of auto, docker, local"),
        (("hunt", "--jobs", "0"), "--jobs: expected a whole number from 1 to 8, got 0"),
        (("hunt", "--shrink", "-1"), "--shrink: expected a number from 0 to 10000, got -1"),
        (("hunt", "--goal", "failover-don"), "Did you mean 'failover-done'?"),
        (("hunt", "--write-test", "found.py"), "--write-test: expected a name that pytest finds"),
        (("hunt", "--write-test", __file__), "test_search.py is there already"),
        (("replay", "none.json"), "none.json: expected a schedule, cannot be read (No such file"),
        (("replay", "none.json", "--times", "0"), "--times: expected a number from 1 to 1000"),
    ],
)
def test_bad_input_is_refused_in_one_line(args: tuple[str, ...], text: str) -> None:
    done = drharness(*args)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("command", [("hunt",), ("criticality", "full-failover")])
def test_what_a_search_deploys_is_that_of_the_file_and_its_options(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """It gets no further than its options, and says what it read."""
    bad = tmp_path / "mine.toml"
    bad.write_text("[profile]\nretries = 1\n")
    done = drharness(*command, "--topology", bad)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bad}: [profile] retries: unknown key")


def test_a_topology_file_and_options_that_win_over_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('replication = "async"\nttl = 7\nregions = ["emea", "apac"]\n')
    chosen, _ = criticality.read(**WAY, topology=file, replication="", profile="")
    assert (chosen.topology.replication, chosen.topology.ttl) == ("async", 7)
    assert {cell.schedule.procedure.to for cell in chosen.cells} == {"apac"}
    chosen, _ = criticality.read(**WAY, topology=file, replication="sync", profile="")
    assert (chosen.topology.replication, chosen.topology.ttl) == ("sync", 7)
    without, _ = criticality.read(**WAY, topology=None, replication="", profile="")
    assert without.topology == Topology.guide()


def test_a_schedule_is_replayed_on_its_own_topology_unless_told(tmp_path: Path) -> None:
    own = Topology.guide(replication="async").tuned(retry=0.5)
    file = tmp_path / "schedule.json"
    file.write_text(Schedule(ACTIONS, topology=own).to_json())
    assert replay.read(tmp_path).schedule.topology == own
    other = tmp_path / "other.toml"
    other.write_text("ttl = 9\n")
    read = replay.read(file, other).schedule
    assert read.topology == Topology.guide(ttl=9)
    assert read.actions == ACTIONS
    other.write_text('regions = ["emea", "apac"]\n')
    with pytest.raises(UsageError, match=r"procedure\.to: expected one of"):
        replay.read(file, other)


def test_a_bad_schedule_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(SLIPPED.to_json().replace("region-down", "region-dwon"))
    done = drharness("replay", path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}: actions[0].fault: expected one of clock-skew,")
    assert done.stderr.endswith("got 'region-dwon'. Did you mean 'region-down'?\n")


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Completed]:
    path = tmp_path_factory.mktemp("failing")
    (path / "schedule.json").write_text(SLIPPED.to_json().replace("{", FOUND, 1))
    return path, drharness("replay", path, "--keep-evidence", path / "evidence")


@pytest.mark.slow
def test_a_slip_that_is_still_there_still_fails(failing: tuple[Path, Completed]) -> None:
    path, done = failing
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        f"replay {path / 'schedule.json'}",
        "  full_failover(to='region2').without('flush')",
        "  1. region-down region1",
        "  2. next 3 steps",
        "  3. finish the procedure",
    ]
    assert "FAIL P1 " in done.stdout
    assert "  2. next 3 steps (promote): ok" in lines
    assert lines[-1] == "still fails: P1, in 1 of 1"
    assert done.stderr == ""


@pytest.mark.slow
def test_what_came_of_it_is_written_beside_the_history(failing: tuple[Path, Completed]) -> None:
    (run,) = (failing[0] / "evidence").iterdir()
    written = json.loads((run / "schedule.json").read_text())
    assert written.pop("found") == {"status": "FAIL", "failed": ["P1"], "skipped": []}
    assert written == SLIPPED.as_dict()
    assert (run / "history.jsonl").is_file()


@pytest.mark.slow
def test_a_slip_that_is_gone_is_fixed(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(Schedule(ACTIONS).to_json().replace("{", FOUND, 1))
    done = drharness("replay", path, "--keep-evidence", tmp_path / "evidence")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "fixed: 1 of 1 passed"


@pytest.mark.slow
def test_a_hunt_tells_each_example_and_sums_up(tmp_path: Path) -> None:
    done = drharness("hunt", "--examples", "1", "--seed", "20", "--keep-evidence", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "hunt full-failover, seed 20, 1 examples"
    assert lines[3].split()[:2] == ["ok", "1"]
    assert "1 examples, seed 20: 0 failed" in lines
    assert any(line.startswith("goals     ") for line in lines)
    (run,) = tmp_path.iterdir()
    told = Schedule.load(run / "schedule.json")
    assert lines[3].endswith("; ".join(map(str, told.actions)))


def test_what_could_not_be_judged_says_why(tmp_path: Path) -> None:
    schedule = Schedule(ACTIONS)
    assert unjudged(trial(schedule, "good_sync").judgement) == []
    why = "it was interrupted: its history breaks off; expected: the run was judged at its end"
    assert unjudged(broken_off(schedule, tmp_path).judgement) == [f"V1: {why}"]


@pytest.mark.slow
def test_a_goal_that_is_not_reached_is_no_success(tmp_path: Path) -> None:
    done = drharness(
        *("hunt", "--examples", "1", "--seed", "20", "--goal", "write-lost"),
        *("--keep-evidence", tmp_path),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "never reached, and should be: write-lost"


@pytest.mark.slow
def test_a_slip_is_found_told_made_smaller_and_written_as_a_test(tmp_path: Path) -> None:
    test = tmp_path / "test_found.py"
    done = drharness(
        *("hunt", "--slips", "--examples", "30", "--seed", "523", "--jobs", "2"),
        *("--shrink", "2", "--write-test", test, "--keep-evidence", tmp_path / "runs"),
        timeout=110,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    story = done.stdout[done.stdout.index("\nFAIL ") :]
    assert "promised: " in story
    assert "what happened (seconds from the first fault):" in story
    assert "replays, then " in story
    assert "def test_" in test.read_text()
    (kept,) = (tmp_path / "runs").glob("*/.keep")
    assert Schedule.load(kept.parent / "schedule.json").procedure.slips
