"""The controller's side of the launcher: started at its first deployment, ended with it."""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading

import msgspec

from drharness.engines.agent import channel
from drharness.engines.agent.channel import Channel, ChannelClosed
from drharness.engines.local.outer import OuterSpec
from drharness.errors import EngineLost, StartupFailed
from drharness.kernel import proc
from drharness.kernel.waiting import scaled

_START_S = 20.0


class Launcher:
    """The process that forks guards; started at the first deployment of a controller."""

    def __init__(self) -> None:
        ours, theirs = channel.pair()
        reading, writing = os.pipe()
        env = {k: v for k, v in proc.for_python().items() if not k.startswith("PG")}
        argv = [sys.executable, "-m", "drharness.engines.local.launcher"]
        with theirs:
            self.process = proc.popen(
                [*argv, str(theirs.fileno()), str(os.getpid())],
                env=env,
                pass_fds=(theirs.fileno(),),
                stderr=writing,
            )
        os.close(writing)
        self.owner = os.getpid()
        self._channel = Channel(ours)
        self._launching = threading.Lock()
        self._errors = reading
        ready, _, _ = select.select([ours], [], [], scaled(_START_S))
        try:
            if not ready:
                raise ChannelClosed(f"not ready within {scaled(_START_S):.0f} s")
            self._channel.receive()
        except BaseException as error:
            self.process.kill()  # else its errors would not end
            self._channel.close()
            self.process.wait()
            with os.fdopen(reading, "rb") as errors:
                text = errors.read().decode(errors="replace")
            if not isinstance(error, ChannelClosed):
                raise
            raise StartupFailed(f"the launcher did not start: {error}\n{text[-2000:]}") from error

    @property
    def descriptors(self) -> set[int]:
        """What it holds of this process."""
        return {self._channel.fileno(), self._errors}

    def launch(self, spec: OuterSpec, fds: tuple[int, int, int]) -> None:
        """Fork a guard for one deployment: (its control channel, its alive pipe, its log)."""
        try:
            with self._launching:  # deployments may come up in several threads
                self._channel.send({"op": "launch", "spec": msgspec.to_builtins(spec)}, fds)
        except ChannelClosed as error:
            raise EngineLost(f"the launcher has gone: {error}") from error

    def stop(self) -> None:
        """End it; nothing to do a second time, or in a process forked from its controller."""
        if self.owner != os.getpid() or self._errors < 0:
            return
        self._channel.close()
        proc.end(self.process, grace=5.0)
        errors, self._errors = self._errors, -1
        os.close(errors)


_launcher: Launcher | None = None
_launcher_lock = threading.Lock()


def get() -> Launcher:
    """The launcher of this process, started if there is none."""
    global _launcher
    with _launcher_lock:
        stale = _launcher is not None and (
            _launcher.owner != os.getpid() or _launcher.process.poll() is not None
        )
        if _launcher is not None and stale:
            _launcher.stop()
        if _launcher is None or stale:
            _launcher = Launcher()
            atexit.register(_launcher.stop)
        return _launcher


def running() -> Launcher | None:
    """The launcher of this process, if it has started one."""
    return _launcher if _launcher is not None and _launcher.owner == os.getpid() else None
