"""PID 1: one poll loop that reaps every child, serves requests and keeps deadlines.

There is exactly one reaper: a second ``waitpid`` (``subprocess`` in a parent) would steal statuses.
No event loop of asyncio here: children are forked from this process and must not share one.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
from collections.abc import Callable
from typing import Any

from drharness.engines.agent import process
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.engines.agent.process import Process
from drharness.kernel import clock


class Request:
    """A request being served; answered exactly once, perhaps much later."""

    def __init__(self, channel: Channel, message: Message) -> None:
        self.channel = channel
        self.message = message

    def __getitem__(self, key: str) -> Any:
        return self.message[key]

    def get(self, key: str, default: Any = None) -> Any:
        """An optional field of the request."""
        return self.message.get(key, default)

    def reply(self, value: Any = None, fds: tuple[int, ...] = ()) -> None:
        """Answer; the asker may have gone, which is its own business."""
        self._send({"id": self.message.get("id"), "value": value}, fds)

    def fail(self, kind: str, text: str, **fields: Any) -> None:
        """Answer with an error."""
        error = {"type": kind, "text": text, **fields}
        self._send({"id": self.message.get("id"), "error": error}, ())

    def _send(self, message: Message, fds: tuple[int, ...]) -> None:
        try:
            self.channel.send(message, fds)
        except ChannelClosed as error:
            process.write_log(2, f"agent: nobody waits for the answer any more: {error}")


class Init:
    """The loop. Subclasses add operations by ``self.operations[name] = handler``."""

    def __init__(self) -> None:
        self.operations: dict[str, Callable[[Request], None]] = {}
        self.children: dict[int, Process] = {}
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._wakeup, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.watch(self._wakeup, self._reap)

    def watch(self, fd: int, ready: Callable[[], object]) -> None:
        """Call ``ready`` when ``fd`` can be read or was closed by the other side."""
        self._watched[fd] = ready
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Stop watching; the descriptor stays open."""
        self._poll.unregister(fd)
        del self._watched[fd]

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` once, that many seconds from now."""
        heapq.heappush(self._timers, (clock.now() + seconds, next(self._count), action))

    def serve(self, channel: Channel, on_close: Callable[[], None]) -> None:
        """Serve the requests that come over a channel; ``on_close`` when the other end is gone."""

        def ready() -> None:
            try:
                messages = channel.receive()
            except ChannelClosed:
                self.unwatch(channel.fileno())
                channel.close()
                on_close()
                return
            for message in messages:
                self._dispatch(Request(channel, message))

        self.watch(channel.fileno(), ready)

    def _dispatch(self, request: Request) -> None:
        handler = self.operations.get(request["op"])
        if handler is None:
            request.fail("LookupError", f"no operation {request['op']!r}")
            return
        try:
            handler(request)
        except Exception as error:  # noqa: BLE001 - PID 1 must outlive a bad request
            request.fail(type(error).__name__, str(error))

    def fork(
        self,
        name: str,
        body: Callable[[], int],
        on_exit: Callable[[int], None],
        *,
        stdout: int,
        stderr: int,
    ) -> Process:
        """Fork a child of this init; ``on_exit`` is called with its status once it was reaped."""
        pid = process.fork(body, stdout=stdout, stderr=stderr, close=tuple(self._watched))
        self.children[pid] = Process(pid, name, on_exit)
        return self.children[pid]

    def alive(self, child: Process) -> bool:
        """Whether it was not reaped yet (its process id may have been given to another child)."""
        return self.children.get(child.pid) is child

    def kill_session(self, child: Process) -> bool:
        """SIGKILL a child and its session. False: it had ended."""
        if self.alive(child):
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has just been forked and leads no session yet
                os.kill(child.pid, signal.SIGKILL)
            return True
        return False

    def _reap(self) -> None:
        os.read(self._wakeup, 65536)
        while True:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.children.pop(pid, None)  # an orphan adopted by PID 1 has no entry
            if child is not None:
                child.on_exit(process.status_of(raw))

    def run(self) -> None:
        """Loop for ever."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait for something to happen and handle it."""
        timeout = None
        if self._timers:
            timeout = max(0.0, self._timers[0][0] - clock.now()) * 1000 + 1
        for fd, _ in self._poll.poll(timeout):
            ready = self._watched.get(fd)  # an earlier handler of this turn may have unwatched it
            if ready is not None:
                ready()
        while self._timers and self._timers[0][0] <= clock.now():
            heapq.heappop(self._timers)[2]()
