"""The cache is the fold of a prefix of the commit order, and nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drharness.components.cache import Cache, Gap, common_prefix
from drharness.components.messages import EpochLine, Event
from drharness.components.store import Change, Commit, Epoch, Snapshot
from tests.components.memory_store import Database

KEYS = st.sampled_from(["a", "b", "c"])
CHANGES = st.lists(
    st.builds(Change, st.sampled_from(["write", "append", "delete"]), KEYS, st.integers(0, 9)),
    max_size=30,
)


@given(CHANGES, st.integers(0, 30))
def test_snapshot_plus_events_equals_the_database(changes: list[Change], cut: int) -> None:
    database = Database()
    kept: list[Commit] = []
    cache = Cache.of_snapshot(Snapshot("e1", 0, {}, (Epoch("e1", 1),)))
    for n, change in enumerate(changes):
        if n == cut:
            cache = Cache.of_snapshot(Snapshot("e1", database.seq, dict(database.objects)))
            kept.clear()
        if change.f != "delete" or change.key in database.objects:
            kept.append(database.commit(change))
    prev = cache.seq
    for commit in kept:
        cache.apply(Event.of(commit, prev=prev))
        prev = commit.seq
    assert cache.objects == database.objects
    assert (cache.seq, cache.epoch) == (database.seq, "e1")


@pytest.mark.parametrize(("prev", "seq"), [(4, 5), (6, 7), (5, 5), (5, 3)])
def test_an_event_that_does_not_follow_is_refused(prev: int, seq: int) -> None:
    cache = Cache.of_objects([], epoch="e1", seq=5, epochs=())
    with pytest.raises(Gap, match="the cache is at 5"):
        cache.apply(Event(prev, seq, "e1", "write", "a", 1))
    assert cache.objects == {}


def test_the_digest_is_of_sorted_compact_json() -> None:
    cache = Cache.of_objects([("b", 2, [1]), ("a", 1, "x")], epoch="e1", seq=2, epochs=())
    assert cache.sha() == hashlib.sha256(b'{"a":"x","b":[1]}').hexdigest()
    other = Cache.of_objects([("a", 9, "x"), ("b", 8, [1])], epoch="e2", seq=7, epochs=())
    assert other.sha() == cache.sha()


EPOCHS = (EpochLine("e1", 1), EpochLine("e2", 11), EpochLine("e3", 11), EpochLine("e4", 21))


@pytest.mark.parametrize(
    ("epoch", "last", "proven"),
    [
        ("e1", 10, True),
        ("e1", 11, False),
        ("e2", 10, True),  # e2 never committed anything
        ("e2", 11, False),
        ("e3", 20, True),
        ("e3", 21, False),
        ("e4", 25, True),
        ("e4", 26, False),
        ("e5", 0, False),
    ],
)
def test_a_common_prefix_needs_a_known_epoch(epoch: str, last: int, proven: bool) -> None:
    assert common_prefix(EPOCHS, current_seq=25, epoch=epoch, last=last) is proven
