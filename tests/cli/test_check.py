"""Judging recorded histories offline: the verdict's text and exit code, and errors that point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drharness.checks import judge
from drharness.history import store
from tests.cli.running import drharness

CODES = {"PASS": 0, "FAIL": 1, "UNKNOWN": 3, "INVALID": 3}


@pytest.mark.parametrize(
    "name", ["good_sync", "bad_s1_two_databases", "bad_d1_acked_write_lost", "bad_v1_no_receipt"]
)
def test_the_verdict_is_printed_with_its_exit_code(repo_root: Path, name: str) -> None:
    path = repo_root / "fixtures" / "histories" / f"{name}.jsonl"
    judgement = judge(store.load(path))
    done = drharness("check", path)
    assert done.stdout == f"{judgement}\n"
    assert done.returncode == CODES[str(judgement.status)]
    assert done.stderr == ""


def test_lost_changes_are_listed_for_programs(repo_root: Path, tmp_path: Path) -> None:
    path = repo_root / "fixtures" / "histories" / "bad_d1_acked_write_lost.jsonl"
    done = drharness("check", path, "--json", tmp_path / "result.json")
    found = json.loads((tmp_path / "result.json").read_text())
    lost = judge(store.load(path)).lost or ()
    assert found["exit_code"] == done.returncode == 1
    assert [change["opid"] for change in found["rpo"]["lost"]] == [c.opid for c in lost] != []


RUN = '{"v":1,"t":1,"kind":"run","run":"r","active":"region1","topology":%s}\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: field 'kind': expected 'run', got 'no event'"),
        ('{"v":1', "line 1: expected a JSON object, got"),
        (RUN % "{}" + '{"v":1,"t":2,"kind":"vm","id":3,"state":"on"}\n',
         "line 2 (vm): field 'id': expected str, got 3 (int)"),
        (RUN % "{}" + '{"v":2,"t":2,"kind":"note","text":""}\n', "line 2: field 'v': expected 1"),
        (RUN % '{"timing":"slow"}', "line 1 (run): field 'topology': timing: expected one of"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_named_with_line_and_field(
    tmp_path: Path, text: str, error: str
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    done = drharness("check", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path} {error}")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    done = drharness("check", tmp_path / "nonesuch")
    assert done.returncode == 2
    assert "expected a readable history file: No such file or directory" in done.stderr


def test_a_directory_without_a_run_is_an_error(tmp_path: Path) -> None:
    done = drharness("check", tmp_path)
    assert done.returncode == 2
    assert f"error: {tmp_path}: expected a run's directory with history.jsonl" in done.stderr


def test_a_result_that_cannot_be_delivered_is_said(repo_root: Path) -> None:
    path = repo_root / "fixtures" / "histories" / "good_sync.jsonl"
    done = drharness("check", path, "--json", "/dev/full")
    assert done.returncode == 3
    assert "error: --json: /dev/full cannot be written (No space left on device)" in done.stderr


def test_control_characters_of_a_history_reach_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    run = (RUN % "{}").replace('"run":"r"', r'"run":"\u001b[2Jr"')
    path.write_text(run)
    assert r"run \x1b[2Jr" in drharness("check", path).stdout
