"""In a VM: programs in containers of their own, which share its network and its process ids.

The controller makes such a container when the VM asks for it. Here a stand-in, a child of PID 1,
lasts for as long as the program does, so that it is started, stopped, and started again as any
other service is. The container's ``/etc/hosts`` and ``/etc/resolv.conf`` are Docker's files for the
VM, which the VM's own cover: they are written with what the VM's say, and again when these change.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from drharness.engines.agent.agent import Agent
from drharness.engines.agent.channel import Message
from drharness.engines.agent.init import Request
from drharness.engines.agent.process import Process, open_log, write_log
from drharness.engines.agent.services import LOG_DIR, Service
from drharness.engines.local import syscalls
from drharness.kernel import rng
from drharness.kernel.waiting import wait_until

TOKEN = "DRHARNESS_GUEST"  # in the environment of all that runs in such a container
_NAMES = ("/etc/hosts", "/etc/resolv.conf")
_FOLLOW_S = 0.1
_APPEAR_S = 60.0


def hold_names() -> dict[str, int]:
    """Descriptors of Docker's files of names; called before the VM covers them."""
    held = {}
    for path in _NAMES:  # they are as read-only as the container's root file system is
        syscalls.mount("none", path, None, syscalls.MS_REMOUNT | syscalls.MS_BIND)
        held[path] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    return held


class Guests:
    """The VM's end; one per agent.

    :param names: what :func:`hold_names` gave
    :param tell: sends the controller an event
    """

    def __init__(
        self, agent: Agent, names: dict[str, int], tell: Callable[[Message], None]
    ) -> None:
        self._agent, self._names, self._tell = agent, names, tell
        self._written: dict[str, tuple[int, int]] = {}
        self._boot, self._count = rng.token(), itertools.count(1)
        self._stand_ins: dict[str, Process] = {}
        agent.services.start_guest = self.start
        agent.operations["guest_failed"] = self._failed

    def start(self, service: Service, ended: Callable[[int], None]) -> Process:
        """Ask for the container and stand in for it; ``ended`` as for any service."""
        token = f"{service.name}-{self._boot}-{next(self._count)}"
        if not self._written:
            self._follow()
        log = open_log(f"{LOG_DIR}/{service.name}.log")

        def over(status: int) -> None:
            del self._stand_ins[token]
            for pid in _of(token):
                os.kill(pid, signal.SIGKILL)
            ended(status)

        child = self._agent.fork(
            service.name, lambda: _stand_in(token), over, stdout=log, stderr=log
        )
        os.close(log)
        self._stand_ins[token] = child
        self._tell(
            {
                "event": "guest",
                "name": service.name,
                "token": token,
                "image": service.image,
                "command": service.program or [],
                "user": service.user or "",
                "files": {path: Path(path).read_text() for path in service.files},
            }
        )
        return child

    def _failed(self, request: Request) -> None:
        """``guest_failed`` {token, text}: the controller could not make the container."""
        child = self._stand_ins.get(request["token"])
        if child is not None:
            log = open_log(f"{LOG_DIR}/{child.name}.log")
            write_log(log, f"no container: {request['text']}")
            os.close(log)
            os.kill(child.pid, signal.SIGKILL)
        request.reply(child is not None)

    def _follow(self) -> None:
        """Write what the VM's files of names say, where they have changed; and look again."""
        for path, fd in self._names.items():
            now = os.stat(path)
            if self._written.get(path) != (now.st_ino, now.st_mtime_ns):
                self._written[path] = (now.st_ino, now.st_mtime_ns)
                text = Path(path).read_bytes()
                os.ftruncate(fd, len(text))
                os.pwrite(fd, text, 0)
        self._agent.after(_FOLLOW_S, self._follow)


def _of(token: str) -> Iterator[int]:
    """Process ids of what runs with that token in its environment."""
    wanted = f"{TOKEN}={token}".encode()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and wanted in Path("/proc", entry, "environ").read_bytes().split(
                b"\0"
            ):
                yield int(entry)
        except OSError:  # it ended while we looked
            continue


def _first(token: str) -> int:
    """Its first process, whose parent is outside; 0 if there is none yet."""
    for pid in _of(token):
        try:
            status = Path("/proc", str(pid), "status").read_text()
        except OSError:
            continue
        if "\nPPid:\t0\n" in status:
            return pid
    return 0


def _stand_in(token: str) -> int:
    """Last as long as the container's first process, and pass SIGTERM on to it."""
    pid = wait_until(
        lambda: _first(token), f"the container {token}", timeout=_APPEAR_S, interval=0.05
    )
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    poll.poll()
    return 0
