"""The vocabulary refuses what it does not know, and says where and what it expected."""

from __future__ import annotations

import re
from typing import Any

import pytest

from drharness.errors import HistoryError
from drharness.history import check_event

GOOD: dict[str, Any] = {
    "v": 1, "t": 1, "kind": "op", "type": "ok", "proc": "c", "opid": "c-1", "f": "write", "via": "",
}  # fmt: skip


def _with(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def _without(name: str) -> dict[str, Any]:
    return {k: v for k, v in GOOD.items() if k != name}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([1], "line 7: expected a JSON object, got [1]"),
        (_with(v=2), "line 7: field 'v': expected 1, got 2"),
        (_with(t=1.5), "line 7: field 't': expected int (ns), got 1.5"),
        (_with(kind="opp"), "line 7: field 'kind': expected one of run, op, "),
        (_with(type="done"), "(op): field 'type': expected one of invoke, ok, fail, info, got 'do"),
        (_without("opid"), "line 7 (op): field 'opid': expected str, got nothing"),
        (_with(via=None), "field 'via': expected str, got None (NoneType)"),
        (_with(seq="4"), "field 'seq': expected int or null, got '4' (str)"),
        (
            _with(f="increment"),
            "field 'f': expected one of write, append, create, cas, delete, rea",
        ),
    ],
)
def test_a_wrong_event_is_refused_by_place_field_and_expectation(data: Any, expected: str) -> None:
    with pytest.raises(HistoryError, match=re.escape(expected)):
        check_event(data, "line 7")


def test_further_fields_are_let_through() -> None:
    assert check_event(_with(canary=True)) == _with(canary=True)


def test_fields_may_be_null_where_the_format_says_so() -> None:
    data = {"v": 1, "t": 1, "kind": "db", "db": "region1", "writable": None, "seq": None}
    assert check_event(data) is data
