"""The controller's end of programs with containers of their own beside a VM's: see ``guest``."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import LogConfig

from drharness.engines.agent.channel import Message
from drharness.engines.docker import daemon
from drharness.engines.docker.guest import TOKEN
from drharness.errors import Unsupported
from drharness.topology import Topology


def require_images(client: Any, topology: Topology) -> None:
    """Have the daemon have the images of all parts; what it lacks is pulled.

    :raises Unsupported: one cannot be had
    """
    for part in topology.parts:
        try:
            client.images.get(part.image)
        except ImageNotFound:
            _pull(client, part.name, part.image)


def _pull(client: Any, name: str, image: str) -> None:
    try:
        client.images.pull(image)
    except DockerException as error:
        said = getattr(error, "explanation", None) or str(error)
        way = f"docker pull {image}, or docker load, or another image="
        raise Unsupported(f"part {name}", f"no image {image}: {said}", way) from error


class Guests:
    """Of one deployment.

    :param evidence: where what they print goes, to ``vms/<vm>/<name>.out``
    """

    def __init__(self, client: Any, run: str, evidence: Path) -> None:
        self._client, self._run, self._evidence = client, run, evidence
        self._there: dict[tuple[str, str], Any] = {}
        self._kept: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def start(self, vm: str, container: str, wanted: Message) -> None:
        """Make and start what a VM asked for, in the place of what it had asked for before.

        :param container: the VM's
        :raises EngineLost: the daemon's reason
        """
        name = str(wanted["name"])
        self._end(vm, name)
        with daemon.saying(f"{vm}: part {name}"):
            made = self._client.containers.create(
                wanted["image"],
                command=wanted["command"] or None,
                user=wanted["user"] or None,
                environment={TOKEN: wanted["token"]},
                network_mode=f"container:{container}",
                pid_mode=f"container:{container}",
                labels=daemon.labels(self._run),
                log_config=LogConfig(type="json-file"),  # whatever the daemon's own: it is read
            )
            with self._lock:
                self._there[vm, name] = made
            made.put_archive("/", _archive(wanted["files"]))
            made.start()

    def end(self, vm: str) -> None:
        """Remove those of a VM, which has lost its power."""
        for place, name in tuple(self._there):
            if place == vm:
                self._end(vm, name)

    def _end(self, vm: str, name: str) -> None:
        with self._lock:
            made = self._there.pop((vm, name), None)
        if made is not None:
            with daemon.saying(f"{vm}: end of part {name}"):
                try:
                    self._keep(vm, name, made)
                    made.remove(force=True)
                except APIError as error:
                    if error.status_code not in (404, 409):  # gone, or going
                        raise
            self._kept.pop((vm, name), None)

    def collect(self) -> None:
        """What they have printed until now is in the evidence when this returns."""
        for (vm, name), made in tuple(self._there.items()):
            with daemon.saying(f"{vm}: log of part {name}"):
                self._keep(vm, name, made)

    def _keep(self, vm: str, name: str, made: Any) -> None:
        with self._lock, (self._evidence / "vms" / vm / f"{name}.out").open("ab") as handle:
            text = made.logs()
            handle.write(text[self._kept.get((vm, name), 0) :])
            self._kept[vm, name] = len(text)


def _archive(files: Mapping[str, str]) -> bytes:
    """A tar of files by absolute path, which everybody may read."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
