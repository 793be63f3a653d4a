"""The criticality table as text, Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from drharness.errors import UsageError
from drharness.search.critical_table import INTACT, Judged, Outcome, Table

SAFE, BROKEN, UNKNOWN = Outcome.SAFE, Outcome.BROKEN, Outcome.UNKNOWN
CUT = "regions-cut active dormant True"
ROWS = (
    Judged("fence", INTACT, "", SAFE, run="runs/1", seconds=2.5),
    Judged("fence", "skipped", "", BROKEN, ("P1", "S1"), ("L1",), 3, 3, run="runs/2", seconds=9.0),
    Judged("fence", "delayed", "", SAFE, rare=("L3",), failed=1, tried=3),
    Judged("flush", INTACT, "", SAFE),
    Judged("flush", "skipped", "", BROKEN, ("P1",), failed=2, tried=2),
    Judged("flush", "delayed", "", UNKNOWN, tried=3, text="writes at rest: a | b"),
    Judged("fence", INTACT, CUT, SAFE),
    Judged("fence", "skipped", CUT, UNKNOWN, rare=("L1",), failed=1, tried=3),
)
TABLE = Table(
    "full_failover(to='region2')", "region-down active", "sync", "fast", 4.0, 1, (2, 3), 8, ROWS
)
TEXT = """\
full_failover(to='region2') after region-down active, sync replication, fast timing

alone:
  step   intact  skipped  delayed
  fence  safe    P1 S1*   safe*
  flush  safe    P1       UNKNOWN*

with regions-cut active dormant True right before the step:
  step   intact  skipped   delayed
  fence  safe    UNKNOWN*  -
  flush  -       -         -

  * fence skipped: also failed in some of 3, not counted: L1
  * fence delayed: failed in some of 3, not counted: L3
  * flush delayed: writes at rest: a | b
  * fence skipped with regions-cut active dormant True: failed in 1 of 3: L1

  delayed      by 4 s
  S1           one writable configuration database
  L1           writes recover
  L3           proxies reconnect in time
  P1           steps in order, none skipped
  counted      is what failed in 2 of at most 3 trials

8 cells: 2 break something (1 of them nothing but the order of steps, P1), 4 safe, 2 UNKNOWN
"""


def test_the_text_shows_each_cell_what_needs_a_note_and_what_names_mean() -> None:
    assert TABLE.to_text() == TEXT


def test_markdown_has_a_table_per_fault_and_escapes_what_would_break_it() -> None:
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "# Criticality of `full_failover(to='region2')`"
    assert "| step | intact | skipped | delayed |" in lines
    assert "| `fence` | safe | P1 S1\\* | safe\\* |" in lines
    assert "## With regions-cut active dormant True right before the step" in lines
    assert "- \\* flush delayed: writes at rest: a \\| b" in lines
    assert "- `S1` one writable configuration database" in lines
    assert lines[-1].startswith("8 cells: 2 break something")


def test_json_gives_the_same_table_back() -> None:
    text = TABLE.to_json()
    assert Table.from_json(text) == TABLE
    assert json.loads(text)["version"] == 1
    assert json.loads(text)["rows"][1]["broken"] == ["P1", "S1"]
    empty = replace(TABLE, rows=())
    assert Table.from_json(empty.to_json()) == empty


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"version": 1', '"version": 2', "t.json: version: expected version 1, got 2"),
        ('"outcome": "safe"', '"outcome": "save"', "rows[0].outcome: expected one of UNKNOWN"),
        ('"outcome": "safe"', '"outcome": "broken"', "rows[0]: expected broken invariants if"),
        ('"again": [2, 3]', '"again": [2]', "t.json: again: expected two numbers, got [2]"),
        ('"slip": "intact"', '"slip": "inact"', "rows[0].slip: expected one of delayed,"),
        ('"tried": 1', '"tried": -1', "rows[0].tried: expected a number from 0"),
        ('"delay"', '"delya"', "Did you mean 'delay'?"),
        ("{", "", "t.json line 2, column 11: expected JSON"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(old: str, new: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Table.from_json(TABLE.to_json().replace(old, new, 1), "t.json")
    assert text in str(caught.value)


def test_a_table_is_complete_once_every_cell_was_judged() -> None:
    assert not TABLE.complete
    known = tuple(r for r in ROWS if r.outcome is not UNKNOWN)
    assert replace(TABLE, rows=known, planned=6).complete
    assert not replace(TABLE, rows=known, planned=7).complete
    assert replace(TABLE, rows=known, planned=7).summary.endswith("4 safe, 1 not tried")


def test_an_intact_procedure_that_breaks_something_is_named() -> None:
    assert TABLE.intact_fails == ()
    bad = replace(ROWS[0], outcome=BROKEN, broken=("S1",))
    assert replace(TABLE, rows=(bad, *ROWS[1:])).intact_fails == (bad,)
