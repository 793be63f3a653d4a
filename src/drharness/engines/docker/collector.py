"""What the VMs write, as it grows: from their volumes, by the router, to the run's evidence.

A daemon may be on another machine, so a container cannot write into the controller's directory. And
what a VM recorded before it lost its power must not be lost with it: so its logs are on a volume of
their own, which the router has mounted, too, and reads.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from drharness.engines.agent.channel import Message

EVERY_S = 0.05
_CHUNK = 1 << 18


class Collector:
    """The router's end: tells of every file what was added to it.

    :param top: directory that has one for each VM
    :param tell: sends the controller an event
    """

    def __init__(self, top: str, tell: Callable[[Message], None]) -> None:
        self._top, self._tell = top, tell
        self._files: dict[str, tuple[int, int]] = {}  # path: descriptor, bytes told of

    def collect(self) -> None:
        """Tell what is new."""
        for vm in os.listdir(self._top):
            self._scan(vm, "")

    def _scan(self, vm: str, below: str) -> None:
        with os.scandir(f"{self._top}/{vm}/{below}") as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    self._scan(vm, f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    self._read(vm, name)

    def _read(self, vm: str, name: str) -> None:
        path = f"{self._top}/{vm}/{name}"
        fd, at = self._files.get(path) or (os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0)
        while data := os.pread(fd, _CHUNK, at):
            text = base64.b64encode(data).decode()
            self._tell({"event": "wrote", "vm": vm, "file": name, "data": text})
            at += len(data)
        self._files[path] = (fd, at)


def keep(evidence: Path, message: Message) -> None:
    """The controller's end: add what was told to the VM's file.

    :raises ValueError: it names a file outside of the VM's directory
    """
    vm, name = str(message["vm"]), PurePosixPath(str(message["file"]))
    if "/" in vm or name.is_absolute() or ".." in (vm, *name.parts):
        raise ValueError(f"no file of a VM: {vm}/{name}")
    path = evidence / "vms" / vm / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        handle.write(base64.b64decode(message["data"]))
