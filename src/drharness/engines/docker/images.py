"""The images of the docker engine: built once per version of their sources, which are their tag.

The Dockerfile is in ``containers/`` of this package. What the programs in the containers are made
of comes with the build's context, so that no build needs a network but for the distribution's
packages.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from drharness.engines.docker import context, daemon
from drharness.errors import StartupFailed
from drharness.topology import Vm

BASE = "debian:bookworm-slim"
BASE_ENVIRONMENT = "DRHARNESS_BASE_IMAGE"
PLACE = "/opt/drharness"
_REPOSITORY = "drharness"
_LABEL = "dr.harness.images"
_BUILD_S = 300.0
_Telling = Callable[[str], None]


@dataclass(frozen=True)
class Images:
    """The images' names.

    :ivar dns: of the DNS server's VM and of the router, ``dbms``: of DBMS VMs, ``vm``: of the rest
    """

    dns: str
    vm: str
    dbms: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.dns, self.vm, self.dbms))

    def of(self, vm: Vm) -> str:
        """The image of a VM."""
        return {"dns": self.dns, "dbms": self.dbms}.get(vm.role, self.vm)


def base() -> str:
    """The image that ours are made of: :data:`BASE_ENVIRONMENT`, else Debian's from a registry."""
    return os.environ.get(BASE_ENVIRONMENT) or BASE


def tag() -> str:
    """Hash of everything that the images are made of."""
    digest = hashlib.sha256(f"{base()} {context.libraries()} {context.PYTHON}".encode())
    for name, path in context.files():
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def names() -> Images:
    """The images of the sources as they are now."""
    version = tag()
    return Images(*(f"{_REPOSITORY}-{name}:{version}" for name in ("dns", "vm", "dbms")))


def missing(client: Any, images: Images) -> list[str]:
    """Those of the images that the daemon does not have."""
    return [name for name in images if not client.api.images(name)]


def ensure(client: Any, telling: _Telling = lambda _line: None) -> Images:
    """The images, built if the daemon does not have them.

    :param telling: told each line of progress
    :raises StartupFailed: a build failed; ends with what it said
    """
    images = names()
    if missing(client, images):
        build(client, images, telling)
    return images


def build(client: Any, images: Images, telling: _Telling) -> None:
    """Build all images; layers that did not change are the daemon's from last time."""
    plain = f"{images.dbms}-plain"
    with context.packed(telling) as packed:
        for target, image in (("dns", images.dns), ("vm", images.vm), ("dbms", plain)):
            packed.seek(0)
            _build(client, packed, target, image, telling)
    _with_template(client, plain, images.dbms, telling)


def _build(client: Any, packed: IO[bytes], target: str, image: str, telling: _Telling) -> None:
    telling(f"image {image}")
    said: list[str] = []
    stream = client.api.build(
        fileobj=packed,
        custom_context=True,
        target=target,
        tag=image,
        buildargs={"BASE": base(), "PYTHON": context.PYTHON},
        labels={_LABEL: image.partition(":")[2]},
        decode=True,
        rm=True,
        forcerm=True,
    )
    for message in stream:
        text = str(message.get("stream") or message.get("error") or "")
        for line in filter(None, map(str.rstrip, text.splitlines())):
            said.append(line)
            telling(line)
        if "error" in message:
            raise StartupFailed(f"image {image} was not built:\n" + "\n".join(said[-15:]))


def _with_template(client: Any, plain: str, image: str, telling: _Telling) -> None:
    """Make the database template in a container: a build may not enter user namespaces."""
    telling(f"image {image}: the database template")
    with daemon.saying(f"image {image}: the database template"):
        container = client.containers.create(
            plain,
            entrypoint=["python3", "-m", "drharness.engines.docker.template"],
            cap_add=["SYS_ADMIN"],
            security_opt=["apparmor=unconfined"],
            network_mode="none",
            labels=daemon.labels("images"),
        )
        try:
            container.start()
            status = container.wait(timeout=_BUILD_S)["StatusCode"]
            if status:
                text = container.logs().decode(errors="replace")
                raise StartupFailed(f"image {image}: no template, status {status}:\n{text}")
            name, _, version = image.partition(":")
            keep = 'ENTRYPOINT ["python3", "-m", "drharness.engines.docker.boot"]'
            container.commit(name, version, changes=keep)
        finally:
            container.remove(force=True)
