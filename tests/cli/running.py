"""Running the command as its users do, and looking for what it may have left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drharness.kernel import proc, waiting

SOURCE = Path(__file__).resolve().parents[2] / "src"
COMMAND = (sys.executable, "-m", "drharness")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, without what colours or widens output."""
    unwanted = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING")
    kept = {k: v for k, v in os.environ.items() if k not in unwanted}
    return {**kept, "PYTHONPATH": str(SOURCE), **changes}


def drharness(
    *args: str | Path, env: Mapping[str, str] | None = None, timeout: float = 90
) -> proc.Completed:
    """Run a command to its end, without a terminal."""
    argv = [*COMMAND, *map(str, args)]
    return proc.run(argv, timeout=timeout, env=env or environment(), check=False)


def evidence_of(output: str) -> Path:
    """The run's directory as the output names it."""
    named = [line.split()[1] for line in output.splitlines() if line.startswith("evidence ")]
    assert len(named) == 1, output
    return Path(named[0])


class Process(Protocol):
    """What is needed of a child process."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """Send SIGKILL."""


@dataclass
class Started:
    """A command that is running, its output going to a file."""

    process: Process
    path: Path

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.path.read_text()

    def wait_said(self, text: str) -> None:
        """Wait until it has said something."""
        waiting.wait_until(
            lambda: text in self.output,
            f"{text!r} in the output",
            timeout=40,
            describe=lambda: self.output,
        )

    def ended(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        status = waiting.wait_until(
            lambda: None if (code := self.process.poll()) is None else str(code),
            "the end of the command",
            timeout=20,
            describe=lambda: self.output,
        )
        return int(status)


def start(directory: Path, *args: str | Path) -> Started:
    """Start a command."""
    path = directory / "output"
    with path.open("wb") as file:
        argv = [*COMMAND, *map(str, args)]
        return Started(proc.popen(argv, env=environment(), stderr=file.fileno()), path)


def belonging(evidence: Path, controller: int) -> list[str]:
    """Processes of deployments whose evidence lies below a directory, and their launcher."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name = (entry / "comm").read_text().strip()
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            mounts = (entry / "mountinfo").read_text()
        except OSError:
            continue  # it has just ended
        if str(evidence) in mounts or (
            b"drharness.engines.local.launcher" in argv and str(controller).encode() in argv
        ):
            found.append(f"{entry.name} {name}")
    return found
