"""Ctrl-C, SIGTERM and SIGHUP: raised once, as one exception, and an end that cannot hang.

The first signal raises :class:`Interrupted` wherever the main thread is. Those that follow while
the run is being ended are swallowed, so that nobody's second Ctrl-C tears the end apart; a timer
ends the process if that takes too long. The engine's guard clears up after a process that is gone.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from drharness.kernel import clock, waiting

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 1.0  # a signal that went unnoticed (raised in a destructor, say) may be repeated then
_END_S = 5.0


class Interrupted(BaseException):
    """The user, or the system, wants the run to end now."""


class Interrupts:
    """The state of this process: has a signal come, and may it be raised?"""

    EXIT_CODE = 130

    def __init__(self) -> None:
        self.signal = ""
        self._first: clock.Deadline | None = None
        self._shielded = False

    def install(self) -> None:
        """Handle the signals, but leave alone those that our parent has us ignore (``nohup``)."""
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def shield(self) -> None:
        """From now on signals are remembered instead of raised: something is being ended."""
        self._shielded = True

    def unshield(self) -> None:
        """Signals are raised again.

        :raises Interrupted: one came in the meantime
        """
        self._shielded = False
        if self.signal:
            raise Interrupted

    def block(self) -> None:
        """No signal any more, not even while the interpreter ends: the exit code is decided."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def say(self, text: str) -> None:
        """A line on standard error; for the places where there is no screen."""
        os.write(2, f"{text}\n".encode())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.signal:
            self.signal = signal.Signals(number).name
            signal.setitimer(signal.ITIMER_REAL, waiting.scaled(_END_S))
        if self._shielded or (self._first is not None and self._first.waited < _AGAIN_S):
            return
        self._first = clock.Deadline(0)
        raise Interrupted

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""
        self.say(f"{show_cursor}interrupted; what was running is ended by its guard")
        os._exit(self.EXIT_CODE)


INTERRUPTS = Interrupts()
