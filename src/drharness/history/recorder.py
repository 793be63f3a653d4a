"""The controller's recorder: one event, one line, one write; listeners hear of it afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from drharness.history.event import VERSION, Data, check_event
from drharness.kernel import clock

Listener = Callable[[Data], None]


class Recorder:
    """Stamps events and hands each, as one line, to ``write``. May be used from several threads.

    :param write: takes one whole line as bytes; ``store.open_recorder`` gives one on a file
    :param first: number of the first event, where others were recorded before
    :param listeners: called with each event once it is written, in the thread that recorded it
    """

    def __init__(
        self, write: Callable[[bytes], None], *listeners: Listener, first: int = 0
    ) -> None:
        self._write = write
        self._listeners = list(listeners)
        self._lock = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._next = first

    @property
    def next(self) -> int:
        """Number of the next event."""
        return self._next

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every further event."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call it no more."""
        self._listeners.remove(listener)

    def record(self, kind: str, /, **fields: Any) -> Data:
        """Append an event, stamped with now; returns it.

        :raises HistoryError: it is not in the vocabulary; nothing was written
        """
        with self._lock:
            data: Data = {"v": VERSION, "i": self._next, "t": clock.now_ns(), "kind": kind}
            data.update(fields)
            check_event(data, f"record({kind!r})")
            self._write(self._encode(data) + b"\n")
            self._next += 1
        for listener in tuple(self._listeners):
            listener(data)
        return data
