"""Planted histories: for every check one that it must catch and a near miss that it must pass.

``python -m tests.checks.planted`` writes them to fixtures/histories; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drharness.history import write
from drharness.topology import Topology
from tests.checks import planted_census, planted_epochs, planted_moves, planted_names
from tests.checks.looked import DATABASE, edge
from tests.checks.story import (
    BACKUP,
    MASTER,
    NEW,
    OLD,
    PROXY,
    STEPS,
    Data,
    Plot,
    Story,
    drill,
    finish,
    good_drill,
    ns,
    renumbered,
    steps_of,
)

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "histories"
ASYNC = Plot(replication="async")


@dataclass(frozen=True)
class Planted:
    """A history and the one check it is about; ``bad`` ones must be caught by exactly that."""

    invariant: str
    bad: bool
    make: Callable[[], list[Data]]


def _drill(change: Callable[[Story], object], plot: Plot | None = None) -> list[Data]:
    """The good drill with something added before its end."""
    story = drill(plot)
    change(story)
    finish(story, plot or Plot())
    return story.done()


def _edited(change: Callable[[list[Data]], object], plot: Plot | None = None) -> list[Data]:
    """The good drill with its events changed afterwards."""
    events = good_drill(plot)
    change(events)
    return events


def _old_database(since: float, until: float, *, sessions: int) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        for t in steps_of(since, until, 0.2):
            story.db(t, "region1", writable=True, sessions=sessions)

    return change


def _second_master(until: float) -> Callable[[Story], None]:
    """The other of the pair claims the same database, as if there were no writer lock."""

    def change(story: Story) -> None:
        other = MASTER["region2"].replace("-p.", "-b.")
        for t in steps_of(3.2, until, 0.2):
            story.comp(t, other, "primary", db="region2", epoch=NEW)
        vm = other.partition(".")[0]
        edge(story, 3.9, vm, DATABASE["region2"], by="configserver", phase="procedure")

    return change


def _came_and_went(story: Story) -> None:
    """An old Framework VM has power for a moment, while proxies look for a master."""
    for t, state in ((2.2, "on"), (2.35, "off")):
        story.add(t, "vm", id=MASTER["region1"].partition(".")[0], state=state, cause="test")


def _old_framework_answers(story: Story) -> None:
    """The old Framework VMs have power again: who still connects to them is refused at once."""
    for vm in Topology.guide().vms_of("region1", "framework"):
        story.add(2.2, "vm", id=vm.id, state="on", cause="test")


def _late_write(story: Story, *, invoked: float) -> None:
    """Acknowledged at 3.7 in the old epoch, though the new one acknowledged its first at 3.66."""
    story.write(invoked, PROXY["region1"], epoch=OLD, took=3.7 - invoked)


def _lose(events: list[Data], *, since: float, until: float = 1.6) -> None:
    """Take writes acknowledged within [since, until] out of every read-back."""
    gone = {
        data["opid"]: data["key"]
        for data in events
        if data["kind"] == "op"
        and data["type"] == "ok"
        and data["f"] != "read"
        and ns(since) <= data["t"] <= ns(until)
    }
    for final in (data for data in events if data["kind"] == "final"):
        final["objects"] = {k: v for k, v in final["objects"].items() if k not in gone.values()}
        if "ops" in final:
            final["ops"] = {k: v for k, v in final["ops"].items() if k not in gone}
    for data in events:
        if data.get("f") == "read" and data.get("epoch") == NEW and data["key"] in gone.values():
            data["val"] = None


def _in_log(story: Story, opid: str) -> None:
    """Let an operation that was not acknowledged be in the surviving history log."""
    invoke = next(data for data in story.events if data.get("opid") == opid)
    story.seq += 1
    story.log[opid] = (story.seq, invoke["key"], invoke["val"])


def _unknown_survives(story: Story) -> None:
    open_ones = [data for data in story.events if data["kind"] == "op" and data["t"] == ns(1.49)]
    _in_log(story, open_ones[0]["opid"])


def _change_object(events: list[Data]) -> None:
    for final in (data for data in events if data["kind"] == "final"):
        final["objects"] = {**final["objects"], next(iter(final["objects"])): "other"}


def _proxy_behind(events: list[Data], *, mode: str) -> None:
    final = next(data for data in events if data.get("source") == BACKUP)
    final.update(epoch=OLD, seq=26, mode=mode, objects=dict(list(final["objects"].items())[:26]))


def _read_refused(story: Story, *, via: str) -> None:
    err = {"cls": "refused", "sqlstate": "", "text": "connection refused", "notices": []}
    story.op(2.61, "read", via=via, client="new", type="fail", err=err)


def _primary_again(t: float) -> Callable[[Story], None]:
    """The new master is primary once more at ``t``, and was not just before."""

    def change(story: Story) -> None:
        story.comp(t - 0.01, MASTER["region2"], "backup", epoch=NEW)
        story.comp(t, MASTER["region2"], "primary", db="region2", epoch=NEW)

    return change


def _found_its_master_meanwhile(events: list[Data]) -> None:
    """The backup proxy is normal once more, and notices late that it is over."""
    for event in events:
        if event.get("id") == BACKUP and ns(3.1) < event["t"] < ns(3.5):
            event["mode"] = "normal"


def _without_step(events: list[Data], step: str) -> None:
    events[:] = [d for d in events if not (d["kind"] == "step" and d["id"] == step)]


def _repeated_fence(story: Story) -> None:
    story.add(2.41, "step", type="invoke", plan=1, id="fence", target="region1")
    story.add(2.42, "step", type="ok", plan=1, id="fence", target="region1", result={})


def _end_of_plan(events: list[Data], step: str, how: str, text: str) -> None:
    """Let a step and the procedure end in another way."""
    for data in events:
        last = data["kind"] == "step" and data["id"] == step and data["type"] == "ok"
        if last or (data["kind"] == "plan" and data["type"] == "ok"):
            data.update(type=how, text=text)


def _no_proof(events: list[Data]) -> None:
    next(d for d in events if d["kind"] == "fault" and d["type"] == "ok")["proof"] = {}


def _shaken_before(events: list[Data]) -> None:
    """The Framework was gone for a moment; before anybody had recovered, the whole region goes."""
    targets = ["region1-framework-p", "region1-framework-b"]
    fault = {"f": "vm_down", "args": {"target": "active.framework"}, "targets": targets}
    proof = {"probe": "tcp 4999", "before": "ok", "after": "timeout"}
    said: list[tuple[float, Data]] = [
        (1.43, {"type": "invoke"}),
        (1.44, {"type": "ok", "proof": proof}),
        (1.47, {"type": "heal"}),
    ]
    events += [{"v": 1, "t": ns(t), "kind": "fault", **fault, **how} for t, how in said]
    events[:] = renumbered(events)


def cut_short(events: list[Data], *steps: str) -> None:
    """Another procedure was begun first, its controller died within the last of these steps, and
    run again it refuses: it is not what the day asks for."""
    plan = {"procedure": "framework_failover", "to": "region2", "steps": list(STEPS)}
    said: list[tuple[float, Data]] = [
        (1.62, {"kind": "plan", "type": "invoke", "plan": -1, **plan})
    ]
    for n, step in enumerate(steps):
        it = {"kind": "step", "plan": -1, "id": step, "target": "region2"}
        said.append((1.63 + n / 100, {**it, "type": "invoke"}))
        if step != steps[-1]:
            said.append((1.635 + n / 100, {**it, "type": "ok"}))
    again = {"kind": "step", "plan": 0, "id": "preflight", "target": "region2"}
    said += [
        (1.7, {"kind": "plan", "type": "invoke", "plan": 0, **plan}),
        (1.71, {**again, "type": "invoke"}),
        (1.72, {**again, "type": "refused", "text": "it is not down"}),
        (1.73, {"kind": "plan", "type": "refused", "plan": 0, **plan}),
    ]
    events += [{"v": 1, "t": ns(t), **data} for t, data in said]
    events[:] = renumbered(events)


def _tried(events: list[Data], *, passed_over: bool) -> None:
    """A fault without effect, undone at once; as an action of a schedule it is passed over."""
    after = next(i for i, d in enumerate(events) if d["kind"] == "fault") + 1
    before = events[after - 1]
    fault = {"f": "regions_cut", "args": {"one": "region1"}, "targets": ["region1", "region2"]}
    act: Data = {"kind": "act", "n": 2, "do": {"do": "inject", "fault": "regions-cut", "args": {}}}
    told = [
        {**act, "type": "invoke"},
        {"kind": "fault", "type": "invoke", **fault},
        {"kind": "fault", "type": "info", **fault},
        {**act, "type": "skipped" if passed_over else "ok"},
    ]
    events[after:after] = [{"v": 1, "t": before["t"], **d} for d in told]


def _miscounted(events: list[Data]) -> None:
    counters = next(d for d in events if d["kind"] == "traffic" and d["type"] == "stop")["counters"]
    for counted in counters.values():
        counted["ok"] += 1


def _not_clean(events: list[Data]) -> None:
    next(d for d in events if d["kind"] == "start")["objects"] = 3


PLANTED: Mapping[str, Planted] = {
    "good_sync": Planted("", False, good_drill),
    "good_async": Planted("", False, lambda: good_drill(ASYNC)),
    "bad_s1_two_databases": Planted(
        "S1", True, lambda: _drill(_old_database(1.6, 4.0, sessions=1))
    ),
    "near_s1_old_database_returns_fenced": Planted(
        "S1", False, lambda: _drill(_old_database(4.0, 4.8, sessions=0))
    ),
    "bad_s1_late_write": Planted(
        "S1", True, lambda: _drill(lambda s: _late_write(s, invoked=3.68))
    ),
    "near_s1_write_begun_earlier": Planted(
        "S1", False, lambda: _drill(lambda s: _late_write(s, invoked=1.48))
    ),
    "bad_s3_two_masters": Planted("S3", True, lambda: _drill(_second_master(4.4))),
    "near_s3_short_overlap": Planted("S3", False, lambda: _drill(_second_master(3.8))),
    "bad_s9_acked_while_limited": Planted(
        "S9", True, lambda: _drill(lambda s: s.write(2.61, PROXY["region2"], epoch=NEW))
    ),
    "near_s9_acked_at_the_edge": Planted(
        "S9", False, lambda: _drill(lambda s: s.write(3.36, PROXY["region2"], epoch=NEW, took=0.15))
    ),
    "bad_s9_refused_shows_up": Planted(
        "S9", True, lambda: _drill(lambda s: _in_log(s, s.refuse(2.61, PROXY["region2"])))
    ),
    "bad_s13_failed_shows_up": Planted(
        "S13",
        True,
        lambda: _drill(lambda s: _in_log(s, s.refuse(2.61, PROXY["region2"], "rejected"))),
    ),
    "near_s13_unknown_survives": Planted("S13", False, lambda: _drill(_unknown_survives)),
    "bad_s13_other_value": Planted("S13", True, lambda: _edited(_change_object)),
    "bad_s13_proxy_behind": Planted(
        "S13", True, lambda: _edited(lambda e: _proxy_behind(e, mode="normal"))
    ),
    "near_s13_limited_proxy_frozen": Planted(
        "S13", False, lambda: _edited(lambda e: _proxy_behind(e, mode="limited"))
    ),
    "bad_d1_acked_write_lost": Planted(
        "D1", True, lambda: _edited(lambda e: _lose(e, since=1.42, until=1.5))
    ),
    "near_d1_unknown_write_lost": Planted("D1", False, good_drill),
    "bad_d2_old_write_lost": Planted(
        "D2", True, lambda: _edited(lambda e: _lose(e, since=0.2), ASYNC)
    ),
    "near_d2_young_writes_lost": Planted(
        "D2", False, lambda: _edited(lambda e: _lose(e, since=0.6), ASYNC)
    ),
    "bad_d3_hole": Planted(
        "D3", True, lambda: _edited(lambda e: _lose(e, since=1.1, until=1.22), ASYNC)
    ),
    "near_d3_suffix_lost": Planted(
        "D3", False, lambda: _edited(lambda e: _lose(e, since=1.1), ASYNC)
    ),
    "bad_l1_too_late": Planted("L1", True, lambda: good_drill(Plot(late=7.5))),
    "near_l1_just_in_time": Planted("L1", False, lambda: good_drill(Plot(late=5.8))),
    "bad_l2_new_login_refused": Planted(
        "L2", True, lambda: _drill(lambda s: _read_refused(s, via=PROXY["region2"]))
    ),
    "near_l2_dead_region_refuses": Planted(
        "L2", False, lambda: _drill(lambda s: _read_refused(s, via=PROXY["region1"]))
    ),
    "bad_l3_slow_backup_proxy": Planted("L3", True, lambda: good_drill(Plot(backup_normal=4.75))),
    "near_l3_backup_proxy_in_time": Planted(
        "L3", False, lambda: good_drill(Plot(backup_normal=4.4))
    ),
    "near_l3_lost_its_master_again": Planted(
        "L3", False, lambda: _edited(_found_its_master_meanwhile, Plot(backup_normal=4.7))
    ),
    "bad_l3_a_master_was_there_before": Planted(
        "L3", True, lambda: _drill(_primary_again(3.3), Plot(backup_normal=4.7))
    ),
    "near_l3_no_master_for_a_moment": Planted(
        "L3", False, lambda: _drill(_primary_again(3.72), Plot(backup_normal=4.7))
    ),
    "near_l3_connecting_as_the_power_went": Planted(
        "L3", False, lambda: _drill(_came_and_went, Plot(backup_normal=4.75))
    ),
    "bad_l3_nobody_kept_it_waiting": Planted(
        "L3", True, lambda: _drill(_old_framework_answers, Plot(backup_normal=4.5))
    ),
    "bad_p1_flush_skipped": Planted(
        "P1", True, lambda: _edited(lambda e: _without_step(e, "flush"))
    ),
    "near_p1_fence_repeated": Planted("P1", False, lambda: _drill(_repeated_fence)),
    "near_l1_overtaken_by_the_next_fault": Planted("L1", False, lambda: _edited(_shaken_before)),
    "near_p1_cut_short_and_refused": Planted(
        "P1", False, lambda: _edited(lambda e: cut_short(e, "preflight"))
    ),
    "bad_p1_step_failed": Planted(
        "P1",
        True,
        lambda: _edited(lambda e: _end_of_plan(e, "reconnect", "fail", "a proxy was limited")),
    ),
    "bad_v1_no_receipt": Planted("V1", True, lambda: _edited(_no_proof)),
    "bad_v1_no_effect": Planted("V1", True, lambda: _edited(partial(_tried, passed_over=False))),
    "near_v1_no_effect_passed_over": Planted(
        "V1", False, lambda: _edited(partial(_tried, passed_over=True))
    ),
    "bad_v1_few_writes_before": Planted("V1", True, lambda: good_drill(Plot(write_every=0.15))),
    "near_v1_enough_writes_before": Planted(
        "V1", False, lambda: good_drill(Plot(write_every=0.13))
    ),
    "bad_v1_events_missing": Planted("V1", True, lambda: _edited(_miscounted)),
    "bad_v1_not_clean": Planted("V1", True, lambda: _edited(_not_clean)),
    **{name: Planted(*told) for name, told in planted_epochs.STORIES.items()},
    **{name: Planted(*told) for name, told in planted_moves.STORIES.items()},
    **{name: Planted(*told) for name, told in planted_names.STORIES.items()},
    **{name: Planted(*told) for name, told in planted_census.STORIES.items()},
}


if __name__ == "__main__":
    for name, planted in PLANTED.items():
        write(FOLDER / f"{name}.jsonl", planted.make())
