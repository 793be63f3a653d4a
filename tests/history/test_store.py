"""Histories on disk: recording, merging, torn lines, atomic writing."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drharness.errors import DrHarnessError, HistoryError
from drharness.history import AppendFile, load, merge, open_recorder, read, write
from drharness.topology import Topology

RUN: dict[str, Any] = {
    "v": 1, "t": 5, "kind": "run", "run": "r", "topology": Topology.guide().as_dict(),
    "active": "region1",
}  # fmt: skip


def _note(t: int, text: str = "x") -> dict[str, Any]:
    return {"v": 1, "t": t, "kind": "note", "text": text}


def _file(path: Path, *events: dict[str, Any], tail: bytes = b"") -> Path:
    lines = b"".join(msgspec.json.encode(e) + b"\n" for e in events)
    path.write_bytes(lines + tail)
    return path


def test_a_recorded_event_is_on_disk_when_record_returns(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "deep" / "c.jsonl")
    data = recorder.record("note", text="here")
    assert read(tmp_path / "deep" / "c.jsonl") == [data]


def test_listeners_hear_of_every_event_after_it_was_written(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    path = tmp_path / "c.jsonl"
    recorder = open_recorder(path, lambda e: seen.append((e["text"], len(read(path)))))
    recorder.record("note", text="a")
    recorder.listen(lambda e: seen.append(("late", e["i"])))
    recorder.record("note", text="b")
    assert seen == [("a", 1), ("b", 2), ("late", 1)]


def test_an_event_outside_the_vocabulary_is_not_recorded(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "c.jsonl")
    with pytest.raises(HistoryError, match=r"record\('fault'\) \(fault\): field 'f'"):
        recorder.record("fault", type="invoke")
    assert read(tmp_path / "c.jsonl") == []


def test_threads_record_whole_lines_in_the_order_of_time(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "c.jsonl")

    def work() -> None:
        for _ in range(200):
            recorder.record("note", text="x" * 200)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = read(tmp_path / "c.jsonl")
    assert [e["i"] for e in events] == list(range(800))
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)


def test_appending_goes_on_where_an_earlier_writer_stopped(tmp_path: Path) -> None:
    for text in ("a", "b"):
        file = AppendFile(tmp_path / "c.jsonl")
        file(msgspec.json.encode(_note(1, text)) + b"\n")
        file.close()
    assert [e["text"] for e in read(tmp_path / "c.jsonl")] == ["a", "b"]


@given(st.lists(st.integers(0, 5), max_size=8), st.lists(st.integers(0, 5), max_size=8))
def test_merging_orders_by_time_then_file_then_line(
    tmp_path_factory: pytest.TempPathFactory, one: list[int], two: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    controller = _file(folder / "c.jsonl", RUN)
    first = _file(folder / "1.jsonl", *(_note(t, f"0.{n:02}") for n, t in enumerate(one)))
    second = _file(folder / "2.jsonl", *(_note(t, f"1.{n:02}") for n, t in enumerate(two)))
    events = merge(controller, [("a", first), ("b", second)])
    assert events[0]["kind"] == "run"
    assert [e["i"] for e in events] == list(range(len(one) + len(two) + 1))
    rest = [(e["t"], e["text"]) for e in events[1:]]
    assert rest == sorted(rest)
    assert len(rest) == len(one) + len(two)


def test_merged_events_say_who_recorded_them(tmp_path: Path) -> None:
    controller = _file(tmp_path / "c.jsonl", RUN, _note(6))
    component = _file(tmp_path / "1.jsonl", _note(7))
    events = merge(controller, [("vm.app", component)], tmp_path / "history.jsonl")
    assert [e.get("src") for e in events] == [None, None, "vm.app"]
    assert [e.data for e in load(tmp_path / "history.jsonl").events] == events


@given(st.integers(1, 40))
def test_a_torn_last_line_is_left_out_and_noted(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "app.jsonl"
    whole = msgspec.json.encode(_note(9, "never finished"))
    _file(path, _note(8, "kept"), tail=whole[:cut])
    kept, note = read(path, may_be_torn=True)
    assert kept["text"] == "kept"
    assert note["text"] == "app.jsonl line 2 was torn in mid-write and is left out"
    with pytest.raises(HistoryError, match=re.escape(f"{path} line 2: expected a JSON object")):
        read(path)


def test_what_follows_a_torn_line_after_a_reboot_is_kept(tmp_path: Path) -> None:
    torn = msgspec.json.encode(_note(8))[:20]
    behind = msgspec.json.encode(_note(9, "after reboot")) + b"\n"
    path = _file(tmp_path / "a.jsonl", _note(7, "first"), tail=torn + behind + behind)
    texts = [e["text"] for e in read(path, may_be_torn=True)]
    assert texts[:3] == ["first", "after reboot", "after reboot"]
    assert texts[3].startswith("a.jsonl line 2 was torn")


def test_garbage_amid_a_file_is_refused_even_where_tears_are_expected(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.jsonl", _note(7), tail=b"not json\n" + msgspec.json.encode(_note(9)))
    with pytest.raises(HistoryError, match=r"a\.jsonl line 2: expected a JSON object"):
        read(path, may_be_torn=True)


def test_a_history_begins_with_its_run(tmp_path: Path) -> None:
    path = _file(tmp_path / "h.jsonl", _note(1))
    with pytest.raises(HistoryError, match=r"h\.jsonl line 1: field 'kind': expected 'run'"):
        load(path)
    with pytest.raises(HistoryError, match="expected 'run', got 'note'"):
        merge(path, [])


def test_a_missing_file_is_a_history_error(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"none\.jsonl: expected a readable history file"):
        load(tmp_path / "none.jsonl")


def test_a_wrong_line_is_named_by_file_line_and_field(tmp_path: Path) -> None:
    path = _file(
        tmp_path / "h.jsonl", RUN, {"v": 1, "t": 6, "kind": "vm", "id": "x", "state": "up"}
    )
    expected = (
        f"{path} line 2 (vm): field 'state': expected one of on, off, frozen, thawed, got 'up'"
    )
    with pytest.raises(HistoryError, match=re.escape(expected)):
        load(path)


def test_writing_leaves_the_old_file_if_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    write(path, [RUN])
    with pytest.raises(TypeError):
        write(path, [RUN, {"bad": object()}])
    assert [e["kind"] for e in read(path)] == ["run"]


def test_a_full_disk_is_told_with_the_file_and_a_way_out() -> None:
    recorder = open_recorder(Path("/dev/full"))
    with pytest.raises(DrHarnessError, match=r"/dev/full: .*No space left.*make room"):
        recorder.record("note", text="lost")


def test_a_history_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DrHarnessError, match=r"file/history.jsonl: cannot be written"):
        write(tmp_path / "file" / "history.jsonl", [])
