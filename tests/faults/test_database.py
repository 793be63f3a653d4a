"""Faults of databases and replication: proven, healed, and what comes of them."""

from __future__ import annotations

import pytest

from drharness import faults
from drharness.deployment import Deployment
from drharness.errors import UsageError
from drharness.faults import database
from drharness.faults.model import Fault

RECEIVES, REPLAYS = "region2-dbms -> receives", "region2-dbms -> replays"
SENDERS = "region1-dbms -> receivers named region2"
CHANGES: list[tuple[Fault, set[str]]] = [
    (faults.StandbyLagging(), {REPLAYS}),
    (faults.StandbyLagging(seconds=1.0), {REPLAYS}),
    (faults.StandbyLagging("receive"), {RECEIVES, REPLAYS}),
    (faults.LongReader(), {REPLAYS}),
    (faults.StrayWalReceiver(), {SENDERS}),
    (faults.SlotLost(), {"region1-dbms -> slot region2", RECEIVES, REPLAYS}),
]
FAULTS = [fault for fault, _ in CHANGES]


def replication(d: Deployment) -> dict[str, object]:
    """What a healed fault must have put back: receivers, slots, and a standby that follows."""
    lsn = d.operations.database("region1", "disturbance:mark")["lsn"]
    seen = d.operations.database(
        "region2", "disturbance:follows", lsn=lsn, receive_s=5.0, replay_s=5.0
    )
    status = d.operations.database_status("region1")
    return {
        "receivers": [sender[:2] for sender in status["senders"]],
        "slots": [slot[0] for slot in status["slots"]],
        "follows": (seen["received"], seen["replayed"]),
        "volatile": d.vm("region2-dbms").run(["cat", "/run/postgresql/volatile.conf"], check=False),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "changes"), CHANGES, ids=[repr(f) for f in FAULTS])
def test_a_fault_shows_exactly_its_effect_and_heals_it(
    shared: Deployment, fault: Fault, changes: set[str]
) -> None:
    with shared.inject(fault) as guard:
        assert set(guard.receipt.changed) == changes
    after = replication(shared)
    assert after.pop("volatile").stdout == ""  # type: ignore[attr-defined]
    assert after == {
        "receivers": [["region2", "10.82.3.10"]],
        "slots": ["region2"],
        "follows": (True, True),
    }


@pytest.mark.slow
def test_the_senders_of_a_stray_tell_its_address(shared: Deployment) -> None:
    with shared.inject(faults.StrayWalReceiver()):
        senders = shared.operations.database_status("region1")["senders"]
    assert sorted(sender[:2] for sender in senders) == [
        ["region2", "10.81.3.10"],
        ["region2", "10.82.3.10"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_is_healed_though_its_vms_lost_their_power(
    shared: Deployment, fault: Fault
) -> None:
    """What was in memory has gone, and what is off is not asked; on again, all is as before."""
    guard = shared.inject(fault)
    shared.operations.power_off("region2-dbms", cause="test")
    guard.heal()
    shared.operations.power_on("region2-dbms", cause="test")
    shared.operations.database("region1", "server:wait_streaming", name="region2", timeout=10)
    assert replication(shared)["follows"] == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_without_a_standby_there_is_nothing_to_break(shared: Deployment, fault: Fault) -> None:
    shared.operations.power_off("region2-dbms", cause="test")
    try:
        with pytest.raises(UsageError, match="region2-dbms is powered off"):
            shared.inject(fault)
    finally:
        shared.operations.power_on("region2-dbms", cause="test")
        shared.operations.database("region1", "server:wait_streaming", name="region2", timeout=10)


def test_only_replay_that_stands_proves_a_lagging_replay() -> None:
    missing = database._only_replay_stands
    well = {RECEIVES: "ok", REPLAYS: "ok"}
    assert missing(well, {RECEIVES: "ok", REPLAYS: "until 0/5"}) == ""
    assert missing(well, well) == "it replays as before"
    assert "receive either" in missing(well, {RECEIVES: "until 0/5", REPLAYS: "until 0/5"})
    assert "not follow before" in missing({RECEIVES: "ok", REPLAYS: "until 0/5"}, well)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (faults.StandbyLagging("apply"), "how: expected one of receive, replay, got 'apply'"),
        (faults.StandbyLagging(seconds=-1.0), "seconds: "),
        (faults.StandbyLagging("receive", 1.0), "seconds: only replay can be late"),
    ],
    ids=repr,
)
@pytest.mark.slow
def test_a_bad_argument_is_named(shared: Deployment, fault: Fault, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        shared.inject(fault)
