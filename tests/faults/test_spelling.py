"""Faults as text: names with arguments, and what is said of bad ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from drharness import faults
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault
from drharness.faults.spelling import parse


@dataclass(frozen=True)
class Planted(Fault):
    """A fault with arguments of every kind."""

    target: str
    seconds: float = 1.5
    port: int = 0
    both_ways: bool = True

    def breakage(self, operations: object) -> Breakage:
        """Never asked for here."""
        raise NotImplementedError


KINDS = {**faults.BY_NAME, "planted": Planted}


def spelled(text: str) -> Fault:
    """The fault of a text, where region 1 is the one that fails."""
    return parse(text, KINDS, region="region1", name="--fault")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("region-down", faults.RegionDown("region1")),
        ("region_down:region2", faults.RegionDown("region2")),
        ("regions-cut:both_ways=no", faults.RegionsCut(both_ways=False)),
        ("planted:active.dbms", Planted("active.dbms")),
        ("planted:x,2,port=5432", Planted("x", 2.0, 5432)),
        ("planted:target=x,both_ways=false", Planted("x", both_ways=False)),
    ],
)
def test_a_fault_is_spelled_by_name_and_arguments(text: str, fault: Fault) -> None:
    assert spelled(text) == fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("region-dwon", r"--fault: expected one of .* got 'region-dwon'.*'region-down'"),
        ("planted", r"--fault: planted needs target, as in planted:target=VALUE"),
        ("planted:x,way=1", r"planted takes target, seconds, port, both_ways, got 'way=1'"),
        ("planted:x,seconds=long", r"planted seconds: expected a number, got 'long'"),
        ("planted:x,both_ways=maybe", r"planted both_ways: expected one of .* got 'maybe'"),
        ("region-down:a,b", r"region-down takes region, got 'b'"),
    ],
)
def test_what_cannot_be_understood_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        spelled(text)
