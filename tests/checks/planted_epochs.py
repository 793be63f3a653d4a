"""Planted histories of masters, epochs and sessions: name to (invariant, bad, how it is made)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.checks.story import (
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
    steps_of,
)

Made = Callable[[], list[Data]]


def _told(change: Callable[[Story], object], plot: Plot | None = None) -> Made:
    """The good drill with something added before its end."""

    def make() -> list[Data]:
        story = drill(plot)
        change(story)
        finish(story, plot or Plot())
        return story.done()

    return make


def _edited(change: Callable[[list[Data]], object], plot: Plot | None = None) -> Made:
    """The good drill with its events changed afterwards."""

    def make() -> list[Data]:
        events = good_drill(plot)
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


def _answer_lost(story: Story) -> None:
    """The master acknowledged, and nobody heard it."""
    opid = story.op(1.48, "create", via=PROXY["region1"], took=None)["opid"]
    story.ack(1.49, opid, epoch=OLD, seq=story.last + 1)


STORIES: Mapping[str, tuple[str, bool, Made]] = {
    "bad_s2_old_master_stays": ("S2", True, _told(_old_master(3.4))),
    "near_s2_old_master_ends_soon": ("S2", False, _told(_old_master(3.2))),
    "bad_s8_no_master_acknowledged": (
        "S8",
        True,
        _told(lambda s: s.write(4.0, PROXY["region2"], epoch=NEW, acked=None)),
    ),
    "bad_s8_told_before_the_master": (
        "S8",
        True,
        _told(lambda s: s.write(4.0, PROXY["region2"], epoch=NEW, acked=4.02)),
    ),
    "bad_s8_acked_by_backup": ("S8", True, _told(_acked_by_backup)),
    "near_s8_answer_lost": ("S8", False, _told(_answer_lost)),
}
