"""What a person sees: lines that stay, and on a terminal one that moves while something runs.

Without a terminal there are only plain lines: no colours, no control characters, nothing rewritten.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from drharness.kernel import clock

_REMIND_S = 10.0  # without a terminal: say that something still runs
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
_STYLES = {"ok": "green", "FAIL": "bold red", "NO": "bold red", "--": "yellow"}
_SIGNS = {"ok": "✔", "FAIL": "✘", "NO": "✘", "--": "-"}
_VERDICTS = {"PASS": "green", "FAIL": "bold red", "INVALID": "bold yellow", "UNKNOWN": "yellow"}


def mark_of(verdict: object) -> str:
    """The mark of a line with that verdict, as :meth:`Screen.mark` takes it."""
    return {"PASS": "ok", "FAIL": "FAIL"}.get(str(verdict), "--")


class _Pipe(Console):
    """A console that falls silent when its reader has gone: the run itself goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        fd = os.open(os.devnull, os.O_WRONLY)
        os.dup2(fd, self.file.fileno())
        os.close(fd)


@dataclass
class Task:
    """Something that takes time.

    :ivar detail: what to say behind its time once it is over
    """

    label: str
    detail: str = ""
    clock: clock.Deadline = field(default_factory=lambda: clock.Deadline(0))


class Screen:
    """Prints progress and results on one stream."""

    def __init__(self, file: TextIO | None = None) -> None:
        stream = file or sys.stdout
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        self._console = _Pipe(
            file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")
        self._moves = stream.isatty() and not dumb
        self._signs = self._moves and (self._console.encoding or "").startswith("utf")
        self._ending: Callable[[], None] | None = None
        self._task: Task | None = None

    def fileno(self) -> int:
        """The descriptor it prints to."""
        return self._console.file.fileno()

    def say(self, text: str = "", style: str = "") -> None:
        """One or more lines that stay."""
        self._console.print(Text(text.translate(_CONTROL), style=style))

    def verdict(self, text: str) -> None:
        """The text of a judgement, its verdicts coloured where there are colours."""
        for line in text.splitlines():
            word = line.partition(" ")[0].rstrip(":")
            self.say(line, _VERDICTS.get(word, ""))

    def mark(self, mark: str, label: str, detail: str = "", seconds: float | None = None) -> None:
        """A line about something that is over: ``ok``, ``FAIL``, ``NO`` or ``--``."""
        sign = _SIGNS[mark] if self._signs else f"{mark:<4}"
        took = "" if seconds is None else f" {seconds:7.2f} s"
        line = Text("  ").append(f"{sign} ", style=_STYLES[mark])
        line.append(f"{label:<16}{took}".translate(_CONTROL))
        if detail:
            line.append(f"  {detail}".translate(_CONTROL))
        line.rstrip()
        self._console.print(line)

    @contextmanager
    def task(self, label: str) -> Iterator[Task]:
        """Show that something runs, then how it ended and how long it took."""
        task = self.begin(label)
        try:
            yield task
        except Exception:
            self.end("FAIL", task.detail)
            raise
        except BaseException:
            self.end("--", "interrupted")
            raise
        self.end("ok", task.detail)

    def begin(self, label: str) -> Task:
        """Show that something runs, until :meth:`end`."""
        self.quit()
        self._task = Task(label)
        self._ending = self._spin(self._task) if self._moves else self._remind(self._task)
        return self._task

    def end(self, mark: str, detail: str = "") -> None:
        """What was begun is over."""
        task = self._task
        self.quit()
        if task is not None:
            self.mark(mark, task.label, detail, task.clock.waited)

    def quit(self) -> None:
        """Stop whatever moves; the terminal is as it was."""
        ending, self._ending, self._task = self._ending, None, None
        if ending is not None:
            ending()

    def _spin(self, task: Task) -> Callable[[], None]:
        live = Live(
            _Moving(task),
            console=self._console,
            transient=True,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live.stop

    def _remind(self, task: Task) -> Callable[[], None]:
        over = threading.Event()

        def remind() -> None:
            while not over.wait(_REMIND_S):
                self.say(f"  ..   {task.label:<16} {task.clock.waited:7.2f} s  still running")

        thread = threading.Thread(target=remind, daemon=True)
        thread.start()
        return over.set


class _Moving:
    """The line of a running task: a spinner, its label, the seconds so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._spinner = Spinner("dots")

    def __rich__(self) -> Table:
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(width=2, justify="right")
        row.add_column(no_wrap=True, overflow="ellipsis")
        seconds = f"{self._task.clock.waited:7.2f} s"
        row.add_row(self._spinner, Text(f" {self._task.label:<16}{seconds}"))
        return row


def to_file(path: str, text: str) -> None:
    """Write a result where the user wants it; ``-`` is standard output."""
    if path == "-":
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(text)
            sys.stdout.flush()
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
