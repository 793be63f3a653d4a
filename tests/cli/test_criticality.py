"""``criticality`` as its users see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from drharness.cli.criticality import code
from drharness.kernel.proc import Completed
from drharness.search.critical_table import Judged, Outcome, Table
from tests.cli.running import drharness

SAFE = Judged("flush", "intact", "", Outcome.SAFE)
CRITICAL = Judged("flush", "skipped", "", Outcome.BROKEN, ("P1",), failed=2, tried=2)
UNCLEAR = Judged("flush", "delayed", "", Outcome.UNKNOWN)
FAILS = Judged("flush", "intact", "", Outcome.BROKEN, ("S1",), failed=2, tried=2)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("ful-failover",), "PROCEDURE: expected one of dbms-failover,"),
        (("full-failover", "--steps", "fence,fluhs"), "--steps: expected one of fence, flush,"),
        (("full-failover", "--steps", "fence,fluhs"), "Did you mean 'flush'?"),
        (("full-failover", "--slips", "skiped"), "--slips: expected one of delayed, interrupted,"),
        (("full-failover", "--fault", "vm-dwon"), "--fault: expected one of clock-skew,"),
        (("full-failover", "--fault", "none"), "--fault: expected a fault that can be injected"),
        (("full-failover", "--fault", "controller-killed"), "--fault: expected a fault that can"),
        (("full-failover", "--disaster", "vm-dwon"), "--disaster: expected one of clock-skew,"),
        (("full-failover", "--delay", "-1"), "--delay: expected a number from 0 to 86400, got -1"),
        (("full-failover", "--call", "0"), "--call: expected a whole number from 1 to 1000, got 0"),
        (("full-failover", "--repeats", "0"), "--repeats: expected a whole number from 1 to 99"),
        (("full-failover", "--jobs", "9"), "--jobs: expected a whole number from 1 to 8, got 9"),
        (("full-failover", "--profile", "fats"), "Did you mean 'fast'?"),
        (("full-failover", "--replication", "snyc"), "Did you mean 'sync'?"),
        (("full-failover", "--engine", "xen"), "--engine: expected one of auto, docker, local"),
        (("full-failover", "--json", "none/t.json"), "--json: none/t.json cannot be written"),
        (("full-failover", "--markdown", "none/t.md"), "--markdown: none/t.md cannot be written"),
        (
            ("full-failover", "--json", "-", "--markdown", "-"),
            "--markdown: expected another place than --json, got '-'.",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(args: tuple[str, ...], text: str) -> None:
    done = drharness("criticality", *args)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((SAFE, CRITICAL), 0),
        ((SAFE, CRITICAL, UNCLEAR), 3),
        ((SAFE,), 3),
        ((FAILS, CRITICAL), 1),
        ((FAILS, UNCLEAR), 1),
    ],
)
def test_only_an_intact_procedure_that_fails_is_a_failure(
    rows: tuple[Judged, ...], expected: int
) -> None:
    planned = max(2, len(rows))
    table = Table("p()", "region-down", "sync", "fast", 4.0, 1, (2, 3), planned, rows)
    assert code(table) == expected


@dataclass(frozen=True)
class Examined:
    """A table of one step, and where it was written."""

    done: Completed
    json: Path
    markdown: Path


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    path = tmp_path_factory.mktemp("criticality")
    json, markdown = path / "table.json", path / "table.md"
    done = drharness(
        *("criticality", "full-failover", "--steps", "flush", "--slips", "interrupted,skipped"),
        *("--repeats", "1", "--json", json, "--markdown", markdown),
        *("--keep-evidence", path / "runs"),
        timeout=300,
    )
    return Examined(done, json, markdown)


@pytest.mark.slow
def test_a_step_that_matters_is_told_from_one_that_can_be_run_again(examined: Examined) -> None:
    assert examined.done.returncode == 0, examined.done.stdout + examined.done.stderr
    assert examined.done.stderr == ""
    found = {row.slip: row for row in Table.from_json(examined.json.read_text()).rows}
    assert found["intact"].outcome is found["interrupted"].outcome is Outcome.SAFE
    assert "P1" in found["skipped"].broken
    assert (found["skipped"].failed, found["skipped"].tried) == (1, 1)


@pytest.mark.slow
def test_each_cell_is_a_line_and_the_table_follows(examined: Examined) -> None:
    lines = examined.done.stdout.splitlines()
    assert lines[0].startswith("criticality of full_failover(to='region2') after region-down")
    assert [line.split()[:4] for line in lines[3:6]] == [
        ["ok", "1", "flush", "intact"],
        ["FAIL", "2", "flush", "skipped"],
        ["ok", "3", "flush", "interrupted"],
    ]
    table = Table.from_json(examined.json.read_text())
    assert table.to_text() in examined.done.stdout
    assert examined.markdown.read_text() == table.to_markdown()


@pytest.mark.slow
def test_the_run_that_broke_something_is_kept_with_its_schedule(examined: Examined) -> None:
    rows = Table.from_json(examined.json.read_text()).rows
    (skipped,) = (row for row in rows if row.slip == "skipped")
    assert (Path(skipped.run) / "schedule.json").is_file()
    assert (Path(skipped.run) / "history.jsonl").is_file()
    assert (Path(skipped.run) / ".keep").is_file()
