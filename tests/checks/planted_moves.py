"""Planted histories of moving the active region: name to (invariant, bad, how it is made)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.checks.planted_epochs import ASYNC, Made, edited, lose
from tests.checks.story import OLD, PROXY, Data, Story, ns, renumbered


def _planned(change: Callable[[list[Data]], object]) -> Callable[[list[Data]], None]:
    """The same without the fault: the move is planned."""

    def planned(events: list[Data]) -> None:
        events[:] = renumbered([d for d in events if d["kind"] != "fault"])
        change(events)

    return planned


def _long_after_a_fault(change: Callable[[list[Data]], object]) -> Callable[[list[Data]], None]:
    """The same, 9 s after a fault was healed that needed no procedure."""
    fault: Data = {"v": 1, "kind": "fault", "f": "standby_cut", "args": {}}
    fault["targets"] = ["region1-dbms", "region2-dbms"]
    healed = [
        {**fault, "type": "invoke", "t": ns(1.14)},
        {**fault, "type": "ok", "t": ns(1.15), "proof": {"probe": "x", "before": 1, "after": 2}},
        {**fault, "type": "heal", "t": ns(1.17)},
    ]

    def much_later(events: list[Data]) -> None:
        _planned(change)(events)
        for data in list(events):
            if data["kind"] == "comp" and ns(1.6) < data["t"] <= ns(1.8) and "mode" in data:
                data["mode"] = "normal"  # nobody has lost a master yet
            elif data["kind"] == "op" and ns(1.55) < data["t"] < ns(1.8):
                events.remove(data)
            data["t"] += ns(9) - ns(0) if data["t"] > ns(1.33) else 0
        (stop,) = (d for d in events if d["kind"] == "traffic" and d["type"] == "stop")
        for source, counted in stop["counters"].items():
            mine = [d for d in events if d["kind"] == "op" and d["proc"].startswith(source)]
            counted |= {kind: sum(d["type"] == kind for d in mine) for kind in counted}
        events[:] = renumbered([*events, *healed])

    return much_later


def _acked_while_fenced(story: Story) -> None:
    story.write(1.94, PROXY["region1"], epoch=OLD)


def _gate(lag: int | None, *, forced: bool = False) -> Callable[[list[Data]], None]:
    """The preflight's figure; 4096 bytes are what the samples prove."""

    def change(events: list[Data]) -> None:
        result: Data = {"checked": True, "lag_bytes": lag, "lag_s": None, "forced": forced}
        result |= {"why": "region1's database left no sample"} if forced else {}
        for data in events:
            if data["kind"] == "step" and data["id"] == "preflight" and data["type"] == "ok":
                data["result"] = result
            elif data["kind"] == "db" and data["db"] == "region1":
                data["cur"] = "0/3002000" if data["t"] <= ns(1.2) else "0/3004000"
            elif data["kind"] == "db" and not data["writable"]:
                data |= {"recv": "0/3001000", "replay": "0/3000800"}

    return change


def _cut_short(until: float | None, epoch: str = "") -> Callable[[list[Data]], None]:
    """A run before the one that succeeds: its controller dies in the fence.

    :param until: when its fence ends all the same; None: never
    :param epoch: an epoch that is seen before the second run opens its own
    """

    def change(events: list[Data]) -> None:
        story = Story()
        plan = {"plan": 1, "procedure": "full_failover", "to": "region2"}
        story.add(1.65, "plan", type="invoke", steps=["preflight", "fence"], **plan)
        story.add(1.66, "step", type="invoke", plan=1, id="preflight", target="region2")
        story.add(1.7, "step", type="ok", plan=1, id="preflight", target="region2", result={})
        story.add(1.71, "step", type="invoke", plan=1, id="fence", target="region1")
        if until is not None:
            story.add(until, "step", type="ok", plan=1, id="fence", target="region1", result={})
        for data in events:
            if data["kind"] in ("plan", "step"):
                data["plan"] = 2
            elif epoch and data["kind"] == "db" and ns(2.1) < data["t"] < ns(2.3):
                data |= {"writable": True, "epoch": epoch}
        events[:] = renumbered([*events, *story.events])

    return change


def _one_write_fails(events: list[Data]) -> None:
    """One, 9 s after a heal; before and after it writes go on."""
    _long_after_a_fault(lambda _: None)(events)
    writes = [
        d
        for d in events
        if d["kind"] == "op" and d["via"] == PROXY["region2"] and d["f"] == "create"
    ]
    first = next(d for d in writes if d["type"] == "ok" and d["t"] > ns(10.2))
    lost = {d["opid"] for d in writes if d["opid"] == first["opid"]}
    events[:] = [d for d in events if not (d["kind"] == "ack" and d["opid"] in lost)]
    err = {"cls": "unavailable", "sqlstate": "", "text": "connection lost", "notices": []}
    first.update(type="fail", err=err)
    for field in ("epoch", "seq", "mode"):
        first.pop(field)
    for data in events:
        if data["kind"] == "final":
            data["objects"] = {k: v for k, v in data["objects"].items() if k != first["key"]}
            if "ops" in data:
                data["ops"] = {k: v for k, v in data["ops"].items() if k not in lost}
        elif data["kind"] == "op" and data["key"] == first["key"] and data["f"] == "read":
            data["val"] = None
    (stop,) = (d for d in events if d["kind"] == "traffic" and d["type"] == "stop")
    client = first["proc"].partition("/")[0]
    for source, counted in stop["counters"].items():
        if source == client:
            counted["ok"] -= 1
            counted["fail"] += 1


STORIES: Mapping[str, tuple[str, bool, Made]] = {
    "bad_d4_planned_move_loses": (
        "D4",
        True,
        edited(_planned(lambda e: lose(e, since=1.42)), ASYNC),
    ),
    "near_d4_lost_what_came_after_the_fence": (
        "D4",
        False,
        edited(
            _planned(lambda e: lose(e, since=1.94, until=1.96)), ASYNC, first=_acked_while_fenced
        ),
    ),
    "bad_d4_planned_move_after_a_fault_loses": (
        "D4",
        True,
        edited(_long_after_a_fault(lambda e: lose(e, since=1.42)), ASYNC),
    ),
    "near_d4_planned_move_after_a_fault": (
        "D4",
        False,
        edited(
            _long_after_a_fault(lambda e: lose(e, since=1.94, until=1.96)),
            ASYNC,
            first=_acked_while_fenced,
        ),
    ),
    "near_l1_one_write_fails_long_after": (
        "L1",
        False,
        edited(_one_write_fails),
    ),
    "bad_d5_figure_missing": ("D5", True, edited(_gate(None))),
    "bad_d5_forced_without_figure": ("D5", True, edited(_gate(None, forced=True))),
    "bad_d5_figure_too_low": ("D5", True, edited(_gate(4095))),
    "near_d5_figure_is_true": ("D5", False, edited(_gate(4096))),
    "bad_l5_epoch_opened_twice": ("L5", True, edited(_cut_short(None, "e15e"))),
    "bad_l5_older_run_goes_on": ("L5", True, edited(_cut_short(2.05))),
    "near_l5_run_again_after_its_end": ("L5", False, edited(_cut_short(1.79))),
}
