"""Views: pairing, faults, procedures, power states; what does not fit together is kept."""

from __future__ import annotations

import os
from typing import Any

import pytest

from drharness.errors import HistoryError
from drharness.history import History
from drharness.topology import Topology

PROXY = "region2-application-p.csproxy"
RUN: dict[str, Any] = {
    "kind": "run", "run": "r", "topology": Topology.guide().as_dict(), "active": "region1",
}  # fmt: skip


def _history(*events: dict[str, Any]) -> History:
    return History({"v": 1, "t": n, **event} for n, event in enumerate([RUN, *events]))


def _op(kind: str, opid: str = "o1", **fields: Any) -> dict[str, Any]:
    base = {"kind": "op", "type": kind, "proc": "c1", "opid": opid, "f": "write", "via": PROXY}
    return {**base, "key": "k", "val": 1, **fields}


def test_an_operation_is_paired_with_its_completion() -> None:
    (op,) = _history(_op("invoke"), _op("ok", epoch="e", seq=4)).ops
    assert (op.type, op.invoked, op.ended, op.epoch, op.seq) == ("ok", 1, 2, "e", 4)
    assert (op.region, op.is_write, op.is_open) == ("region2", True, False)


def test_an_operation_without_completion_is_open_and_unknown() -> None:
    (op,) = _history(_op("invoke")).ops
    assert (op.type, op.ended, op.is_open) == ("info", None, True)


def test_a_read_keeps_its_result_apart_from_a_value_written() -> None:
    (op,) = _history(_op("invoke", f="read", val=None), _op("ok", f="read", val=7)).ops
    assert (op.val, op.result, op.is_write) == (None, 7, False)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([_op("ok")], "operation o1 completed but not invoked"),
        ([_op("invoke"), _op("invoke")], "operation o1 invoked twice"),
        ([_op("invoke"), _op("ok"), _op("fail")], "operation o1 completed twice"),
    ],
)
def test_what_does_not_pair_is_an_anomaly(events: list[dict[str, Any]], expected: str) -> None:
    assert [text for text, _ in _history(*events).anomalies] == [expected]


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({"via": PROXY, "proc": "region1-application-p.application/1"}, "region2"),
        ({"via": "", "src": "region1-application-b.application"}, "region1"),
        ({"via": "", "proc": "region1-application-b.application/1.p4"}, "region1"),
        ({"via": "", "proc": "c9"}, ""),
    ],
)
def test_an_operation_belongs_to_the_region_of_its_proxy_or_client(
    fields: dict[str, Any], region: str
) -> None:
    (op,) = _history(_op("invoke", **fields)).ops
    assert op.region == region


def _fault(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "fault", "type": kind, "f": "cut", "args": {"a": ["region1"]}, **fields}


def test_a_fault_knows_its_proof_and_its_heal() -> None:
    (fault,) = _history(_fault("invoke"), _fault("ok", proof={"x": 1}), _fault("heal")).faults
    assert (fault.invoked, fault.proven, fault.healed, fault.proof) == (1, 2, 3, {"x": 1})
    assert fault.in_force(2)
    assert not fault.in_force(3)
    assert fault.names("region1")


def test_the_effect_of_a_fault_began_when_its_receipt_says() -> None:
    (fault,) = _history(_fault("invoke"), _fault("ok", proof={"x": 1}, since=1)).faults
    assert (fault.proven, fault.since) == (2, 1)


def test_equal_faults_one_after_the_other_stay_apart() -> None:
    rounds = [_fault("invoke"), _fault("ok"), _fault("heal")] * 2
    assert [(f.invoked, f.healed) for f in _history(*rounds).faults] == [(1, 3), (4, 6)]


def test_a_fault_that_was_not_proven_has_no_instant_of_proof() -> None:
    (fault,) = _history(_fault("invoke"), _fault("info")).faults
    assert (fault.proven, fault.since) == (None, 1)


def _plan(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "plan", "type": kind, "plan": 3, "procedure": "full_failover", **fields}


def _step(kind: str, name: str, text: str = "") -> dict[str, Any]:
    return {"kind": "step", "type": kind, "plan": 3, "id": name, "text": text}


def test_a_procedure_has_its_steps_and_its_end() -> None:
    events = [
        _plan("invoke", to="region2", steps=["fence"]), _step("invoke", "fence"),
        _step("refused", "fence", "no proof"), _plan("refused"),
    ]  # fmt: skip
    (plan,) = _history(*events).plans
    assert (plan.type, plan.to, plan.planned, plan.ended) == ("refused", "region2", ("fence",), 4)
    assert plan.broken_at is not None
    assert plan.broken_at.text == "no proof"
    assert plan.step_ok("fence") is None


def test_a_step_repeated_after_a_failure_counts_as_done() -> None:
    events = [
        _plan("invoke"), _step("invoke", "flush"), _step("fail", "flush"),
        _step("invoke", "flush"), _step("ok", "flush"),
    ]  # fmt: skip
    (plan,) = _history(*events).plans
    assert [s.type for s in plan.steps] == ["fail", "ok"]
    assert (plan.step_ok("flush"), plan.broken_at) == (5, None)
    assert (plan.type, plan.ended) == ("invoke", None)


def test_a_varied_procedure_keeps_its_own_name() -> None:
    for varied in ("full_failover(to='region2').without('f')", "procedures.full_failover()"):
        (plan,) = _history(_plan("invoke", procedure=varied)).plans
        assert plan.name == "full_failover"


def test_a_vm_is_down_from_power_off_to_power_on() -> None:
    states = [("x", "off"), ("x", "on"), ("x", "frozen"), ("x", "thawed"), ("y", "off")]
    history = _history(*({"kind": "vm", "id": vm, "state": s} for vm, s in states))
    seen = [history.vm_down("x", t, t) for t in range(6)]
    assert seen == [False, True, False, True, False, False]
    assert history.vm_down("x", 0, 5)


def test_a_history_without_run_is_refused() -> None:
    with pytest.raises(HistoryError, match="expected 'run', got 'note'"):
        History([{"v": 1, "t": 1, "kind": "note", "text": ""}])


def test_a_hundred_thousand_events_are_viewed_in_seconds() -> None:
    events = [_op(kind, f"o{n}", seq=n) for n in range(50_000) for kind in ("invoke", "ok")]
    started = sum(os.times()[:2])  # of the processor, about 0.5: what others do here is theirs
    assert len(_history(*events).ops) == 50_000
    assert sum(os.times()[:2]) - started < 5.0
