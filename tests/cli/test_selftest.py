"""``drharness selftest``: what it plants, what it says, and that it notices its own failure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from drharness.checks import CHECKS
from drharness.cli.screen import Screen
from drharness.cli.selftest import Selection, carry_out
from drharness.selftest import CORRECT, MISTAKES, Mistake
from drharness.selftest.mistake import FAMILIES
from drharness.selftest.plays import calm, use
from tests.cli.running import drharness


def test_mistakes_of_every_family_are_planted_for_checks_that_exist() -> None:
    assert len(MISTAKES) >= 25
    assert {m.family for m in MISTAKES} == set(FAMILIES)
    ids = [m.id for m in (*MISTAKES, *CORRECT)]
    assert len(ids) == len(set(ids))
    assert {i for m in MISTAKES for i in m.invariants} <= {c.id for c in CHECKS}
    assert all(m.invariants for m in MISTAKES)
    assert not any(m.invariants for m in CORRECT)


def test_the_list_names_each_with_what_finds_it() -> None:
    done = drharness("selftest", "--list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines] == [m.id for m in (*MISTAKES, *CORRECT)]
    assert "firewall   rule-missing           S5 " in done.stdout


def test_an_unknown_mistake_is_named_with_the_nearest() -> None:
    done = drharness("selftest", "--only", "no-fense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--only: expected one of" in done.stderr
    assert "Did you mean 'no-fence'?" in done.stderr


@pytest.mark.slow
def test_a_planted_mistake_and_a_right_run_are_told(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    chosen = ("--only", "rule-missing", "--only", "calm")
    done = drharness(
        "selftest", *chosen, "--json", result, "--keep-evidence", tmp_path / "evidence"
    )
    assert done.returncode == 0, done.output
    assert "  ok   rule-missing " in done.stdout
    assert "1 of 1 planted mistakes found by name, in " in done.stdout
    assert done.stdout.endswith("0 false alarms in 1 right runs\n")
    found = json.loads(result.read_text())
    assert [(t["id"], t["failed"], t["ok"]) for t in found["tried"]] == [
        ("rule-missing", ["S5"], True),
        ("calm", [], True),
    ]


@pytest.mark.slow
def test_a_mistake_that_is_not_found_fails_the_selftest(tmp_path: Path) -> None:
    planted = Mistake("nothing", "database", "nothing at all", ("D1",), calm(use(5)))
    out, err = io.StringIO(), io.StringIO()
    chosen = Selection((planted,), "local", tmp_path)
    code, found = carry_out(chosen, Screen(out), Screen(err))
    text = out.getvalue()
    assert (code, found["tried"][0]["ok"]) == (1, False)
    assert "nothing: expected D1 to fail, they did not" in text
    assert "PASS: run " in text
    assert "0 of 1 planted mistakes found by name" in text
