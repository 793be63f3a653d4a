"""Schedules as values: what is written is read again, ``repr`` is code, and bad input is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings

from drharness.errors import UsageError
from drharness.faults import LinkCut, RegionDown, VmDown
from drharness.schedule.actions import Crash, Finish, Heal, Inject, Next, Operate, Wait
from drharness.schedule.decoding import INJECTABLE, WAYS
from drharness.schedule.procedure import ProcedureUse, Slip
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import Found, found_in
from drharness.search.strategies import schedules
from drharness.topology import Topology
from tests.schedule.schedules import evaluated, text

EVERYTHING = Schedule(
    (
        Inject(LinkCut("region1", "active.dbms", 5432, "reset", True)),
        Inject(VmDown("proxies.backup")),
        Next(3),
        Crash(2, sent=False),
        Heal(1),
        Wait(0.3),
        Operate("write", "board/1", "dormant"),
        Heal(),
        Finish(),
    ),
    ProcedureUse(
        "framework-failover",
        "region2",
        {"database": "stay"},
        (
            Slip("without", "flush"),
            Slip("swapped", "fence", "unblock"),
            Slip("delayed", "repoint", seconds=2.0),
        ),
    ),
    Topology.guide(replication="async", ttl=2).replace("csproxy", "some.module:main"),
    10.0,
)  # fmt: skip


@given(schedules(slips=True))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_again(schedule: Schedule) -> None:
    assert Schedule.from_json(schedule.to_json()) == schedule


@given(schedules("dbms-failover", slips=True))
@settings(deadline=None, max_examples=30)
def test_a_schedule_prints_as_code(schedule: Schedule) -> None:
    assert evaluated(repr(schedule)) == schedule


def test_everything_a_schedule_can_say_survives(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(EVERYTHING.to_json())
    assert Schedule.load(path) == EVERYTHING
    assert evaluated(repr(EVERYTHING)) == EVERYTHING


def test_what_a_short_file_leaves_out_is_the_usual() -> None:
    down = {"do": "inject", "fault": "region-down", "args": {"region": "region1"}}
    read = Schedule.from_json(text(down, {"do": "next"}, {"do": "heal"}, {"do": "crash"}))
    assert read == Schedule((Inject(RegionDown("region1")), Next(), Heal(), Crash()))


def test_every_word_of_a_fault_is_checked_when_a_file_is_read() -> None:
    worded = {n for n, kind in INJECTABLE.items() if any(f.name == "how" for f in fields(kind))}
    assert worded == set(WAYS)


DOWN = {"do": "inject", "fault": "vm-down", "args": {"target": "active.dbms"}}
CASES: Sequence[tuple[str, str]] = [
    (
        "{",
        "bad.json line 1, column 2: expected JSON: ",
    ),
    (
        "[]",
        "bad.json: expected an object, got [].",
    ),
    (
        '{"version": 1}',
        "bad.json: expected the key 'actions', got {\"version\": 1}.",
    ),
    (
        text(version=2),
        "bad.json: version: expected 1, the one version that there is, got 2.",
    ),
    (
        text(acts=[]),
        "bad.json: key: expected one of actions, found, procedure, rate, topology, "
        "version, got 'acts'. Did you mean 'actions'?",
    ),
    (
        '{"version": 1, "actions": {}}',
        "bad.json: actions: expected a list, got {}.",
    ),
    (
        text("next"),
        'bad.json: actions[0]: expected an object, got "next".',
    ),
    (
        text({"fault": "x"}),
        'bad.json: actions[0]: expected the key \'do\', got {"fault": "x"}.',
    ),
    (
        text({"do": "injekt"}),
        "bad.json: actions[0].do: expected one of crash, finish, heal, inject, next, "
        "operate, wait, got 'injekt'. Did you mean 'inject'?",
    ),
    (
        text({"do": "next"}, {**DOWN, "fault": "vm-dwon"}),
        "bad.json: actions[1].fault: expected one of clock-skew, component-frozen,",
    ),
    (
        text({**DOWN, "fault": "vm-dwon"}),
        "got 'vm-dwon'. Did you mean 'vm-down'?",
    ),
    (
        text({**DOWN, "fault": "controller-killed"}),
        "bad.json: actions[0].fault: expected one of",
    ),
    (
        text({**DOWN, "args": {}}),
        "bad.json: actions[0].args: expected the key 'target', got {}.",
    ),
    (
        text({**DOWN, "args": {"traget": "dns"}}),
        "bad.json: actions[0].args: key: expected one of target, got 'traget'. Did you "
        "mean 'target'?",
    ),
    (
        text({**DOWN, "args": {"target": 3}}),
        "bad.json: actions[0].args.target: expected a text, got 3.",
    ),
    (
        text({**DOWN, "args": {"target": "active.dbsm"}}),
        "bad.json: actions[0].args.target: expected one of active.application,",
    ),
    (
        text({**DOWN, "args": {"target": "active.dbsm"}}),
        "got 'active.dbsm'. Did you mean 'active.dbms'?",
    ),
    (
        text({**DOWN, "arg": {}}),
        "bad.json: actions[0]: key: expected one of args, do, fault, got 'arg'. Did you "
        "mean 'args'?",
    ),
    (
        text({"do": "inject", "fault": "region-down", "args": {"region": "region3"}}),
        "bad.json: actions[0].args.region: expected one of active, dormant, region1, region2, got "
        "'region3'. Did you mean",
    ),
    (
        text({"do": "inject", "fault": "standby-cut", "args": {"how": "dropp"}}),
        "bad.json: actions[0].args.how: expected one of drop, reject, reset, got 'dropp'."
        " Did you mean 'drop'?",
    ),
    (
        text({"do": "inject", "fault": "regions-cut", "args": {"both_ways": 1}}),
        "bad.json: actions[0].args.both_ways: expected true or false, got 1.",
    ),
    (
        text({"do": "inject", "fault": "delay", "args": {"seconds": "1"}}),
        "bad.json: actions[0].args.seconds: expected a number from",
    ),
    (
        text({"do": "heal", "which": 0}),
        "bad.json: actions[0].which: expected a number from 1 to 1000, got 0 (int).",
    ),
    (
        text({"do": "heal", "which": 1.5}),
        "bad.json: actions[0].which: expected a whole number from 1 to 1000, got 1.5.",
    ),
    (
        text({"do": "next", "steps": 0}),
        "bad.json: actions[0].steps: expected a number from 1 to 100",
    ),
    (
        text({"do": "finish", "steps": 2}),
        "bad.json: actions[0]: key: expected one of do, got 'steps'.",
    ),
    (
        text({"do": "crash", "sent": "no"}),
        'bad.json: actions[0].sent: expected true or false, got "no".',
    ),
    (
        text({"do": "wait"}),
        'bad.json: actions[0]: expected the key \'seconds\', got {"do": "wait"}.',
    ),
    (
        text({"do": "wait", "seconds": -1}),
        "bad.json: actions[0].seconds: expected a number from 0 to 600, got -1 (int).",
    ),
    (
        text({"do": "operate", "f": "raed", "key": "k"}),
        "bad.json: actions[0].f: expected one of read, write, got 'raed'. Did you mean 'read'?",
    ),
    (
        text({"do": "operate", "f": "read", "key": "k", "via": "activ"}),
        "bad.json: actions[0].via: expected one of active, dormant, region1, region2, got"
        " 'activ'. Did you mean 'active'?",
    ),
    (
        text(rate=0),
        "bad.json: rate: expected a number from 0.1 to 2000, got 0 (int).",
    ),
    (
        text(procedure={"name": "full", "to": "region2"}),
        "bad.json: procedure.name: expected one of",
    ),
    (
        text(procedure={"name": "full-failover", "to": "region9"}),
        "bad.json: procedure.to: expected one of region1, region2, got 'region9'.",
    ),
    (
        text(procedure={"name": "full-failover", "to": "region2", "options": {"forse": True}}),
        "bad.json: procedure.options: key: expected one of fence, force, max_lag_bytes, "
        "max_lag_s, regions, got 'forse'. Did you mean 'force'?",
    ),
    (
        text(procedure={"name": "full-failover", "to": "region2", "options": {"fence": "on"}}),
        "bad.json: procedure.options: fence: expected one of firewall, out-of-band, got 'on'.",
    ),
    (
        text(
            procedure={
                "name": "full-failover",
                "to": "region2",
                "slips": [{"kind": "without", "step": "flsh"}],
            }
        ),
        "bad.json: procedure.slips[0].step: expected one of",
    ),
    (
        text(
            procedure={
                "name": "full-failover",
                "to": "region2",
                "slips": [{"kind": "twice", "step": "flush"}],
            }
        ),
        "bad.json: procedure.slips[0].kind: expected one of delayed, repeated, swapped, "
        "without, got 'twice'.",
    ),
    (
        text(
            procedure={
                "name": "full-failover",
                "to": "region2",
                "slips": [{"kind": "swapped", "step": "flush"}],
            }
        ),
        "bad.json: procedure.slips[0]: other: expected a step if, and only if, kind is 'swapped'",
    ),
    (
        text(
            procedure={
                "name": "full-failover",
                "to": "region2",
                "slips": [
                    {"kind": "without", "step": "flush"},
                    {"kind": "repeated", "step": "flush"},
                ],
            }
        ),
        "bad.json: procedure.slips[1].step: expected one of",
    ),
    (
        text(topology={"replicaton": "sync"}),
        "bad.json: topology: key: expected one of",
    ),
    (
        text(topology={"replication": "half"}),
        "bad.json: topology: replication: expected one of async, sync, got 'half'.",
    ),
]


@pytest.mark.parametrize(("given", "expected"), CASES, ids=range(len(CASES)))
def test_bad_input_is_told_with_its_place(given: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Schedule.from_json(given, "bad.json")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("bad.json")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "none.json", tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    for path, why in ((missing, "No such file"), (binary, "it is not text")):
        with pytest.raises(UsageError, match=why) as caught:
            Schedule.load(path)
        assert str(caught.value).startswith(f"{path}: expected a schedule")


def test_values_made_in_code_are_checked_as_well() -> None:
    with pytest.raises(UsageError, match="which: expected the number of an Inject"):
        Heal(0)
    with pytest.raises(UsageError, match="seconds: expected a number"):
        Wait(-1)
    with pytest.raises(UsageError, match="f: expected one of read, write, got 'reed'"):
        Operate("reed", "k")
    with pytest.raises(UsageError, match="fault: expected a fault"):
        Inject("region-down")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Did you mean 'full-failover'"):
        ProcedureUse("full-failovr")
    with pytest.raises(UsageError, match="actions: expected actions, like Next"):
        Schedule(("next",))  # type: ignore[arg-type]


def test_what_came_of_a_schedule_is_read_beside_it() -> None:
    found = {"status": "FAIL", "failed": ["S1"], "skipped": [2]}
    assert found_in(text(found=found), "it") == Found("FAIL", ("S1",), (2,))
    assert found_in(text(), "it") == Found()
    with pytest.raises(UsageError, match=r"it: found.skipped\[0\]: expected a whole number"):
        found_in(text(found={"skipped": ["2"]}), "it")
