"""A command in a VM with this process's own input and output, or with a terminal of its own."""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import termios
import threading
import tty as modes
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from drharness.deployment.kept import Kept

_CHUNK = 65536


def attach(kept: Kept, asked: Mapping[str, Any], *, tty: bool) -> int:
    """Run it and wait for its end; its status, negative for a signal.

    :param asked: ``vm``, ``argv``, ``user``
    :raises EngineLost: the VM has no power, or loses it meanwhile
    """
    reading, waiting = os.pipe()  # when our end closes, nobody waits for the command any more
    try:
        if tty:
            return _with_terminal(kept, asked, reading)
        answer = kept.begin("attach", fds=(0, 1, 2, reading), tty=False, env={}, **asked)
        status: int = answer()
        return status
    finally:
        os.close(reading)
        os.close(waiting)


def _with_terminal(kept: Kept, asked: Mapping[str, Any], lifeline: int) -> int:
    """The command gets a new terminal, and this one only passes on what is typed and shown."""
    master, slave = os.openpty()
    try:
        _copy_size(master)
        env = {"TERM": os.environ.get("TERM", "dumb")}
        fds = (slave, slave, slave, lifeline)
        answer = _in_background(kept.begin("attach", fds=fds, tty=True, env=env, **asked))
    finally:
        os.close(slave)
    try:
        with _raw(), _resizing(master):
            _pass_on(master, answer)
        return answer.result()
    finally:
        os.close(master)


def _in_background(wait: Callable[[], Any]) -> Future[int]:
    answer: Future[int] = Future()

    def run() -> None:
        try:
            answer.set_result(wait())
        except BaseException as error:  # noqa: BLE001 - raised where the answer is wanted
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def _pass_on(master: int, answer: Future[int]) -> None:
    """Until nobody has the new terminal open any more, or there was an error."""
    ended, over = os.pipe()
    answer.add_done_callback(lambda _answer: os.close(over))
    sources = [0, master, ended]
    try:
        while True:
            ready, _, _ = select.select(sources, [], [])
            if master in ready:
                if not _moved(master, 1):
                    return
            elif ended in ready:
                return
            elif 0 in ready and not _moved(0, master):
                sources.remove(0)
    finally:
        os.close(ended)


def _moved(source: int, target: int) -> bool:
    try:
        data = memoryview(os.read(source, _CHUNK))
    except OSError:  # EIO: the last one has closed the terminal
        return False
    left = data
    while left:
        left = left[os.write(target, left) :]
    return bool(data)


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the command, Ctrl-C too."""
    before = termios.tcgetattr(0)
    modes.setraw(0, termios.TCSADRAIN)  # what was typed ahead is not lost
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _resizing(master: int) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _copy_size(master: int) -> None:
    size = array.array("H", [0, 0, 0, 0])
    fcntl.ioctl(0, termios.TIOCGWINSZ, size)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)
