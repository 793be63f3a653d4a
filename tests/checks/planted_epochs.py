"""Planted histories of masters, epochs and sessions: name to (invariant, bad, how it is made)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.checks.story import (
    BACKUP,
    MASTER,
    NEW,
    OLD,
    PROXY,
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

Made = Callable[[], list[Data]]
ASYNC = Plot(replication="async")


def told(change: Callable[[Story], object], plot: Plot | None = None) -> Made:
    """The good drill with something added before its end."""

    def make() -> list[Data]:
        story = drill(plot)
        change(story)
        finish(story, plot or Plot())
        return story.done()

    return make


def edited(
    change: Callable[[list[Data]], object],
    plot: Plot | None = None,
    *,
    first: Callable[[Story], object] | None = None,
) -> Made:
    """The good drill with its events changed afterwards.

    :param first: adds something before that
    """

    def make() -> list[Data]:
        events = told(first, plot)() if first else good_drill(plot)
        change(events)
        return events

    return make


def _old_master(until: float) -> Callable[[Story], None]:
    """The old master lives on beside the new epoch, and ends before the new one begins."""

    def change(story: Story) -> None:
        for t in steps_of(1.6, until, 0.2):
            story.comp(t, MASTER["region1"], "primary", db="region1", epoch=OLD)

    return change


def _acked_by_backup(story: Story) -> None:
    """The other of the pair acknowledges, having said that it is the backup."""
    server = MASTER["region2"].replace("-p.", "-b.")
    story.comp(3.9, server, "backup", epoch=NEW)
    opid = story.write(4.0, PROXY["region2"], epoch=NEW, acked=None)
    story.ack(4.005, opid, epoch=NEW, seq=story.seq, server=server)


def _told_by_another_clock(story: Story) -> None:
    """As far before the master as the clocks of two hosts may be apart."""
    next(e for e in story.events if e["kind"] == "start")["unsure"] = 20_000_000
    story.write(4.0, PROXY["region2"], epoch=NEW, acked=4.04)


def _answer_lost(story: Story) -> None:
    """The master acknowledged, and nobody heard it."""
    opid = story.op(1.48, "create", via=PROXY["region1"], took=None)["opid"]
    story.ack(1.49, opid, epoch=OLD, seq=story.last + 1)


def lose(events: list[Data], *, since: float, until: float = 1.6) -> None:
    """Take what was acknowledged in the old epoch from then on out of the new one."""
    lost = {d["opid"]: d["key"] for d in _oks(events) if ns(since) <= d["t"] <= ns(until)}
    for final in (d for d in events if d["kind"] == "final"):
        final["objects"] = {k: v for k, v in final["objects"].items() if k not in lost.values()}
        if "ops" in final:
            final["ops"] = {k: v for k, v in final["ops"].items() if k not in lost}
    for data in _reads(events, NEW):
        if data["key"] in lost.values():
            data["val"] = None


def _oks(events: list[Data]) -> list[Data]:
    return [d for d in events if d["kind"] == "op" and d["type"] == "ok" and d["f"] != "read"]


def _reads(events: list[Data], epoch: str) -> list[Data]:
    return [d for d in events if d.get("f") == "read" and d.get("epoch") == epoch]


def _lost_and_read(epoch: str, via: str) -> Callable[[list[Data]], None]:
    """The last write of the old epoch is lost, and read once more at 4.3 s."""

    def change(events: list[Data]) -> None:
        last = max((d for d in _oks(events) if d["epoch"] == OLD), key=lambda d: d["seq"])
        lose(events, since=1.42)
        story = Story(count=1000, lane="p2")
        how: Data = {"type": "ok", "epoch": epoch, "mode": "normal", "client": "new"}
        at = 60 if epoch == NEW else last["seq"]
        story.op(4.3, "read", via=via, key=last["key"], val=last["val"], seq=at, **how)
        events += story.events
        _count(events)
        events[:] = renumbered(events)

    return change


def _count(events: list[Data]) -> None:
    """Make the clients' counters agree with what is told."""
    stop = next(d for d in events if d["kind"] == "traffic" and d["type"] == "stop")
    for client, counted in stop["counters"].items():
        mine = [d for d in events if d["kind"] == "op" and d["proc"].startswith(client)]
        counted.update({k: sum(d["type"] == k for d in mine) for k in counted})


def _left_out(events: list[Data]) -> None:
    """A proxy answers as if the newest change it has were not there."""
    _reads(events, NEW)[4]["val"] = None


def _read_open_write(story: Story) -> None:
    """A read shows what a write of unknown outcome made."""
    opid = story.op(3.9, "write", via=PROXY["region2"], took=None, key="app/shared", put=0)["opid"]
    story.seq += 1
    story.log[opid] = (story.seq, "app/shared", 0)
    how: Data = {"type": "ok", "epoch": NEW, "seq": story.seq, "mode": "normal"}
    story.op(4.2, "read", via=PROXY["region2"], key="app/shared", val=0, **how)


def _from_nowhere(*, key: str, val: Any) -> Callable[[Story], None]:
    """A proxy without a master answers as if it had never read anything."""

    def change(story: Story) -> None:
        how: Data = {"type": "ok", "epoch": "", "seq": 0, "mode": "limited", "client": "new"}
        story.op(2.0, "read", via=PROXY["region2"], key=key, put=None, val=val, **how)

    return change


def _digests(one: str, two: str, *, epoch: str) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        story.add(3.5, "cache", proxy=PROXY["region2"], seq=26, epoch=NEW, sha=one)
        story.add(3.6, "cache", proxy=BACKUP, seq=26, epoch=epoch, sha=two)

    return change


def _step_back(story: Story, *, via: str) -> None:
    """A client reads from the last state of the old epoch though it had read from the new one."""
    for t, epoch, proxy in ((4.1, NEW, PROXY["region2"]), (4.2, OLD, via)):
        how: Data = {"type": "ok", "epoch": epoch, "seq": story.last, "mode": "normal"}
        story.op(t, "read", via=proxy, key="app/none", val=None, **how)


def _same_seq(story: Story) -> None:
    """A write whose outcome nobody knows got the place of another."""
    opid = story.op(4.1, "create", via=PROXY["region2"], took=None)["opid"]
    story.ack(4.2, opid, epoch=NEW, seq=story.seq, dbid=999)


def _applied_twice(story: Story) -> None:
    opid = story.write(4.1, PROXY["region2"], epoch=NEW)
    story.ack(4.3, opid, epoch=NEW, seq=story.seq + 7)


def _asked_again(story: Story) -> None:
    """The second acknowledgement names the place of the first; and numbers are left out."""
    story.seq += 5
    opid = story.write(4.1, PROXY["region2"], epoch=NEW)
    story.ack(4.3, opid, epoch=NEW, seq=story.seq, again=True)


def _object_id_again(story: Story) -> None:
    """After the failover an id is given out that the old epoch gave to another object."""
    opid = story.write(4.1, PROXY["region2"], epoch=NEW)
    story.dbids[opid] = 101


def _register(story: Story, *changes: tuple[float, str, int, int | None]) -> None:
    """Acknowledged changes of one object as (begun, f, value, expected)."""
    for t, f, val, expected in changes:
        how = {"f": f, "key": "register/1", "put": val}
        how |= {"expected": expected} if f == "cas" else {}
        story.write(t, PROXY["region2"], epoch=NEW, took=0.05, **how)


def _compared_with_the_same(story: Story) -> None:
    """Two compare-and-sets succeed on one value: the second saw what was no longer there."""
    _register(story, (4.0, "write", 1, None), (4.1, "cas", 2, 1), (4.2, "cas", 3, 1))


def _compared_while_unknown(story: Story) -> None:
    """The same, but a write of unknown outcome between them may have brought the value back."""
    _register(story, (4.0, "write", 1, None), (4.1, "cas", 2, 1))
    op = story.op(4.16, "write", via=PROXY["region2"], took=None, key="register/1", put=1)
    story.seq += 1
    story.log[op["opid"]] = (story.seq, "register/1", 1)
    _register(story, (4.2, "cas", 3, 1))


def _refused_for_another_value(epoch: str, region: str) -> Callable[[Story], None]:
    """A compare-and-set refused in an epoch, though the new one had nothing else in all its time.

    The former master may have had another value: its database took changes of its own.
    """

    def change(story: Story) -> None:
        _register(story, (4.0, "write", 1, None), (4.3, "write", 2, None))
        err = {"cls": "rejected", "sqlstate": "DR003", "text": "another value", "notices": []}
        how: Data = {"type": "fail", "key": "register/1", "put": 9, "expected": 1, "err": err}
        story.op(4.1, "cas", via=PROXY[region], took=0.05, epoch=epoch, **how)

    return change


STORIES: Mapping[str, tuple[str, bool, Made]] = {
    "bad_s2_old_master_stays": ("S2", True, told(_old_master(3.4))),
    "near_s2_old_master_ends_soon": ("S2", False, told(_old_master(3.2))),
    "bad_s8_no_master_acknowledged": (
        "S8",
        True,
        told(lambda s: s.write(4.0, PROXY["region2"], epoch=NEW, acked=None)),
    ),
    "bad_s8_told_before_the_master": (
        "S8",
        True,
        told(lambda s: s.write(4.0, PROXY["region2"], epoch=NEW, acked=4.02)),
    ),
    "near_s8_told_within_what_clocks_differ": ("S8", False, told(_told_by_another_clock)),
    "bad_s8_acked_by_backup": ("S8", True, told(_acked_by_backup)),
    "near_s8_answer_lost": ("S8", False, told(_answer_lost)),
    "bad_s7_lost_write_read_again": (
        "S7",
        True,
        edited(_lost_and_read(NEW, PROXY["region2"]), ASYNC),
    ),
    "near_s7_frozen_proxy_shows_it": (
        "S7",
        False,
        edited(_lost_and_read(OLD, PROXY["region1"]), ASYNC),
    ),
    "bad_s10_change_left_out": ("S10", True, edited(_left_out)),
    "bad_s10_empty_in_limited_mode": ("S10", True, told(_from_nowhere(key="app/1", val=None))),
    "near_s10_no_place_and_no_object": (
        "S10",
        False,
        told(_from_nowhere(key="app/none", val=None)),
    ),
    "near_s10_unknown_write_explains": ("S10", False, told(_read_open_write)),
    "bad_s10_digests_differ": ("S10", True, told(_digests("aa", "bb", epoch=NEW))),
    "near_s10_digests_of_two_epochs": ("S10", False, told(_digests("aa", "bb", epoch=OLD))),
    "bad_s11_back_to_the_old_epoch": (
        "S11",
        True,
        told(lambda s: _step_back(s, via=PROXY["region2"])),
    ),
    "near_s11_another_proxy_is_behind": ("S11", False, told(lambda s: _step_back(s, via=BACKUP))),
    "bad_s12_seq_given_twice": ("S12", True, told(_same_seq)),
    "bad_s12_applied_twice": ("S12", True, told(_applied_twice)),
    "bad_s12_object_id_given_twice": ("S12", True, told(_object_id_again)),
    "near_s12_asked_again_after_a_gap": ("S12", False, told(_asked_again)),
    "bad_w1_compared_with_a_value_gone": ("W1", True, told(_compared_with_the_same)),
    "bad_w1_refused_without_reason": (
        "W1",
        True,
        told(_refused_for_another_value(NEW, "region2")),
    ),
    "near_w1_refused_by_the_old_master": (
        "W1",
        False,
        told(_refused_for_another_value(OLD, "region1")),
    ),
    "near_w1_unknown_write_between": ("W1", False, told(_compared_while_unknown)),
}
