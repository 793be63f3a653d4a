"""Procedures are values: their parameters and variations print as code, and bad ones are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drharness import procedures
from drharness.errors import UsageError
from drharness.procedures import Procedure
from drharness.procedures.step import Options

SHIPPED = procedures.full_failover(to="region2")


@pytest.mark.parametrize(
    "varied",
    [
        SHIPPED.without("flush").swapped("fence", "promote"),
        SHIPPED.repeated("promote"),
        SHIPPED.delayed("promote", 1.5),
        SHIPPED.repeated("promote").delayed("promote", 2),
        SHIPPED.interrupted(after="fence"),
        SHIPPED.interrupted(within="unblock", call=3, sent=False),
        SHIPPED.without("flush").interrupted(within="promote"),
        procedures.full_failover(to="region1", fence="firewall", force=True),
        procedures.full_failover(max_lag_s=0.5, max_lag_bytes=4096).repeated("flush"),
    ],
    ids=repr,
)
def test_a_variation_prints_as_the_code_that_makes_it(varied: Procedure) -> None:
    assert eval(repr(varied)) == varied
    assert varied != SHIPPED


def test_what_is_left_as_shipped_is_not_printed() -> None:
    assert repr(SHIPPED) == "procedures.full_failover(to='region2')"
    assert repr(procedures.full_failover(force=True)) == (
        "procedures.full_failover(to='region2', force=True)"
    )


def test_variations_leave_the_shipped_one_as_it_is() -> None:
    ids = [s.id for s in SHIPPED.steps]
    assert [s.id for s in SHIPPED.repeated("promote").steps] == [*ids[:3], *ids[2:]]
    assert [s.id for s in SHIPPED.swapped("fence", "promote").steps][1:3] == ["promote", "fence"]
    assert [s.delay for s in SHIPPED.delayed("fence", 2).steps][:3] == [0.0, 2.0, 0.0]
    assert [s.id for s in SHIPPED.steps] == ids
    assert {s.delay for s in SHIPPED.steps} == {0.0}


def test_a_repeated_step_that_is_put_off_is_put_off_once() -> None:
    assert [s.delay for s in SHIPPED.repeated("fence").delayed("fence", 2).steps][:4] == [
        0,
        2,
        0,
        0,
    ]


def test_an_interruption_is_no_step_and_can_be_taken_back() -> None:
    cut = SHIPPED.interrupted(after="promote")
    assert cut.steps == SHIPPED.steps
    assert cut.uninterrupted() == SHIPPED


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SHIPPED.without("promot"), r"step: expected one of .*'promot'.*'promote'"),
        (lambda: SHIPPED.repeated("nap"), r"step: expected one of fence, flush.*'nap'"),
        (lambda: SHIPPED.swapped("fence", "nap"), r"step: expected one of .*'nap'"),
        (lambda: SHIPPED.delayed("nap", 1), r"step: expected one of .*'nap'"),
        (lambda: SHIPPED.delayed("fence", -1), r"seconds: expected a number from 0 .* got -1"),
        (lambda: SHIPPED.interrupted(after="nap"), r"step: expected one of .*'nap'"),
        (lambda: SHIPPED.interrupted(), r"after, within: expected the id of a step for one"),
        (
            lambda: SHIPPED.interrupted(after="fence", within="fence"),
            r"after, within: expected .* got after='fence', within='fence'",
        ),
        (lambda: SHIPPED.interrupted(within="fence", call=0), r"call: expected a number .* got 0"),
        (lambda: procedures.full_failover(fence="none"), r"fence: expected one of firewall, out-"),
        (lambda: Options(force="no"), r"force: expected True or False, got 'no'"),  # type: ignore[arg-type]
        (lambda: procedures.full_failover(max_lag_s=-1), r"max_lag_s: expected a number from 0"),
        (lambda: procedures.full_failover(max_lag_bytes=-1), r"max_lag_bytes: expected a number"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(make: Callable[[], object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()
