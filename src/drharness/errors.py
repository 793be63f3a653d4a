"""Every error a user can meet, as one tree; the command line turns each into an exit code.

DrHarnessError                what went wrong, in one sentence a user can act on
├── UsageError                bad input: which name, which value, what was expected   (exit 2)
├── Unsupported               this machine or engine cannot do it, with the way out    (exit 2)
├── StartupFailed             a deployment did not come up                             (exit 3)
├── WaitTimeout               a deadline passed: what was awaited and what was seen    (exit 3)
├── CommandFailed             a command inside a VM or on this host failed             (exit 3)
├── EngineLost                the machinery under the deployment has gone              (exit 3)
├── Unmanaged                 out-of-band management does not answer                  (exit 3)
├── FaultNotProven            a fault was injected but its effect was not seen         (exit 3)
└── HistoryError              a history file cannot be read as one                     (exit 2)

ControllerDied is none of them: a controller that is killed handles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence


class DrHarnessError(Exception):
    """Base of all errors of this package.

    :ivar evidence: directory of the run, of a deployment that did not come up; else empty
    """

    exit_code = 3
    evidence = ""


class UsageError(DrHarnessError, ValueError):
    """Bad input; the message names the argument, the value, what was expected and what to do."""

    exit_code = 2


class Unsupported(DrHarnessError):
    """The host or the engine lacks a power that was asked for; known before anything starts."""

    exit_code = 2

    def __init__(self, what: str, reason: str, way_out: str) -> None:
        super().__init__(f"{what}: {reason}\n  way out: {way_out}")
        self.what, self.reason, self.way_out = what, reason, way_out


class StartupFailed(DrHarnessError):
    """A deployment could not be brought up; whatever had been started is gone again."""


class EngineLost(DrHarnessError):
    """The processes that carry the deployment ended unexpectedly."""


class Unmanaged(DrHarnessError):
    """The out-of-band management of a region does not answer: nothing can be powered off or on."""


class ControllerDied(BaseException):
    """The controller was killed here, in a drill: nothing after this point was done by it."""


class FaultNotProven(DrHarnessError):
    """A fault was applied but the probe did not see its effect: the run proves nothing."""


class HistoryError(DrHarnessError, ValueError):
    """A history file is not one: file, line, what was found and what was expected."""

    exit_code = 2


class WaitTimeout(DrHarnessError, TimeoutError):
    """A wait ran into its deadline.

    :ivar what: what was awaited, as the subject of a sentence ("standby region2-dbms streaming")
    :ivar waited_s: seconds waited
    :ivar last_seen: the last observation, or the last error of the probe
    """

    def __init__(self, what: str, waited_s: float, last_seen: str, hint: str = "") -> None:
        lines = [f"{what}: not within {waited_s:.1f} s", f"  last seen: {last_seen}"]
        if hint:
            lines.append(f"  hint: {hint}")
        super().__init__("\n".join(lines))
        self.what, self.waited_s, self.last_seen, self.hint = what, waited_s, last_seen, hint


class CommandFailed(DrHarnessError):
    """A command ended with a non-zero status, or did not end in time (``returncode`` is None)."""

    def __init__(
        self, where: str, argv: Sequence[str], returncode: int | None, output: str
    ) -> None:
        how = "did not end in time" if returncode is None else f"ended with status {returncode}"
        super().__init__(f"{where}: {' '.join(argv)} {how}\n  output: {output.strip()[-2000:]}")
        self.where, self.argv, self.returncode, self.output = where, list(argv), returncode, output
