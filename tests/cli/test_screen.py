"""The screen on streams of all kinds: terminals, dumb ones, pipes, and readers that leave."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.cli.screen import Screen


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """A pseudo-terminal, 40 columns wide: what a person would see, and where to print."""
    person, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(program, "w", encoding="utf-8") as stream:
        yield person, stream
    os.close(person)


def _seen(person: int, end: str) -> str:
    """What a person sees, up to and with ``end``."""
    text = ""
    while end not in text:
        text += os.read(person, 65536).decode()
    return text


def _tell(screen: Screen) -> None:
    with screen.task("promote") as task:
        task.detail = "DBM-2"
    screen.mark("NO", "fence", "DBM-5  refused", 0.5)


def test_a_terminal_shows_moving_lines_and_colours(
    terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    person, stream = terminal
    _tell(Screen(stream))
    seen = _seen(person, "refused")
    assert "✔" in seen
    assert "\x1b[32m" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor comes back


def test_no_color_is_honoured_on_a_terminal(
    terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    person, stream = terminal
    _tell(Screen(stream))
    assert "\x1b[32m" not in _seen(person, "refused")


def test_a_dumb_terminal_gets_plain_lines(
    terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    person, stream = terminal
    _tell(Screen(stream))
    first, second = _seen(person, "refused").splitlines()
    assert re.fullmatch(r"  ok   promote +\d\.\d\d s  DBM-2", first)
    assert second == "  NO   fence               0.50 s  DBM-5  refused"


def test_long_lines_are_left_to_the_terminal_to_wrap() -> None:
    stream = io.StringIO()
    Screen(stream).say("/a/long/path" * 20)
    assert stream.getvalue() == "/a/long/path" * 20 + "\n"


def test_a_task_that_fails_is_crossed_out() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    with pytest.raises(ZeroDivisionError), screen.task("flush"):
        raise ZeroDivisionError
    assert re.fullmatch(r"  FAIL flush +\d\.\d\d s\n", stream.getvalue())


def test_control_characters_are_shown_not_obeyed() -> None:
    stream = io.StringIO()
    Screen(stream).say("a\x1b[2Jb\rc")
    assert stream.getvalue() == "a\\x1b[2Jb\\x0dc\n"


def test_an_ascii_stream_takes_any_text(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        Screen(stream).say("région")
    assert path.read_text() == "r\\xe9gion\n"


def test_a_reader_that_leaves_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        screen = Screen(stream)
        screen.say("nobody")
        screen.say("listens")
